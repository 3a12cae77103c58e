//! The rate of entry where the operator sets none: as much as the machine bears.
//!
//! What one entry costs depends on the machine, on what else runs on it and on what agents bring with them.
//! So the cost is felt instead of estimated: a probe task that is due and has to wait behind others shows
//! that the processors have more to do than they can. While arrivals wait and the probe's delay is short, the
//! rate rises; while the delay is long, it falls, the faster the longer the delay is. Connected agents wait
//! behind the same work, so the delay aimed at is also what a storm costs them.
//!
//! Each observation hands out what may enter, [`AutomaticRate::BURST`] at most. So even at a rate far too high
//! entry stops until the probe task has run.
//!
//! The rate stays between storms: the next storm begins with what the last one has shown.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Entries a second and thread, before anything has been felt: a quarter of what a core bears at 50 us a session
/// (docs/PERFORMANCE.md). Beginning with all of it costs heartbeats 130 to 230 ms at p99 instead of 8 to 15.
const FIRST_PER_THREAD: f64 = 5_000.0;
/// The lower bound, in entries a second, however long delays are: they may have another cause.
const LEAST: f64 = 100.0;
/// The upper bound, in entries a second.
const MOST: f64 = 1_000_000.0;
/// The delay aimed at.
const AIM: Duration = Duration::from_millis(10);
/// At short delays the rate doubles in about a seventh of a second ...
const RISE_PER_SECOND: f64 = 5.0;
/// ... and three times as fast until a delay was too long: up to then the machine has shown no limit. A storm may be over in a
/// second, and what the search takes of it is lost to agents.
const FIRST_RISE_PER_SECOND: f64 = 15.0;
/// At twice the delay aimed at the rate halves in about that time, at a longer one faster ...
const FALL_PER_SECOND: f64 = 5.0;
/// ... but one observation halves it at most: a hiccup of the machine must not end a storm.
const FALL_MAX: f64 = 0.5;
/// An observation counts for this much time at most: a longer silence before it proves little.
const STEP_MAX: Duration = Duration::from_millis(100);

/// What was felt since the last observation.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// How long a probe task that was due had to wait for a processor.
    pub delay: Duration,
    /// Whether an arrival had to wait.
    pub wanted: bool,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct AutomaticRate {
    per_second: f64,
    /// How fast the rate rises at short delays.
    rise: f64,
}

impl AutomaticRate {
    /// How often to observe.
    pub const INTERVAL: Duration = Duration::from_millis(10);
    /// What may enter at most between two observations, as the time in which the rate brings it.
    pub const BURST: Duration = Duration::from_millis(20);

    /// For a runtime with this many threads.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self {
            per_second: (threads.get() as f64 * FIRST_PER_THREAD).min(MOST),
            rise: FIRST_RISE_PER_SECOND,
        }
    }

    /// Begins at a rate that is known.
    pub fn from_rate(rate: NonZeroU32) -> Self {
        Self { per_second: f64::from(rate.get()).clamp(LEAST, MOST), rise: RISE_PER_SECOND }
    }

    /// Takes in what the time `passed` since the last observation has shown.
    pub fn observe(&mut self, seen: Observed, passed: Duration) -> NonZeroU32 {
        let step = passed.min(STEP_MAX).as_secs_f64();
        let delay = seen.delay.as_secs_f64() / AIM.as_secs_f64();
        // While each arrival is admitted at once, other work causes the delay: the rate stays.
        if seen.wanted && delay <= 1.0 {
            self.per_second *= (self.rise * step).exp();
        } else if seen.wanted {
            self.rise = RISE_PER_SECOND;
            self.per_second *= (-FALL_PER_SECOND * (delay - 1.0) * step).exp().max(FALL_MAX);
        }
        self.per_second = self.per_second.clamp(LEAST, MOST);
        self.rate()
    }

    /// Entries a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
    pub fn rate(&self) -> NonZeroU32 {
        NonZeroU32::new(self.per_second as u32).unwrap_or(NonZeroU32::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = AutomaticRate::INTERVAL;

    /// A machine that bears `machine` entries a second, with `wanting` agents disconnected. Returns after how
    /// long all are admitted, and the longest delay after the first second.
    fn storm(rate: &mut AutomaticRate, machine: f64, mut wanting: f64) -> (Duration, Duration) {
        let (mut longest, mut passed, mut step) = (Duration::ZERO, Duration::ZERO, TICK);
        while wanting > 0.0 {
            let enter = f64::from(rate.rate().get()) * step.min(AutomaticRate::BURST).as_secs_f64();
            wanting -= enter;
            // The probe waits behind all of them.
            let delay = Duration::from_secs_f64(enter / machine).saturating_sub(TICK);
            step = TICK + delay;
            passed += step;
            rate.observe(Observed { delay, wanted: wanting > 0.0 }, step);
            if passed > Duration::from_secs(1) {
                longest = longest.max(delay);
            }
            assert!(passed < Duration::from_secs(10_000));
        }
        (passed, longest)
    }

    #[test]
    fn any_machine_is_kept_busy_and_responsive() {
        let machines = [(300.0, 1), (3_000.0, 2), (3_000.0, 16), (12_000.0, 1), (200_000.0, 64)];
        for (machine, threads) in machines {
            let mut rate = AutomaticRate::new(NonZeroUsize::new(threads).unwrap());
            let (time, longest) = storm(&mut rate, machine, machine * 30.0);
            let at = format!("{machine} a second, {threads} threads: {time:?}, {longest:?}");
            assert!(time.as_secs_f64() < 30.0 / 0.95, "{at}");
            assert!(longest <= Duration::from_millis(30), "{at}");
        }
    }

    #[test]
    fn the_rate_stays_while_each_arrival_is_admitted_at_once() {
        let mut rate = AutomaticRate::new(NonZeroUsize::MIN);
        let first = rate.rate();
        for delay in [Duration::ZERO, Duration::from_secs(1)] {
            assert_eq!(rate.observe(Observed { delay, wanted: false }, TICK), first);
        }
    }

    #[test]
    fn a_machine_that_bears_twice_of_the_first_rate_gives_it_within_a_tenth_of_a_second() {
        let mut rate = AutomaticRate::new(NonZeroUsize::MIN);
        let (first, short) =
            (rate.rate().get(), Observed { delay: Duration::from_millis(1), wanted: true });
        let ticks = (1..).find(|_| rate.observe(short, TICK).get() >= 2 * first).unwrap();
        assert!((4..=6).contains(&ticks), "{ticks}");
        // A limit was felt: from here on the rate rises with care.
        rate.observe(Observed { delay: 2 * AIM, wanted: true }, TICK);
        let felt = rate.rate().get();
        let ticks = (1..).find(|_| rate.observe(short, TICK).get() >= 2 * felt).unwrap();
        assert!((13..=15).contains(&ticks), "{ticks}");
    }

    #[test]
    fn the_rate_stays_within_its_bounds() {
        let mut rate = AutomaticRate::new(NonZeroUsize::MIN);
        for delay in [Duration::from_secs(5), Duration::ZERO] {
            (0..10_000).for_each(|_| _ = rate.observe(Observed { delay, wanted: true }, TICK));
            assert!((LEAST..=MOST).contains(&rate.per_second));
        }
    }
}
