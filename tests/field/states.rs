//! Custom messages that are states: otel-arrow's heartbeats carry health and the state of its pipelines each time.

use seawall::opamp::proto::{AgentToServer, CustomMessage};

use crate::support::gateway::{Gateway, Mode};
use crate::support::message::{full_report, health, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::socket::Socket;

const PIPELINES: &str = "io.opentelemetry.otap-dfe.pipeline-status/v1";

fn beat(number: u64, capability: &str, pipelines: &str) -> AgentToServer {
    let custom = CustomMessage {
        capability: capability.to_owned(),
        r#type: "status".to_owned(),
        data: pipelines.into(),
    };
    AgentToServer {
        health: Some(health("running")),
        custom_message: Some(custom),
        ..heartbeat(&uid(1), number)
    }
}

fn customs(server: &Mock) -> Vec<String> {
    server.with(|state| {
        let customs = state.received.iter().filter_map(|(_, sent)| sent.custom_message.as_ref());
        customs.map(|custom| String::from_utf8(custom.data.clone()).unwrap()).collect()
    })
}

#[tokio::test]
async fn an_unchanged_pipeline_status_stays_here() {
    let server = Mock::start().await;
    let gateway = Gateway::builder().server(&server.url(), Mode::Multiplexed(1)).start().await;
    let mut agent = Socket::open(gateway.edge()).await;
    agent.ask(&full_report(&uid(1), 0)).await;
    agent.ask(&beat(1, PIPELINES, "one")).await;
    let before = server.with(|state| state.received.len());
    for number in 2..20 {
        agent.ask(&beat(number, PIPELINES, "one")).await;
    }
    assert_eq!(server.with(|state| state.received.len()), before, "nothing is new");
    agent.ask(&beat(20, PIPELINES, "two")).await;
    assert_eq!(customs(&server), ["one", "two"]);
    // Other capabilities' are events, unless the operator says otherwise.
    agent.ask(&beat(21, "com.example", "three")).await;
    agent.ask(&beat(22, "com.example", "three")).await;
    assert_eq!(customs(&server), ["one", "two", "three", "three"]);
    // A server that starts anew gets it with the next heartbeat.
    server.close().await;
    server.with(|state| state.forget());
    gateway.wait_metric("seawall_upstream_links", &[], |links| links == 1.0).await;
    server.wait("the agent is introduced", |state| state.agents.contains_key(&uid(1))).await;
    agent.ask(&beat(23, PIPELINES, "two")).await;
    server
        .wait("its state", |state| {
            state.received.last().is_some_and(|(_, sent)| sent.custom_message.is_some())
        })
        .await;
}
