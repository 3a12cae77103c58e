//! How often servers hear of agents that have nothing to say: as often as those speak, within the server's budget.

use std::collections::HashMap;
use std::time::Duration;

use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::message::{full_report, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::socket::Socket;

const AGENTS: u16 = 12;
const EVERY: &str = "seawall_upstream_liveness_interval_seconds";
/// Heartbeats are taken for a crowd that came together until they have not fitted for 30 s.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

fn gateway(server: &Mock, budget: &str) -> GatewayBuilder {
    Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(2))
        .server_key("liveness_budget", budget)
        .set("sessions", "heartbeat_forward_interval", "\"100ms\"")
}

async fn agents(gateway: &Gateway) -> Vec<Socket> {
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        let mut agent = Socket::open(gateway.edge()).await;
        agent.ask(&full_report(&uid(n), 0)).await;
        agents.push(agent);
    }
    agents
}

/// Each agent says this many heartbeats, one in each half second. Each is answered.
async fn speak(agents: &mut [Socket], numbers: std::ops::Range<u64>) {
    for number in numbers {
        for (n, agent) in (0..).zip(agents.iter_mut()) {
            agent.ask(&heartbeat(&uid(n), number)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How often the server has heard of each agent, from its message `from` on.
fn heard(server: &Mock, from: usize) -> HashMap<Vec<u8>, u32> {
    server.with(|state| {
        let mut heard = HashMap::new();
        for (_, message) in &state.received[from..] {
            *heard.entry(message.instance_uid.clone()).or_default() += 1;
        }
        heard
    })
}

#[tokio::test]
async fn heartbeats_within_the_budget_go_on_as_agents_say_them() {
    let server = Mock::start().await;
    let gateway = gateway(&server, "1000").start().await;
    let mut agents = agents(&gateway).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let from = server.with(|state| state.received.len());
    speak(&mut agents, 1..6).await;
    let heard = heard(&server, from);
    assert_eq!(heard.len(), usize::from(AGENTS));
    assert!(heard.values().all(|times| *times == 5), "{heard:?}");
    assert_eq!(gateway.metrics().await.sum(EVERY, &[]), 0.0);
}

#[tokio::test]
async fn heartbeats_past_the_budget_are_shared_evenly_and_an_operator_is_told() {
    let server = Mock::start().await;
    let mut gateway = gateway(&server, "4").start().await;
    let mut agents = agents(&gateway).await;
    // Once all of them wait, each has its turn after three seconds.
    speak(&mut agents, 1..5).await;
    let from = server.with(|state| state.received.len());
    speak(&mut agents, 5..29).await;
    let heard = heard(&server, from);
    let all: u32 = heard.values().sum();
    assert!((30..=62).contains(&all), "12 s and more at 4 a second: {all}");
    let (least, most) = (heard.values().min(), heard.values().max());
    assert_eq!(heard.len(), usize::from(AGENTS), "{heard:?}");
    assert!(most.unwrap() - least.unwrap() <= 1, "{heard:?}");
    let every = gateway.metrics().await.sum(EVERY, &[]);
    assert!((1.0..=3.0).contains(&every), "{every}");
    // A change waits for none of them.
    let said = server.with(|state| state.received.len());
    agents[3].ask(&full_report(&uid(3), 40)).await;
    assert!(server.with(|state| state.received.len()) <= said + 3);
    let log = gateway.process().log().clone();
    let told = async {
        let mut number = 50;
        while log.count("heartbeats do not fit") == 0 {
            speak(&mut agents, number..number + 1).await;
            number += 1;
        }
    };
    tokio::time::timeout(TOLD_WITHIN, told).await.expect("the operator is told");
}

#[tokio::test]
async fn a_server_that_wants_no_heartbeats_gets_none_and_every_change() {
    let server = Mock::start().await;
    let gateway = gateway(&server, "\"never\"").start().await;
    let mut agents = agents(&gateway).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let from = server.with(|state| state.received.len());
    speak(&mut agents, 1..4).await;
    assert!(heard(&server, from).is_empty());
}
