//! A node that leaves while its server, over plain HTTP, wants a pause: what has become of what agents said.

use std::time::Duration;

use seawall::clock;
use seawall::opamp::proto::{AgentDisconnect, AgentToServer};

use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::http;
use crate::support::message::{REPORT_FULL_STATE, full_report, health, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::mock::state::{Post, State};
use crate::support::socket::Socket;

/// A node that drains at once.
fn before(server: &Mock) -> GatewayBuilder {
    Gateway::builder()
        .server(&server.url(), Mode::Http(1))
        .set("sessions", "reply_wait", "\"100ms\"")
        .set("drain", "notice", "\"100ms\"")
        .set("drain", "time_max", "\"200ms\"")
}

async fn drain(gateway: &Gateway) {
    let answer = http::request(gateway.admin(), "POST", "/drain", &[], &[]).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    gateway.wait_metric("seawall_drain_phase", &[("phase", "drained")], |now| now == 1.0).await;
}

fn news(n: u16, number: u64, status: &str) -> AgentToServer {
    AgentToServer { health: Some(health(status)), ..heartbeat(&uid(n), number) }
}

/// An agent whose server has taken its full state.
async fn known(gateway: &Gateway, server: &Mock, n: u16) -> Socket {
    let mut agent = Socket::open(gateway.edge()).await;
    let report = full_report(&uid(n), 0);
    agent.ask(&report).await;
    server.wait("its state", |state| state.knows(&report)).await;
    agent
}

#[tokio::test]
async fn what_a_pause_holds_back_is_counted_and_the_next_node_asks_for_it() {
    let server = Mock::start_http().await;
    let (mut first, second) = (before(&server).start().await, before(&server).start().await);
    let mut agent = known(&first, &server, 1).await;
    server.behave(|behaviour| behaviour.post = Post::Status(503, Some("600".to_owned())));
    // It is acknowledged, and still has to reach the server.
    agent.ask(&news(1, 1, "put off")).await;
    first.wait_metric("seawall_upstream_pause_seconds", &[], |left| left > 0.0).await;
    server.behave(|behaviour| behaviour.post = Post::Take);
    let taken = server.with(|state| state.received.len());

    let begun = clock::now();
    drain(&first).await;
    // The node ends without waiting for the end of the pause, ten minutes later.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let metrics = first.metrics().await;
    assert_eq!(metrics.sum("seawall_upstream_undelivered_messages_total", &[]), 1.0);
    assert_eq!(metrics.sum("seawall_drain_unacknowledged_agents_total", &[]), 1.0);
    assert_eq!(
        first.process().log().count("disconnected before its server confirmed everything"),
        1
    );
    assert_eq!(server.with(|state| state.received.len()), taken, "the pause is kept");

    // R6: it goes on as if all had been heard, and the next node finds out.
    let mut agent = Socket::open(second.edge()).await;
    agent.send(&heartbeat(&uid(1), 2)).await;
    while agent.reply().await.flags & REPORT_FULL_STATE == 0 {}
    let truth = AgentToServer { health: Some(health("put off")), ..full_report(&uid(1), 3) };
    agent.send(&truth).await;
    server.wait("what it said", |state| state.knows(&truth)).await;
}

/// Two agents' goodbyes, one behind the other, are on their way when the server first asks for a pause:
/// one agent says goodbye, the other goes on elsewhere.
async fn put_off(gateway: &Gateway, server: &Mock) -> [Socket; 2] {
    let mut leaves = known(gateway, server, 1).await;
    let mut moves = known(gateway, server, 2).await;
    server.behave(|behaviour| {
        behaviour.stalled = true;
        behaviour.post = Post::Status(503, Some("6".to_owned()));
    });
    leaves.send(&goodbye(1, 1)).await;
    moves.ask(&news(2, 1, "moves on")).await;
    server.behave(|behaviour| behaviour.stalled = false);
    server.wait("the refusal", |state| !state.refused.is_empty()).await;
    server.behave(|behaviour| behaviour.post = Post::Take);
    [leaves, moves]
}

fn goodbye(n: u16, number: u64) -> AgentToServer {
    let agent_disconnect = Some(AgentDisconnect::default());
    AgentToServer { agent_disconnect, ..heartbeat(&uid(n), number) }
}

async fn one_is_unheard(gateway: &mut Gateway) {
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("seawall_upstream_undelivered_messages_total", &[]), 1.0);
    assert_eq!(metrics.sum("seawall_drain_unacknowledged_agents_total", &[]), 1.0);
    assert_eq!(
        gateway.process().log().count("disconnected before its server confirmed everything"),
        1
    );
}

#[tokio::test]
async fn a_goodbye_waits_for_the_end_of_a_pause_and_other_words_do_not() {
    let server = Mock::start_http().await;
    let mut gateway = before(&server).start().await;
    let _agents = put_off(&gateway, &server).await;
    drain(&gateway).await;
    let state = |state: &mut State| (state.left.clone(), state.received.len());
    assert_eq!(server.with(state), (vec![uid(1)], 3), "two reports, and the goodbye");
    one_is_unheard(&mut gateway).await;
}

/// The pause ends while the node is still busy with another agent's goodbye.
#[tokio::test]
async fn what_a_moved_agent_said_is_not_sent_when_a_pause_ends() {
    let server = Mock::start_http().await;
    let mut gateway = before(&server).start().await;
    let mut late = known(&gateway, &server, 3).await;
    let _agents = put_off(&gateway, &server).await;
    gateway.wait_metric("seawall_upstream_pause_seconds", &[], |left| left > 0.0).await;
    late.send(&goodbye(3, 1)).await;
    drain(&gateway).await;
    let state = |state: &mut State| (state.left.clone(), state.received.len());
    assert_eq!(server.with(state), (vec![uid(1), uid(3)], 5), "three reports, two goodbyes");
    one_is_unheard(&mut gateway).await;
}
