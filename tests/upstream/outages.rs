//! Servers that start late, are killed, and come back; the one next to them takes over.

use crate::support::gateway::{Gateway, Mode};
use crate::support::mock::Mock;
use crate::{agents, assert_connected, before, refs};

#[tokio::test]
async fn agents_are_taken_before_there_is_a_server() {
    let mut server = Mock::absent();
    let mut gateway = before(&server).start_unready().await;
    gateway.wait_listening().await;
    let agents = agents(&gateway, 3).await;
    for agent in &agents {
        agent.wait(|seen| !seen.messages.is_empty()).await;
        let first = &agent.messages()[0];
        assert_eq!(&first.instance_uid, agent.uid());
        assert_ne!(first.capabilities, 0, "the first reply of a connection says what is possible");
    }
    let answer = gateway.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no server is reached: a"), "{}", answer.text());

    server.listen().await;
    gateway.wait_ready().await;
    server.converged(&refs(&agents)).await;
    assert!(agents.iter().all(|agent| agent.asked() == 0), "what they reported is kept here");
    assert_connected(&agents);
}

/// What a server still had to answer, or even to read, may be lost with it.
#[tokio::test]
async fn reports_that_died_with_the_server_are_recovered() {
    let mut server = Mock::start().await;
    let gateway = before(&server)
        .set("sessions", "reply_wait", "\"100ms\"")
        .set("upstream", "backoff_initial", "\"100ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 5).await;
    server.converged(&refs(&agents)).await;
    // The server lives and has stopped reading: all is written, and waits for answers.
    server.behave(|behaviour| behaviour.stalled = true);
    for (n, agent) in agents.iter().enumerate() {
        agent.set_health(&format!("unacknowledged {n}")).await;
        agent.wait(|seen| seen.messages.len() >= 2).await;
    }
    server.stop().await;
    // It keeps what it knew: only the gateway can know that the last reports are missing.
    server.behave(|behaviour| behaviour.stalled = false);
    server.listen().await;
    server.converged(&refs(&agents)).await;
    assert_connected(&agents);
}

#[tokio::test]
async fn agents_go_to_the_next_server_and_back() {
    to_the_next_and_back(Mock::start().await, Mock::start().await, Mode::Multiplexed(2)).await;
}

#[tokio::test]
async fn agents_go_to_the_next_server_and_back_over_plain_http() {
    to_the_next_and_back(Mock::start_http().await, Mock::start_http().await, Mode::Http(2)).await;
}

async fn to_the_next_and_back(mut first: Mock, second: Mock, mode: Mode) {
    let gateway = Gateway::builder()
        .server(&first.url(), mode)
        .server(&second.url(), mode)
        .set("upstream", "failover_after", "\"400ms\"")
        .set("upstream", "stable_after", "\"400ms\"")
        .set("upstream", "backoff_initial", "\"100ms\"")
        .set("upstream", "backoff_max", "\"200ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 16).await;
    let mine = |server: &Mock| {
        let here: Vec<_> =
            agents.iter().filter(|a| server.with(|state| state.knows(&a.truth()))).collect();
        here
    };
    first.wait("half of them", |state| state.agents.len() > 2).await;
    let all = || mine(&first).len() + mine(&second).len();
    gateway.wait_metric("seawall_replies_total", &[], |_| all() == agents.len()).await;
    let (at_first, at_second) = (mine(&first), mine(&second));
    assert!(!at_first.is_empty() && !at_second.is_empty());

    let healthy = "seawall_upstream_healthy_servers";
    gateway.wait_metric(healthy, &[("server", "a")], |healthy| healthy == 1.0).await;
    let moved: Vec<Vec<u8>> = at_first.iter().map(|agent| agent.uid().to_vec()).collect();
    first.stop().await;
    first.with(|state| state.forget());
    at_first[0].set_health("changed in the dark").await;
    second.converged(&refs(&agents)).await;
    at_first[0].set_health("changed elsewhere").await;
    second.converged(&refs(&agents)).await;
    gateway.wait_metric(healthy, &[("server", "a")], |healthy| healthy == 0.0).await;

    first.listen().await;
    first.converged(&at_first).await;
    // The other is told that they have left it, and goes on with its own.
    second.wait("farewells", |state| moved.iter().all(|uid| state.left.contains(uid))).await;
    second.converged(&at_second).await;
    assert_eq!(second.with(|state| state.agents.len()), at_second.len());
    gateway.wait_metric(healthy, &[("server", "a")], |healthy| healthy == 1.0).await;
    assert_connected(&agents);
}
