//! What is let in beside the rate of entry, as far as the machine bears it: agents that have sessions, and clients that
//! can be told nothing. Its own rate is automatic also where the operator sets that of entry, because what it bounds
//! is work that has to be done, at a pace that only the machine knows.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::automatic_rate::{AutomaticRate, Observed};
use crate::core::bucket::Bucket;

/// How much unused share can be used at once, as the time in which it is brought.
const BURST: Duration = Duration::from_millis(100);

/// See the module's text.
#[derive(Debug)]
pub(super) struct MachineShare {
    automatic: AutomaticRate,
    /// At most this many a second, however little the machine has to do.
    most: NonZeroU32,
    bucket: Bucket,
    /// One had to wait, or was refused, since the last observation.
    wanted: bool,
}

impl MachineShare {
    /// Begins at this rate.
    pub(super) fn new(first: NonZeroU32, most: NonZeroU32, now: Instant) -> Self {
        let first = first.min(most);
        let automatic = AutomaticRate::from_rate(first);
        Self { automatic, most, bucket: Bucket::with_depth(first, BURST, now), wanted: false }
    }

    /// Takes one, if there is one. `behind`: only if more than `reserved` (a part of one) of what can be saved up is left
    /// to the others.
    pub(super) fn take(&mut self, behind: Option<f64>, now: Instant) -> bool {
        let there = behind.is_none_or(|reserved| self.bucket.holds_more_than(reserved, now));
        let taken = there && self.bucket.take(now).is_ok();
        self.wanted |= !taken;
        taken
    }

    /// When there may be one again.
    pub(super) fn until_next(&mut self, now: Instant) -> Duration {
        self.bucket.ready(now).err().unwrap_or_default()
    }

    /// Follows the machine.
    pub(super) fn observe(&mut self, delay: Duration, passed: Duration, now: Instant) {
        let seen = Observed { delay, wanted: std::mem::take(&mut self.wanted) };
        let rate = self.automatic.observe(seen, passed);
        if rate > self.most {
            self.automatic = AutomaticRate::from_rate(self.most);
        }
        self.bucket.set_rate(rate.min(self.most), now);
    }

    /// A second's worth now.
    pub(super) fn rate(&self) -> NonZeroU32 {
        self.automatic.rate().min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// How many are let in within a second, of which each tick has this delay.
    fn second(share: &mut MachineShare, delay: Duration, now: &mut Instant) -> usize {
        let tick = AutomaticRate::INTERVAL;
        let ticks = (0..100).map(|_| {
            *now += tick;
            share.observe(delay, tick, *now);
            (0..1_000).filter(|_| share.take(None, *now)).count()
        });
        ticks.sum()
    }

    #[test]
    fn a_share_has_a_bound_and_gives_way_to_overload() {
        let mut now = crate::clock::now();
        let mut share = MachineShare::new(rate(9_000), rate(5_000), now);
        let calm = second(&mut share, Duration::ZERO, &mut now);
        assert!((5_000..=5_500).contains(&calm), "{calm}");
        let overload = second(&mut share, Duration::from_millis(40), &mut now);
        assert!(overload < 1_500, "{overload}");
        let least = second(&mut share, Duration::from_millis(40), &mut now);
        assert!((90..=210).contains(&least), "{least}");
        second(&mut share, Duration::ZERO, &mut now);
        let again = second(&mut share, Duration::ZERO, &mut now);
        assert!((4_900..=5_500).contains(&again), "{again}");
    }

    #[test]
    fn who_goes_behind_leaves_a_part_to_the_others() {
        let now = crate::clock::now();
        let mut share = MachineShare::new(rate(1_000), rate(5_000), now);
        let behind = (0..200).filter(|_| share.take(Some(0.25), now)).count();
        assert_eq!(behind, 75, "of a hundred");
        let others = (0..200).filter(|_| share.take(None, now)).count();
        assert_eq!(others, 25);
        assert!(share.until_next(now) > Duration::ZERO);
    }
}
