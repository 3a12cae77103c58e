//! What happens before an agent is admitted.

use std::time::Duration;

use tracing::{info, warn};

use super::room::seconds;
use crate::clock;
use crate::core::admission::{AdmissionStatus, Outcome, StormEvent, StormRecord};
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
        match self.rate {
            Some(rate) => info!(target: TARGET, rate, "admission rate set"),
            None => info!(target: TARGET, "admission rate automatic"),
        }
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

/// A storm has begun or is over.
pub(crate) struct StormChanged<'a> {
    /// Which.
    pub event: StormEvent,
    /// Dials so far of a storm that has begun.
    pub dials: u64,
    /// Admission's state.
    pub status: &'a AdmissionStatus,
}

impl StormChanged<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        let rate = self.status.rate.get();
        match self.event {
            StormEvent::Begun => {
                metrics().storms.increment(1);
                metrics().storm_under_way.set(1.0);
                info!(target: TARGET, rate, "{}", storm(self.status, self.dials));
            }
            StormEvent::Over(record) => {
                remember(&record);
                let StormRecord { dials, admitted, refused, .. } = record;
                let storm_seconds = seconds(record.length);
                let longest_parked_seconds = seconds(record.longest_parked);
                let longest_told_seconds = seconds(record.longest_told);
                info!(
                    target: TARGET,
                    rate,
                    storm_seconds,
                    dials,
                    admitted,
                    refused,
                    longest_parked_seconds,
                    longest_told_seconds,
                    "storm over"
                );
            }
        }
    }
}

/// Shows a storm that is over, until the next one is.
#[allow(clippy::cast_precision_loss)] // counts far below 2^52
fn remember(record: &StormRecord) {
    let metrics = metrics();
    let wait = record.longest_parked.max(record.longest_told);
    metrics.storm_under_way.set(0.0);
    metrics.storm_dials.increment(record.dials);
    metrics.storm_refusals.increment(record.refused);
    let since_1970 = clock::wall().duration_since(std::time::SystemTime::UNIX_EPOCH);
    metrics.last_storm_end.set(since_1970.unwrap_or_default().as_secs_f64());
    metrics.last_storm_seconds.set(record.length.as_secs_f64());
    metrics.last_storm_dials.set(record.dials as f64);
    metrics.last_storm_refusals.set(record.refused as f64);
    metrics.last_storm_wait.set(wait.as_secs_f64());
}

/// How large a storm is, in words. An automatic rate rises while arrivals wait, so an estimate from its first
/// value would be far too long: it is left out.
fn storm(status: &AdmissionStatus, dials: u64) -> String {
    let AdmissionStatus { automatic, parked, waiting, disconnected, last_in, .. } = *status;
    if waiting == 0 {
        return format!("storm: {} dials, each admitted at once so far", thousands(dials.into()));
    }
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
            warn!(target: TARGET, resident, max, buffered, buffered_max, "memory suffices again");
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
        assert_eq!(storm(&status, 9), "storm: 10,000 agents disconnected, last one in about 34 s");
        let automatic = AdmissionStatus { automatic: true, ..status };
        assert_eq!(
            storm(&automatic, 9),
            "storm: 10,000 agents disconnected, the rate adapts to the machine"
        );
        let unknown = AdmissionStatus { disconnected: None, last_in: None, ..status };
        assert_eq!(storm(&unknown, 9), "storm: 1,500 arrivals wait, fleet size unknown");
        let at_once = AdmissionStatus { waiting: 0, parked: 0, ..status };
        assert_eq!(storm(&at_once, 2_500), "storm: 2,500 dials, each admitted at once so far");
    }
}
