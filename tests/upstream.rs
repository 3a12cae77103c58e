//! Seawall in front of servers that misbehave, are slow, go away and come back.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod support;

#[path = "upstream/agreed.rs"]
mod agreed;
#[path = "upstream/dialling.rs"]
mod dialling;
#[path = "upstream/errors.rs"]
mod errors;
#[path = "upstream/holding.rs"]
mod holding;
#[path = "upstream/http.rs"]
mod http;
#[path = "upstream/latency.rs"]
mod latency;
#[path = "upstream/leaving.rs"]
mod leaving;
#[path = "upstream/moving.rs"]
mod moving;
#[path = "upstream/outages.rs"]
mod outages;
#[path = "upstream/proxies.rs"]
mod proxies;
#[path = "upstream/pushes.rs"]
mod pushes;
#[path = "upstream/reaching.rs"]
mod reaching;
#[path = "upstream/refusals.rs"]
mod refusals;
#[path = "upstream/stopping.rs"]
mod stopping;
#[path = "upstream/tls.rs"]
mod tls;
#[path = "upstream/useless.rs"]
mod useless;

use support::agent::Agent;
use support::gateway::{Gateway, GatewayBuilder, Mode};
use support::message::uid;
use support::mock::Mock;

/// A gateway with one link to this server.
fn before(server: &Mock) -> GatewayBuilder {
    Gateway::builder().server(&server.url(), Mode::Multiplexed(1))
}

/// Connects this number of agents.
async fn agents(gateway: &Gateway, count: u16) -> Vec<Agent> {
    let mut agents = Vec::new();
    for n in 0..count {
        agents.push(Agent::connect(gateway.edge(), uid(n)).await);
    }
    agents
}

fn refs(agents: &[Agent]) -> Vec<&Agent> {
    agents.iter().collect()
}

fn assert_connected(agents: &[Agent]) {
    let lost = agents.iter().filter(|agent| !agent.is_connected()).count();
    assert_eq!(lost, 0, "agents lost their connections");
}
