//! What happens when a node of a fleet gives connections to the others.

use tracing::info;

use crate::core::drain::AgentDrain;
use crate::core::rebalance::RebalanceEnd;
use crate::telemetry::label::Label as _;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::rebalance";

/// The node begins to close connections.
pub(crate) struct RebalanceBegun {
    /// Agents' connections here.
    pub connections: u64,
    /// This node's share of all.
    pub share: u64,
}

impl RebalanceBegun {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { connections, share } = self;
        info!(target: TARGET, connections, share, "rebalancing: connections are closed down to the share");
    }
}

/// An agent was to go to another node.
pub(crate) struct AgentShed {
    /// What came of it.
    pub outcome: AgentDrain,
}

impl AgentShed {
    /// Counts it, if its connection closes.
    pub(crate) fn emit(self) {
        if self.outcome == AgentDrain::Closing {
            metrics().rebalance_closed.increment(1);
        }
    }
}

/// The node closes no more.
pub(crate) struct RebalanceEnded {
    /// Why.
    pub end: RebalanceEnd,
    /// Connections closed.
    pub closed: u64,
    /// Of the last hundred, how many came back here.
    pub came_back: usize,
}

impl RebalanceEnded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        let Self { end, closed, came_back } = self;
        metrics().rebalance_ends.with(end).increment(1);
        info!(target: TARGET, reason = end.as_str(), closed, came_back, "rebalancing is over");
    }
}

/// Rebalancing, looked at a few times a second.
pub(crate) struct RebalanceMeasured {
    /// Whether connections are closed.
    pub shedding: bool,
}

impl RebalanceMeasured {
    /// Sets the gauge.
    pub(crate) fn emit(self) {
        metrics().rebalance_shedding.set(if self.shedding { 1.0 } else { 0.0 });
    }
}
