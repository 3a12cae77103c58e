//! Agents, and other peers, at Seawall's edge: what is accepted, what is refused and with which words, and that
//! each is counted. Raw sockets on one side, a server that behaves on the other.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod support;

#[path = "edge/admission.rs"]
mod admission;
#[path = "edge/bodies.rs"]
mod bodies;
#[path = "edge/clients.rs"]
mod clients;
#[path = "edge/frames.rs"]
mod frames;
#[path = "edge/heads.rs"]
mod heads;
#[path = "edge/identity.rs"]
mod identity;
#[path = "edge/requests.rs"]
mod requests;
#[path = "edge/time.rs"]
mod time;

use support::gateway::{Gateway, GatewayBuilder, Mode};
use support::mock::Mock;

const CLOSED: &str = "seawall_edge_closed_connections_total";
const REFUSED: &str = "seawall_edge_refused_requests_total";
const REJECTED: &str = "seawall_edge_rejected_messages_total";

/// A gateway before a server that behaves.
struct World {
    server: Mock,
    gateway: Gateway,
}

impl World {
    async fn start() -> Self {
        Self::with(|gateway| gateway).await
    }

    async fn with(configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let server = Mock::start().await;
        let builder = Gateway::builder().server(&server.url(), Mode::Multiplexed(1));
        let gateway = configure(builder).start().await;
        Self { server, gateway }
    }

    /// Waits until a counter with one label stands at exactly this.
    async fn counts(&self, name: &str, label: (&str, &str), wanted: u32) {
        self.gateway.wait_metric(name, &[label], |value| value == f64::from(wanted)).await;
    }

    /// The same for a counter that has no label.
    async fn total(&self, name: &str, wanted: u32) {
        self.gateway.wait_metric(name, &[], |value| value == f64::from(wanted)).await;
    }
}
