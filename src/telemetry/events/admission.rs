//! What happens at the gate, before an agent is let in.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::core::admission::Outcome;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::edge::admission";

/// A connection's wish to come in has ended one way or the other.
pub struct AdmissionDecided {
    /// Which.
    pub outcome: Outcome,
    /// How long it was parked.
    pub parked: Duration,
}

impl AdmissionDecided {
    /// Counts it.
    pub fn emit(self) {
        metrics().admission_outcomes.with(self.outcome).increment(1);
        if !self.parked.is_zero() {
            metrics().admission_parked_seconds.record(self.parked);
        }
    }
}

/// The gate's rate was set by an operator, or is left to the machine.
pub struct RateSet {
    /// Entries a second; none: automatic.
    pub rate: Option<u32>,
}

impl RateSet {
    /// Logs it.
    pub fn emit(self) {
        let rate = self.rate.map_or_else(|| "automatic".to_owned(), |rate| rate.to_string());
        info!(target: TARGET, rate, "rate of entry set");
    }
}

/// The gate, looked at a few times a second.
pub struct AdmissionMeasured {
    /// Entries a second.
    pub rate: u32,
    /// Connections that wait for their turn.
    pub parked: usize,
    /// Refusals held back.
    pub held: usize,
    /// Agents that may be outside; none: nobody knows.
    pub outside: Option<u64>,
    /// When the last of them will be in, from now.
    pub last_in: Option<Duration>,
    /// Sources that are counted.
    pub sources: usize,
}

impl AdmissionMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn emit(self) {
        let metrics = metrics();
        metrics.admission_rate.set(f64::from(self.rate));
        metrics.admission_parked.set(self.parked as f64);
        metrics.admission_held.set(self.held as f64);
        // Zero would say that everybody is in.
        metrics.admission_disconnected.set(self.outside.map_or(f64::NAN, |agents| agents as f64));
        metrics.admission_last_in.set(self.last_in.map_or(f64::NAN, |time| time.as_secs_f64()));
        metrics.admission_sources.set(self.sources as f64);
    }
}

/// A storm has begun or is over, as the gate sees it: connections wait, or none does any more.
pub struct StormChanged {
    /// Whether it has begun.
    pub begun: bool,
    /// Entries a second.
    pub rate: u32,
    /// Agents that may be outside; none: nobody knows.
    pub outside: Option<u64>,
    /// How long until the last of those will be in, if all goes on like this.
    pub last_in: Option<Duration>,
}

impl StormChanged {
    /// Logs it.
    pub fn emit(self) {
        let (rate, outside) = (self.rate, self.outside);
        let last_in_seconds = self.last_in.map(|time| time.as_secs_f64().ceil());
        if self.begun {
            info!(target: TARGET, rate, outside, last_in_seconds, "agents have to wait to come in");
        } else {
            info!(target: TARGET, rate, "no agent waits to come in any more");
        }
    }
}

/// How long a task that was due waited for a processor.
pub struct Delayed {
    /// So long.
    pub delay: Duration,
}

impl Delayed {
    /// Counts it.
    pub fn emit(self) {
        metrics().scheduling_delay.record(self.delay);
    }
}

/// The system keeps a shorter accept queue than was asked for.
pub struct BacklogCapped {
    /// What was asked for, in connections.
    pub backlog: u32,
    /// `net.core.somaxconn`.
    pub somaxconn: u32,
}

impl BacklogCapped {
    /// Logs it.
    pub fn emit(self) {
        warn!(
            target: TARGET,
            backlog = self.backlog,
            somaxconn = self.somaxconn,
            "the kernel cuts edge.backlog to net.core.somaxconn: what overflows costs an agent a second; raise it with sysctl"
        );
    }
}

/// Accepting slows down because memory runs out, or is back to normal.
pub struct PressureChanged {
    /// Whether it is on.
    pub on: bool,
    /// Resident memory.
    pub resident_bytes: usize,
    /// What it may be.
    pub memory_max: usize,
    /// Bytes of messages that have not wholly arrived.
    pub buffered_bytes: usize,
}

impl PressureChanged {
    /// Logs and shows it.
    pub fn emit(self) {
        metrics().memory_pressure.set(if self.on { 1.0 } else { 0.0 });
        let (resident, max, buffered) = (self.resident_bytes, self.memory_max, self.buffered_bytes);
        if self.on {
            warn!(target: TARGET, resident, max, buffered, "memory runs out: new connections wait in the kernel's queue");
        } else {
            debug!(target: TARGET, resident, max, buffered, "memory suffices again");
        }
    }
}
