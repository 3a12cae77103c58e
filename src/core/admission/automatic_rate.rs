//! The rate of entry where nobody has set one: as much as the machine bears.
//!
//! What entry costs depends on the machine, on what else runs on it and on what agents bring with
//! them, so it is not estimated but felt: a task that is due and has to wait behind others says that
//! the processors have more than they can do. While somebody wants in and such delays are short, the
//! rate rises; when they are long, it falls, the faster the longer they are. Agents that are in already
//! wait behind the same work, so the delay aimed at is also what a storm costs them.
//!
//! What may enter is dealt out with each observation, [`AutomaticRate::BURST`] at most: were the rate far too
//! high, no more would come in until the task that observes has had its turn.
//!
//! The rate holds between storms: the next one begins with what the last one has shown.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Entries a second and thread, before anything has been felt: less than most machines do. Twice of it, which
/// is what two cores do, cost heartbeats 100 to 170 ms at p99 instead of 18 to 25, and gained nothing.
const FIRST_PER_THREAD: f64 = 3_000.0;
/// However bad things look, so many come in a second: the delays may have another cause.
const LEAST: f64 = 100.0;
const MOST: f64 = 1_000_000.0;
/// The delay aimed at.
const AIM: Duration = Duration::from_millis(10);
/// While there is room the rate doubles in about a seventh of a second.
const RISE_PER_SECOND: f64 = 5.0;
/// At twice the delay aimed at it halves in about that, at a longer one so much faster ...
const FALL_PER_SECOND: f64 = 5.0;
/// ... but one observation does no more than halve it: a hiccup of the machine must not end a storm.
const FALL_MAX: f64 = 0.5;
/// Longer silence between two observations says nothing about the time between them.
const STEP_MAX: Duration = Duration::from_millis(100);

/// What was felt since the last observation.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// How long a task that was due had to wait for a processor.
    pub delay: Duration,
    /// Whether anybody wanted in and had to wait.
    pub wanted: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct AutomaticRate {
    per_second: f64,
}

impl AutomaticRate {
    /// How often to observe.
    pub const INTERVAL: Duration = Duration::from_millis(10);
    /// What may enter at most between two observations, as the time in which the rate brings it.
    pub const BURST: Duration = Duration::from_millis(20);

    /// For a runtime of so many threads.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { per_second: (threads.get() as f64 * FIRST_PER_THREAD).min(MOST) }
    }

    /// Beginning where somebody else left off.
    pub fn from_rate(rate: NonZeroU32) -> Self {
        Self { per_second: f64::from(rate.get()).clamp(LEAST, MOST) }
    }

    /// What `passed` since the last observation has shown.
    pub fn observe(&mut self, seen: Observed, passed: Duration) -> NonZeroU32 {
        let step = passed.min(STEP_MAX).as_secs_f64();
        let delay = seen.delay.as_secs_f64() / AIM.as_secs_f64();
        // Nobody wants in: it is not entry that costs the time, and nothing is learnt about it.
        if seen.wanted && delay <= 1.0 {
            self.per_second *= (RISE_PER_SECOND * step).exp();
        } else if seen.wanted {
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

    /// A machine that does so many entries a second, with `wanting` of them outside. Says after how
    /// long all are in, and the longest delay after the first second.
    fn storm(rate: &mut AutomaticRate, machine: f64, mut wanting: f64) -> (Duration, Duration) {
        let (mut longest, mut passed, mut step) = (Duration::ZERO, Duration::ZERO, TICK);
        while wanting > 0.0 {
            let enter = f64::from(rate.rate().get()) * step.min(AutomaticRate::BURST).as_secs_f64();
            wanting -= enter;
            // The observing task waits behind all of them.
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
    fn whatever_the_machine_it_is_busy_and_not_drowned() {
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
    fn nothing_is_learnt_while_nobody_wants_in() {
        let mut rate = AutomaticRate::new(NonZeroUsize::MIN);
        let first = rate.rate();
        for delay in [Duration::ZERO, Duration::from_secs(1)] {
            assert_eq!(rate.observe(Observed { delay, wanted: false }, TICK), first);
        }
    }

    #[test]
    fn bounded() {
        let mut rate = AutomaticRate::new(NonZeroUsize::MIN);
        for delay in [Duration::from_secs(5), Duration::ZERO] {
            (0..10_000).for_each(|_| _ = rate.observe(Observed { delay, wanted: true }, TICK));
            assert!((LEAST..=MOST).contains(&rate.per_second));
        }
    }
}
