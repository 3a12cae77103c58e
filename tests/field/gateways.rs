//! Gateways in front of Seawall: the agents of one WebSocket are as well off as if each had its own.

use std::time::Duration;

use seawall::opamp::proto::{AgentRemoteConfig, ServerToAgent};

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::message::{full_report, health, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::socket::Socket;

const SHARED: &str = "seawall_edge_shared_connections";
const SESSIONS: &str = "seawall_sessions";

fn offer(uid: &[u8], hash: &[u8]) -> ServerToAgent {
    let config = AgentRemoteConfig { config: None, config_hash: hash.to_vec() };
    ServerToAgent {
        instance_uid: uid.to_vec(),
        remote_config: Some(config),
        ..ServerToAgent::default()
    }
}

/// A gateway whose agents are missed soon.
fn impatient() -> GatewayBuilder {
    Gateway::builder().set("sessions", "grace_period", "\"1s\"").set("admission", "rate", "5000")
}

async fn all_get(agents: &[Agent], server: &Mock, round: u8) {
    for agent in agents {
        server.push(&offer(agent.uid(), &[round])).await;
    }
    for agent in agents {
        let is_there = |message: &ServerToAgent| {
            message.remote_config.as_ref().is_some_and(|config| config.config_hash == [round])
        };
        agent.wait(|seen| seen.messages.iter().any(is_there)).await;
        let foreign = |message: &ServerToAgent| {
            !message.instance_uid.is_empty() && message.instance_uid != agent.uid()
        };
        assert!(!agent.messages().iter().any(foreign), "{:?}", agent.messages());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_behind_two_seawalls_in_a_row_are_all_reached_and_none_is_missed() {
    const AGENTS: u16 = 200;
    let server = Mock::start().await;
    let inner = impatient().server(&server.url(), Mode::Multiplexed(2)).start().await;
    let outer = impatient().server(&inner.ws_url(), Mode::Multiplexed(2)).start().await;
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        agents.push(Agent::connect(outer.edge(), uid(n)).await);
    }
    let all: Vec<&Agent> = agents.iter().collect();
    server.converged(&all).await;
    all_get(&agents, &server, 1).await;
    inner.wait_metric(SHARED, &[], |value| value == 2.0).await;
    // Longer than the grace period: an agent that counted as absent would be gone by now.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.with(|state| state.left.len()), 0);
    inner
        .wait_metric(SESSIONS, &[("state", "connected")], |value| value == f64::from(AGENTS))
        .await;
    all_get(&agents, &server, 2).await;
    agents[7].set_health("changed").await;
    server.converged(&all).await;
    // The end of one is the end of one: the gateway in front says when.
    let gone = agents.swap_remove(11);
    let gone_uid = gone.uid().to_vec();
    drop(gone);
    server.wait("its goodbye", |state| state.left == [gone_uid.clone()]).await;
    all_get(&agents, &server, 3).await;
    assert!(agents.iter().all(Agent::is_connected));
}

#[tokio::test]
async fn a_connection_that_is_lost_is_the_absence_of_all_its_agents() {
    let server = Mock::start().await;
    let gateway = impatient().server(&server.url(), Mode::Multiplexed(1)).start().await;
    let mut carrier = Socket::open(gateway.edge()).await;
    for n in 0..20 {
        assert_eq!(carrier.ask(&full_report(&uid(n), 0)).await.instance_uid, uid(n));
    }
    drop(carrier);
    // Agents that are back in time are not missed.
    let mut back = Socket::open(gateway.edge()).await;
    for n in 0..10 {
        assert_eq!(back.ask(&heartbeat(&uid(n), 1)).await.instance_uid, uid(n));
    }
    server.wait("ten are gone", |state| state.left.len() == 10).await;
    let mut left = server.with(|state| state.left.clone());
    left.sort();
    assert_eq!(left, (10..20).map(uid).collect::<Vec<_>>());
}

/// A server's restart, with many agents on one connection.
#[tokio::test]
async fn a_server_that_forgets_learns_all_agents_of_a_connection_again() {
    let mut server = Mock::start().await;
    let gateway = impatient()
        .set("upstream", "backoff_initial", "\"100ms\"")
        .set("upstream", "backoff_max", "\"200ms\"")
        .server(&server.url(), Mode::Multiplexed(1))
        .start()
        .await;
    let mut carrier = Socket::open(gateway.edge()).await;
    let mut truths = Vec::new();
    for n in 0..20 {
        let mut truth = full_report(&uid(n), 0);
        truth.health = Some(health(&format!("agent {n}")));
        assert_eq!(carrier.ask(&truth).await.instance_uid, uid(n));
        truths.push(truth);
    }
    server.stop().await;
    server.with(|state| state.forget());
    server.listen().await;
    let knows_all =
        |state: &crate::support::mock::state::State| truths.iter().all(|truth| state.knows(truth));
    server.wait("all agents again", knows_all).await;
    for n in 0..20 {
        server.push(&offer(&uid(n), b"after")).await;
        let got = carrier.reply().await;
        assert_eq!((got.instance_uid, got.remote_config.is_some()), (uid(n), true));
    }
}
