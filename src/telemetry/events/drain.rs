//! What happens when the node hands its agents over to others.

use std::time::Duration;

use tracing::{info, warn};

use crate::core::drain::DrainPhase;
use crate::telemetry::label::Label as _;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::drain";

/// A drain goes on to its next phase.
pub struct DrainPhaseEntered {
    /// Which.
    pub phase: DrainPhase,
    /// Agents' connections now open.
    pub left: usize,
}

impl DrainPhaseEntered {
    /// Logs it.
    pub fn emit(self) {
        info!(target: TARGET, phase = self.phase.as_str(), left = self.left, "draining");
    }
}

/// The rate that is set does not suffice. The configuration's fault.
pub struct DrainTooSlow {
    /// Agents' connections now open.
    pub open: usize,
    /// Of which so many are closed a second.
    pub rate: u32,
    /// For so long.
    pub time_max: Duration,
    /// And so many are then closed at one instant.
    pub left: u64,
}

impl DrainTooSlow {
    /// Logs it.
    pub fn emit(self) {
        let Self { open, rate, time_max, left } = self;
        warn!(
            target: TARGET,
            open,
            rate,
            time_max_seconds = time_max.as_secs(),
            closed_at_once = left,
            "drain.rate is too low for these agents: those left at drain.time_max are closed at one instant"
        );
    }
}

/// The node's last word on what agents said and servers have not taken, or not answered.
pub struct DrainUnacknowledged {
    /// Agents that were let go before their server had taken and answered everything.
    pub agents: usize,
    /// Messages that were on links at the end.
    pub messages: usize,
}

impl DrainUnacknowledged {
    /// Logs and counts it.
    pub fn emit(self) {
        let Self { agents, messages } = self;
        metrics().drain_unacknowledged.increment(agents as u64);
        if agents > 0 || messages > 0 {
            warn!(target: TARGET, agents, messages,
                "servers have not taken all that agents said; their next nodes ask for their state"
            );
        }
    }
}

/// How far a drain is, taken a few times a second.
pub struct DrainMeasured {
    /// Its phase.
    pub phase: DrainPhase,
    /// Agents' connections that it has yet to close.
    pub left: usize,
}

impl DrainMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub fn emit(self) {
        for phase in DrainPhase::ALL {
            let is_it = if *phase == self.phase { 1.0 } else { 0.0 };
            metrics().drain_phase.with(*phase).set(is_it);
        }
        metrics().drain_left.set(self.left as f64);
    }
}
