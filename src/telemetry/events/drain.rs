//! What happens when the node hands its agents over to others.

use std::time::Duration;

use tracing::{info, warn};

use crate::core::drain::DrainPhase;
use crate::telemetry::label::Label as _;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::drain";

/// A drain goes on to its next phase.
pub(crate) struct DrainPhaseEntered {
    /// The new phase.
    pub phase: DrainPhase,
    /// Agents' connections now open.
    pub left: usize,
}

impl DrainPhaseEntered {
    /// Logs it.
    pub(crate) fn emit(self) {
        match self.phase {
            DrainPhase::Drained => info!(target: TARGET, "drained"),
            phase => info!(target: TARGET, phase = phase.as_str(), left = self.left, "draining"),
        }
    }
}

/// The rate that is set is too low. The configuration's fault.
pub(crate) struct DrainTooSlow {
    /// Agents' connections now open.
    pub open: usize,
    /// How many of them are closed a second.
    pub rate: u32,
    /// For how long.
    pub time_max: Duration,
    /// How many are left then, and closed at one instant.
    pub left: u64,
}

impl DrainTooSlow {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { open, rate, time_max, left } = self;
        warn!(
            target: TARGET,
            open,
            rate,
            time_max_seconds = time_max.as_secs(),
            closed_at_once = left,
            "drain.rate is too low for these agents: connections left at drain.time_max are closed at one instant"
        );
    }
}

/// The node's last word on what agents said and servers left unacknowledged.
pub(crate) struct DrainUnacknowledged {
    /// Agents that were disconnected before their server had taken and answered everything.
    pub agents: usize,
    /// Messages that were on links at the end.
    pub messages: usize,
}

impl DrainUnacknowledged {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        let Self { agents, messages } = self;
        metrics().drain_unacknowledged.increment(agents as u64);
        if agents > 0 || messages > 0 {
            warn!(target: TARGET, agents, messages, "{}", unacknowledged(agents, messages));
        }
    }
}

/// The last word of a node that leaves its fleet on sessions that are still at home there.
pub(crate) struct NotHandedOver {
    /// Their agents.
    pub agents: usize,
}

impl NotHandedOver {
    /// Logs it, if there are any.
    pub(crate) fn emit(self) {
        let Self { agents } = self;
        if agents > 0 {
            warn!(
                target: TARGET,
                agents,
                "sessions could not be handed over, because no other node, or no store that nodes share, was there to \
                 take them: the others take them over as from a node that died, with one full state for each agent"
            );
        }
    }
}

/// What was left unacknowledged, in words.
fn unacknowledged(agents: usize, messages: usize) -> String {
    const NEXT: &str = "the next node will ask for";
    match agents {
        0 => format!("{messages} messages were unconfirmed when the links to servers were closed"),
        1 => format!(
            "1 agent was disconnected before its server confirmed everything; {NEXT} its full state"
        ),
        _ => format!(
            "{agents} agents were disconnected before their servers confirmed everything; {NEXT} their full state"
        ),
    }
}

/// How far a drain is, taken a few times a second.
pub(crate) struct DrainMeasured {
    /// Its phase.
    pub phase: DrainPhase,
    /// Agents' connections that it has yet to close.
    pub left: usize,
}

impl DrainMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn emit(self) {
        for phase in DrainPhase::ALL {
            let is_it = if *phase == self.phase { 1.0 } else { 0.0 };
            metrics().drain_phase.with(*phase).set(is_it);
        }
        metrics().drain_left.set(self.left as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_unacknowledged_is_told_in_words() {
        assert_eq!(
            unacknowledged(1, 0),
            "1 agent was disconnected before its server confirmed everything; the next node will ask for its \
             full state"
        );
        assert!(
            unacknowledged(2, 5).starts_with("2 agents were disconnected before their servers")
        );
        assert!(unacknowledged(0, 5).starts_with("5 messages were unconfirmed"));
    }
}
