//! Limits and settings of the sessions, already validated. `config` builds them.

use std::time::Duration;

use crate::core::session::CustomKind;
use crate::opamp::digest::Volatile;
use crate::store::StoreParams;

/// What the table of sessions needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionsParams {
    /// Sessions at one time, connected and lingering.
    pub sessions_max: u32,
    /// How long a session outlives its connection before the server is told (R8).
    pub grace_period: Duration,
    /// How long an agent waits for the server's own reply before it gets an acknowledgement (R5).
    pub reply_wait: Duration,
    /// Of each agent one heartbeat in each such interval goes on to the server, if that has a budget for it; zero forwards
    /// all (R9).
    pub heartbeat_forward_interval: Duration,
    /// A plain-HTTP agent that has been silent for this long counts as disconnected.
    pub poll_timeout: Duration,
    /// Bytes that may wait for one agent to read them; one message is always allowed.
    pub outbox_bytes_max: usize,
    /// Bytes that may wait for all agents together.
    pub outbox_total_bytes_max: usize,
    /// Custom messages that may wait for one absent or polling agent.
    pub custom_messages_max: usize,
    /// What servers need of agents' custom messages.
    pub custom_kinds: CustomKinds,
    /// Parts of what agents report that may change unreported (R1).
    pub volatile: Volatile,
    /// Limits of the content store, from which servers get full states (R2).
    pub store: StoreParams,
}

impl Default for SessionsParams {
    fn default() -> Self {
        Self {
            sessions_max: 1_000_000,
            grace_period: Duration::from_secs(60),
            reply_wait: Duration::from_secs(1),
            heartbeat_forward_interval: Duration::from_secs(1),
            poll_timeout: Duration::from_secs(90),
            outbox_bytes_max: 1 << 20,
            outbox_total_bytes_max: 512 << 20,
            custom_messages_max: 64,
            custom_kinds: CustomKinds::default(),
            volatile: Volatile::default(),
            store: StoreParams::default(),
        }
    }
}

/// A heartbeat of otel-arrow carries the state of its pipelines each time.
const OTEL_ARROW_STATUS: &str = "io.opentelemetry.otap-dfe.pipeline-status/v1";

/// What servers need of agents' custom messages, by capability. Messages of every other capability are events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKinds(Vec<(String, CustomKind)>);

impl CustomKinds {
    /// How many capabilities may be named.
    pub const MAX: usize = 64;

    /// These, and what Seawall knows of the other capabilities.
    pub fn with(mut named: Vec<(String, CustomKind)>) -> Self {
        named.extend(Self::default().0);
        Self(named)
    }

    pub(super) fn of(&self, capability: &str) -> CustomKind {
        let found = self.0.iter().find(|(name, _)| name == capability);
        found.map_or(CustomKind::Event, |(_, kind)| *kind)
    }
}

impl Default for CustomKinds {
    fn default() -> Self {
        Self(vec![(OTEL_ARROW_STATUS.to_owned(), CustomKind::Dedup)])
    }
}
