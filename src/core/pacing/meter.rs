//! How many messages have gone lately, by the second.

use std::time::{Duration, Instant};

const SLOT: Duration = Duration::from_millis(250);
/// A second's worth of slots, and the one that is being filled.
const SLOTS: usize = 5;
/// All slots but the one that is being filled.
const WHOLE: Duration = Duration::from_secs(1);

/// A rate over the last second, give or take a slot.
#[derive(Debug)]
pub(super) struct Meter {
    counts: [u32; SLOTS],
    slot: usize,
    slot_began: Instant,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self { counts: [0; SLOTS], slot: 0, slot_began: now }
    }

    pub(super) fn count(&mut self, now: Instant) {
        self.advance(now);
        self.counts[self.slot] = self.counts[self.slot].saturating_add(1);
    }

    pub(super) fn uncount(&mut self) {
        self.counts[self.slot] = self.counts[self.slot].saturating_sub(1);
    }

    /// How many a second.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let partly = now.saturating_duration_since(self.slot_began);
        let count: f64 = self.counts.iter().copied().map(f64::from).sum();
        count / (WHOLE + partly).as_secs_f64()
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.slot_began);
        if passed >= WHOLE + SLOT {
            *self = Self::new(now);
            return;
        }
        while now.saturating_duration_since(self.slot_began) >= SLOT {
            self.slot = (self.slot + 1) % SLOTS;
            self.counts[self.slot] = 0;
            self.slot_began += SLOT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let start = crate::clock::now();
        let mut meter = Meter::new(start);
        for n in 0..3_000 {
            meter.count(start + Duration::from_millis(n));
        }
        let end = start + Duration::from_secs(3);
        let rate = meter.per_second(end);
        assert!((rate - 1_000.0).abs() < 20.0, "{rate}");
        let rate = meter.per_second(end + Duration::from_secs(2));
        assert!(rate.abs() < 1e-9, "{rate}");
    }
}
