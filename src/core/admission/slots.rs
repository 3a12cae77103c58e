//! How many of something there were in each twentieth of a second, for a bounded time back.

use std::time::{Duration, Instant};

const SLOT: Duration = Duration::from_millis(50);
/// The last second, and the slot that has begun.
const SECOND_SLOTS: usize = 21;

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct SlotCounts {
    slots: Box<[f64]>,
    /// The slot that was counted in last, counted from the start.
    current: u64,
    started: Instant,
}

/// Counts of slots that follow one another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlotSeries {
    /// How long ago the first slot began.
    pub began: Duration,
    /// The count of each slot, the oldest first.
    pub counts: Vec<f64>,
}

impl SlotSeries {
    /// How long a slot lasts.
    pub const SLOT: Duration = SLOT;
}

impl SlotCounts {
    /// Of the last second.
    pub(super) fn of_a_second(now: Instant) -> Self {
        Self::new(SECOND_SLOTS, now)
    }

    /// Of this many slots.
    pub(super) fn new(slots: usize, now: Instant) -> Self {
        Self { slots: vec![0.0; slots.max(1)].into(), current: 0, started: now }
    }

    /// Counts this many more now.
    pub(super) fn add(&mut self, count: f64, now: Instant) {
        self.pass(now);
        self.slots[self.place(self.current)] += count;
    }

    /// Counts what a rate has brought between two moments, the second of which is now.
    pub(super) fn add_rate(&mut self, per_second: f64, from: Instant, now: Instant) {
        self.pass(now);
        let at = |moment: Instant| moment.saturating_duration_since(self.started).as_secs_f64();
        let (from, to) = (at(from), at(now));
        for slot in self.oldest(self.current)..=self.current {
            let begins = slot as f64 * SLOT.as_secs_f64();
            let ends = if slot == self.current { to } else { begins + SLOT.as_secs_f64() };
            let count = (ends.min(to) - begins.max(from)).max(0.0) * per_second;
            self.slots[self.place(slot)] += count;
        }
    }

    /// How many there were, in all slots that are not over.
    pub(super) fn sum(&self, now: Instant) -> f64 {
        let counted = self.oldest(self.present(now))..=self.current;
        counted.map(|slot| self.slots[self.place(slot)]).sum::<f64>().max(0.0)
    }

    /// How many there were in each slot that is not over.
    pub(super) fn series(&self, now: Instant) -> SlotSeries {
        let oldest = self.oldest(self.present(now));
        let counts = (oldest..=self.current).map(|slot| self.slots[self.place(slot)]);
        let began = SLOT.mul_f64(oldest as f64);
        let passed = now.saturating_duration_since(self.started);
        SlotSeries { began: passed.saturating_sub(began), counts: counts.collect() }
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

    /// The oldest slot that is there beside this one.
    fn oldest(&self, slot: u64) -> u64 {
        slot.saturating_sub(self.slots.len() as u64 - 1)
    }

    /// Drops the slots that are over.
    fn pass(&mut self, now: Instant) {
        let present = self.present(now);
        for slot in (self.current + 1).max(self.oldest(present))..=present {
            self.slots[self.place(slot)] = 0.0;
        }
        self.current = present;
    }

    fn place(&self, slot: u64) -> usize {
        usize::try_from(slot % self.slots.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_second() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut last = SlotCounts::of_a_second(start);
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
        let mut last = SlotCounts::of_a_second(start);
        last.add(1.0, at(9_001));
        assert_eq!(last.sum(at(8_000)), 1.0, "time that goes back counts as now");
        assert_eq!(last.until_next(at(9_001)), Duration::from_millis(49));
    }

    #[test]
    fn a_series_has_every_slot_that_is_kept() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut counts = SlotCounts::new(3, start);
        counts.add(1.0, at(10));
        counts.add(2.0, at(110));
        let series = counts.series(at(120));
        assert_eq!(series.counts, [1.0, 0.0, 2.0]);
        assert_eq!(series.began, Duration::from_millis(120));
        counts.add(4.0, at(160));
        let series = counts.series(at(170));
        assert_eq!(series.counts, [0.0, 2.0, 4.0], "the oldest has made room");
        assert_eq!(series.began, Duration::from_millis(120));
        assert_eq!(
            counts.series(at(210)).counts,
            [2.0, 4.0],
            "old ones go though none are counted"
        );
        assert!(counts.series(at(9_000)).counts.is_empty());
    }
}
