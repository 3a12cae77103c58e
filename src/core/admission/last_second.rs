//! How many of something there were in the last second, to a twentieth of it.

use std::time::{Duration, Instant};

const SLOT: Duration = Duration::from_millis(50);
/// A second, and the slot that has begun.
const SLOTS: usize = 21;
/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct LastSecond {
    slots: [f64; SLOTS],
    /// The slot that was counted in last, counted from the start.
    current: u64,
    started: Instant,
}

impl LastSecond {
    pub(super) const fn new(now: Instant) -> Self {
        Self { slots: [0.0; SLOTS], current: 0, started: now }
    }

    /// Counts this many more now.
    pub(super) fn add(&mut self, count: f64, now: Instant) {
        self.pass(now);
        self.slots[place(self.current)] += count;
    }

    /// Counts what a rate has brought between two moments, the second of which is now.
    pub(super) fn add_rate(&mut self, per_second: f64, from: Instant, now: Instant) {
        self.pass(now);
        let at = |moment: Instant| moment.saturating_duration_since(self.started).as_secs_f64();
        let (from, to) = (at(from), at(now));
        let oldest = self.current.saturating_sub(SLOTS as u64 - 1);
        for slot in oldest..=self.current {
            let begins = slot as f64 * SLOT.as_secs_f64();
            let ends = if slot == self.current { to } else { begins + SLOT.as_secs_f64() };
            let count = (ends.min(to) - begins.max(from)).max(0.0) * per_second;
            self.slots[place(slot)] += count;
        }
    }

    /// How many there were.
    pub(super) fn sum(&self, now: Instant) -> f64 {
        let oldest = self.present(now).saturating_sub(SLOTS as u64 - 1);
        let counted = oldest.max(self.current.saturating_sub(SLOTS as u64 - 1))..=self.current;
        counted.map(|slot| self.slots[place(slot)]).sum::<f64>().max(0.0)
    }

    /// How long until the slot that has begun is over.
    pub(super) fn until_next(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.started);
        SLOT.saturating_sub(passed.saturating_sub(SLOT.mul_f64(self.current as f64)))
    }

    fn present(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.started).as_millis() / SLOT.as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).max(self.current)
    }

    /// Drops the slots that are over.
    fn pass(&mut self, now: Instant) {
        let present = self.present(now);
        let first = (self.current + 1).max(present.saturating_sub(SLOTS as u64 - 1));
        (first..=present).for_each(|slot| self.slots[place(slot)] = 0.0);
        self.current = present;
    }
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_second() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut last = LastSecond::new(start);
        last.add(3.0, at(10));
        last.add(2.0, at(500));
        assert_eq!(last.sum(at(1_049)), 5.0);
        assert_eq!(last.sum(at(1_050)), 2.0, "the first slot is over");
        assert_eq!(last.sum(at(9_000)), 0.0);
        last.add_rate(10.0, at(8_400), at(9_000));
        assert!((last.sum(at(9_449)) - 6.0).abs() < 1e-6);
        assert!((last.sum(at(9_700)) - 3.0).abs() < 1e-6, "half of it was before the last second");
        last.add_rate(10.0, at(0), at(60_000));
        assert!((last.sum(at(60_000)) - 10.0).abs() < 0.51);
        let mut last = LastSecond::new(start);
        last.add(1.0, at(9_001));
        assert_eq!(last.sum(at(8_000)), 1.0, "time that goes back counts as now");
        assert_eq!(last.until_next(at(9_001)), Duration::from_millis(49));
    }
}
