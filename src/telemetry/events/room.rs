//! What an operator is told of the node's limits.

use std::time::Duration;

use tracing::warn;

use crate::core::admission::{Limit, RoomChange};
use crate::telemetry::label::Label as _;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::edge";

/// The limits that hold while the process runs.
pub(crate) struct LimitsKnown {
    /// Connections of agents.
    pub connections: usize,
    /// Agents that can be connected at one time; the other connections are reserved for refusals.
    pub agents: usize,
    /// Sessions in the table.
    pub sessions: u32,
    /// Bytes of incomplete messages.
    pub buffered_bytes: usize,
    /// Bytes that wait for agents.
    pub outbox_bytes: usize,
}

impl LimitsKnown {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn emit(self) {
        let metrics = metrics();
        metrics.connections_max.set(self.connections as f64);
        metrics.agents_max.set(self.agents as f64);
        metrics.sessions_max.set(f64::from(self.sessions));
        metrics.buffered_bytes_max.set(self.buffered_bytes as f64);
        metrics.outbox_bytes_max.set(self.outbox_bytes as f64);
    }
}

/// The node has no room for another agent, or has room again.
pub(crate) struct RoomChanged {
    /// Which.
    pub change: RoomChange,
    /// Connections that are open.
    pub connections: usize,
    /// How many agents may be connected.
    pub agents_max: usize,
}

impl RoomChanged {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        let Self { change, connections, agents_max } = self;
        match change {
            RoomChange::Full(limit) => {
                metrics().times_full.with(limit).increment(1);
                show(Some(limit));
                let limit_name = limit.as_str();
                // Of memory `PressureChanged` tells.
                if limit != Limit::Memory {
                    let what = remedy(limit);
                    warn!(target: TARGET, limit = limit_name, connections, agents_max, "the node is full: newcomers are told to come again; {what}");
                }
            }
            RoomChange::Room(full_for) => {
                show(None);
                let full_seconds = seconds(full_for);
                warn!(target: TARGET, full_seconds, connections, agents_max, "the node has room again");
            }
        }
    }
}

/// The gauge of the limit that makes the node full; all are 0 while there is room.
pub(crate) fn show(full: Option<Limit>) {
    for limit in Limit::ALL {
        metrics().full.with(limit).set(if full == Some(limit) { 1.0 } else { 0.0 });
    }
}

/// What an operator can do about it.
pub(crate) const fn remedy(limit: Limit) -> &'static str {
    match limit {
        Limit::Connections => {
            "raise the limit on open files (and edge.connections_max, if it is set), or add a node"
        }
        Limit::Sessions => "raise sessions.sessions_max, or add a node",
        Limit::Memory => "raise edge.memory_max or edge.buffered_bytes_max, or add a node",
    }
}

/// As a number of the log.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
