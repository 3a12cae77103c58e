//! What happens before an agent is admitted.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::core::admission::{AdmissionStatus, Outcome};
use crate::telemetry::registry::metrics;
use crate::telemetry::text::thousands;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::edge::admission";

/// An arrival has ended: admitted, refused, or gone.
pub(crate) struct AdmissionDecided {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it was parked.
    pub parked: Duration,
}

impl AdmissionDecided {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().admission_outcomes.with(self.outcome).increment(1);
        if !self.parked.is_zero() {
            metrics().admission_parked_seconds.record(self.parked);
        }
    }
}

/// An operator has set the admission rate, or made it automatic.
pub(crate) struct RateSet {
    /// Connections a second; `None`: automatic.
    pub rate: Option<u32>,
}

impl RateSet {
    /// Logs it.
    pub(crate) fn emit(self) {
        let rate = self.rate.map_or_else(|| "automatic".to_owned(), |rate| rate.to_string());
        info!(target: TARGET, rate, "admission rate set");
    }
}

/// Admission, looked at a few times a second.
pub(crate) struct AdmissionMeasured<'a> {
    /// Its state.
    pub status: &'a AdmissionStatus,
    /// Sources that are counted.
    pub sources: usize,
}

impl AdmissionMeasured<'_> {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(crate) fn emit(self) {
        let metrics = metrics();
        let AdmissionStatus { rate, parked, held, disconnected, last_in, .. } = *self.status;
        metrics.admission_rate.set(f64::from(rate.get()));
        metrics.admission_parked.set(parked as f64);
        metrics.admission_held.set(held as f64);
        // Zero would say that all agents are connected.
        metrics.admission_disconnected.set(disconnected.map_or(f64::NAN, |agents| agents as f64));
        metrics.admission_last_in.set(last_in.map_or(f64::NAN, |time| time.as_secs_f64()));
        metrics.admission_sources.set(self.sources as f64);
    }
}

/// A storm has begun or is over: arrivals wait, or each is admitted at once again.
pub(crate) struct StormChanged<'a> {
    /// Whether it has begun.
    pub begun: bool,
    /// Admission's state.
    pub status: &'a AdmissionStatus,
}

impl StormChanged<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        let rate = self.status.rate.get();
        if self.begun {
            info!(target: TARGET, rate, "{}", storm(self.status));
        } else {
            info!(target: TARGET, rate, "storm over: arrivals are admitted at once");
        }
    }
}

/// How large a storm is, in words. An automatic rate rises while arrivals wait, so an estimate from its first
/// value would be far too long: it is left out.
fn storm(status: &AdmissionStatus) -> String {
    let AdmissionStatus { automatic, parked, disconnected, last_in, .. } = *status;
    let Some(agents) = disconnected else {
        return format!("storm: {} arrivals wait, fleet size unknown", thousands(parked as u128));
    };
    let agents = thousands(agents.into());
    match last_in {
        Some(last_in) if !automatic => {
            let seconds = last_in.as_secs_f64().ceil();
            format!("storm: {agents} agents disconnected, last one in about {seconds:.0} s")
        }
        _ => format!("storm: {agents} agents disconnected, the rate adapts to the machine"),
    }
}

/// The probe task was due and ran.
pub(crate) struct Delayed {
    /// How long it waited for a processor.
    pub delay: Duration,
}

impl Delayed {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().scheduling_delay.record(self.delay);
    }
}

/// The system cuts the accept queue to less than was asked for.
pub(crate) struct BacklogCapped {
    /// What was asked for, in connections.
    pub backlog: u32,
    /// `net.core.somaxconn`.
    pub somaxconn: u32,
}

impl BacklogCapped {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { backlog, somaxconn } = self;
        warn!(
            target: TARGET,
            "edge.backlog ({backlog}) is cut to net.core.somaxconn ({somaxconn}); run: sysctl -w net.core.somaxconn={backlog}"
        );
    }
}

/// Accepting slows down because memory runs out, or is back to normal.
pub(crate) struct PressureChanged {
    /// Whether it slows down.
    pub on: bool,
    /// Resident memory.
    pub resident_bytes: usize,
    /// Its bound; `usize::MAX` without one.
    pub memory_max: usize,
    /// Bytes of incomplete messages.
    pub buffered_bytes: usize,
    /// Their bound.
    pub buffered_max: usize,
}

impl PressureChanged {
    /// Logs and shows it.
    pub(crate) fn emit(self) {
        metrics().memory_pressure.set(if self.on { 1.0 } else { 0.0 });
        let (resident, buffered, buffered_max) =
            (self.resident_bytes, self.buffered_bytes, self.buffered_max);
        let max = Some(self.memory_max).filter(|max| *max < usize::MAX);
        if self.on {
            warn!(target: TARGET, resident, max, buffered, buffered_max, "memory is short: each listening socket accepts ten connections a second");
        } else {
            debug!(target: TARGET, resident, max, buffered, buffered_max, "memory suffices again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_storm_is_told_in_words() {
        let status = AdmissionStatus {
            automatic: false,
            rate: NonZeroU32::new(300).unwrap(),
            planned: NonZeroU32::new(300).unwrap(),
            need: 0,
            waiting: 1_500,
            parked: 1_500,
            park_places: 6_000,
            held: 0,
            disconnected: Some(10_000),
            last_in: Some(Duration::from_millis(33_300)),
            expected_until: None,
        };
        assert_eq!(storm(&status), "storm: 10,000 agents disconnected, last one in about 34 s");
        let automatic = AdmissionStatus { automatic: true, ..status };
        assert_eq!(
            storm(&automatic),
            "storm: 10,000 agents disconnected, the rate adapts to the machine"
        );
        let unknown = AdmissionStatus { disconnected: None, last_in: None, ..status };
        assert_eq!(storm(&unknown), "storm: 1,500 arrivals wait, fleet size unknown");
    }
}
