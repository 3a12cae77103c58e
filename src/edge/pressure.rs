//! Whether there is memory for more: the first defence, in front of everything else. Under pressure,
//! accepting slows to a trickle, and the kernel's queue waits.
//!
//! A trickle and not a halt: freed memory is not always given back to the system, and a gateway that
//! waited for that for ever would be down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::telemetry::events::admission::PressureChanged;
use crate::telemetry::resident_bytes;

/// Between two connections of one listening socket, under pressure.
const RESPITE: Duration = Duration::from_millis(100);
/// Pressure begins at nine tenths, and ends at eight.
const TENTHS_ON: usize = 9;
const TENTHS_OFF: usize = 8;

/// See the module.
pub(super) struct Pressure {
    on: AtomicBool,
    /// Resident memory; `usize::MAX` without a bound.
    memory_max: usize,
    buffered_bytes_max: usize,
}

impl Pressure {
    pub(super) fn new(memory_max: Option<usize>, buffered_bytes_max: usize) -> Self {
        let memory_max = memory_max.or_else(control_group_max).unwrap_or(usize::MAX);
        Self { on: AtomicBool::new(false), memory_max, buffered_bytes_max }
    }

    /// Looks at what is used; `buffered_bytes` are those of messages that have not wholly arrived.
    pub(super) fn observe(&self, buffered_bytes: usize) {
        let resident = resident_bytes().unwrap_or(0);
        let on = self.judge(resident, buffered_bytes);
        if self.on.swap(on, Ordering::Relaxed) != on {
            let memory_max = self.memory_max;
            PressureChanged { on, resident_bytes: resident, memory_max, buffered_bytes }.emit();
        }
    }

    fn judge(&self, resident: usize, buffered: usize) -> bool {
        let was = self.on.load(Ordering::Relaxed);
        let tenths = if was { TENTHS_OFF } else { TENTHS_ON };
        resident > self.memory_max / 10 * tenths || buffered > self.buffered_bytes_max / 10 * tenths
    }

    /// Returns at once, or under pressure after a respite.
    pub(super) async fn passed(&self) {
        if self.on.load(Ordering::Relaxed) {
            tokio::time::sleep(RESPITE).await;
        }
    }
}

/// What the control group (version 2, then 1) leaves this process. The root group has no such file, and
/// "max" is no number.
fn control_group_max() -> Option<usize> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let read = |file| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    files.into_iter().find_map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_near_the_bound_and_ends_well_below() {
        let pressure = Pressure::new(Some(1_000), 500);
        let judged = |resident, buffered| {
            let on = pressure.judge(resident, buffered);
            pressure.on.store(on, Ordering::Relaxed);
            on
        };
        assert!(!judged(900, 450));
        assert!(judged(901, 0));
        assert!(judged(850, 0));
        assert!(!judged(800, 400));
        assert!(judged(0, 451));
        assert!(!judged(0, 399));
    }

    #[tokio::test]
    async fn a_trickle_passes() {
        let pressure = Pressure::new(Some(1), 500);
        pressure.passed().await;
        pressure.observe(0);
        assert!(pressure.on.load(Ordering::Relaxed), "a process has more than a byte");
        pressure.passed().await;
    }
}
