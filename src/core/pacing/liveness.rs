//! R9: how many signs of life a server gets a second. Heartbeats and polls go on as they come while they fit the budget.
//! Past it their sessions wait in one queue, first in, first out: each stands there once, so that all get the same
//! share, evenly spread, and the server hears of each agent as often as of any other.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::core::bucket::Bucket;

/// A queue that has not been empty for this long is more than a crowd that came together.
const BEHIND_AFTER: Duration = Duration::from_secs(30);
/// Between two looks more time has passed only if the server was out of reach meanwhile.
const LOOKED_MAX: Duration = Duration::from_secs(1);
/// A bucket that holds this part and the next token is left unused.
const SAVED_UP: f64 = 0.4;
/// What may come together without a wait.
const DEPTH: Duration = Duration::from_millis(20);
/// Told once more when the server hears of each agent this many times more seldom.
const TOLD_AGAIN_AT: u32 = 2;

/// Whether a sign of life fits the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It goes now, and has used its part.
    Fits,
    /// Its session has to wait in [`super::Class::Liveness`].
    Waits,
    /// This server gets none.
    Never,
}

/// What an operator is told of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivenessNews {
    /// There are more signs of life than fit.
    Behind {
        /// The server hears of each agent about once in this time.
        every: Duration,
        /// It asked for this interval; zero if it asked for none.
        asked: Duration,
    },
    /// They fit again.
    Caught,
}

/// The budget of one server.
#[derive(Debug)]
pub(super) struct LivenessBudget {
    /// `None`: no sign of life goes.
    bucket: Option<(NonZeroU32, Bucket)>,
    /// The interval that was asked for last; zero is none.
    asked: Duration,
    /// For how long some have waited because of the budget.
    behind: Duration,
    /// When it was last asked for news.
    looked: Instant,
    told: Option<Duration>,
}

impl LivenessBudget {
    pub(super) fn new(rate_per_second: Option<NonZeroU32>, now: Instant) -> Self {
        // It holds two: with one, what comes while the other waits for a timer would be lost.
        let depth = |rate: NonZeroU32| DEPTH.max(Duration::from_secs(2) / rate.get());
        let bucket = rate_per_second.map(|rate| (rate, Bucket::with_depth(rate, depth(rate), now)));
        Self { bucket, asked: Duration::ZERO, behind: Duration::ZERO, looked: now, told: None }
    }

    /// A sign of life of an agent from which the server wants one in each `asked`, if that is not zero. The number that are
    /// `waiting` already go first.
    pub(super) fn admit(&mut self, asked: Duration, waiting: usize, now: Instant) -> Liveness {
        if !asked.is_zero() {
            self.asked = asked;
        }
        let Some((_, bucket)) = &mut self.bucket else { return Liveness::Never };
        if waiting == 0 && bucket.take(now).is_ok() { Liveness::Fits } else { Liveness::Waits }
    }

    /// How long until one that waits may go. Where none goes, sessions can only have come from another server's queue: they
    /// leave this one.
    pub(super) fn ready(&mut self, now: Instant) -> Result<(), Duration> {
        self.bucket.as_mut().map_or(Ok(()), |(_, bucket)| bucket.ready(now))
    }

    /// One that has waited goes.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some((_, bucket)) = &mut self.bucket {
            // The caller has looked: there is a token.
            _ = bucket.take(now);
        }
    }

    /// The one that was to go had nothing to say.
    pub(super) fn refund(&mut self) {
        if let Some((_, bucket)) = &mut self.bucket {
            bucket.refund();
        }
    }

    /// How long one that joins the queue now waits in it.
    pub(super) fn every(&self, waiting: usize) -> Duration {
        let Some((rate, _)) = &self.bucket else { return Duration::ZERO };
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        Duration::from_secs_f64(f64::from(waiting) / f64::from(rate.get()))
    }

    /// What there is to tell since it was last asked.
    pub(super) fn news(&mut self, waiting: usize, now: Instant) -> Option<LivenessNews> {
        let passed = now.saturating_duration_since(self.looked).min(LOOKED_MAX);
        self.looked = now;
        let (_, bucket) = self.bucket.as_mut()?;
        if waiting == 0 {
            self.behind = Duration::ZERO;
            return self.told.take().map(|_| LivenessNews::Caught);
        }
        // With tokens saved up it is the server's pace, or its pause, that they wait for.
        if !bucket.holds_more_than(SAVED_UP, now) {
            self.behind += passed;
        }
        let every = self.every(waiting);
        let is_new = self.told.is_none_or(|told| every >= told * TOLD_AGAIN_AT);
        if self.behind < BEHIND_AFTER || !is_new {
            return None;
        }
        self.told = Some(every);
        Some(LivenessNews::Behind { every, asked: self.asked })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SECOND, defaults, uid};
    use super::super::{Class, Next, Pacer, PacerParams};
    use super::*;

    fn budget(rate: u32) -> PacerParams {
        PacerParams { liveness: NonZeroU32::new(rate), ..defaults() }
    }

    /// A fleet whose agents say heartbeats each 30 s, for some minutes: how often each is heard of, in the last ten.
    fn heard(agents: u32, rate: u32) -> Vec<u32> {
        let start = crate::clock::now();
        let mut pacer = Pacer::new(budget(rate), start);
        let mut queued = vec![false; agents as usize];
        let mut heard = vec![0; agents as usize];
        for tick in 0..20 * 60 * 100_u32 {
            let now = start + SECOND / 100 * tick;
            let counts = tick >= 10 * 60 * 100;
            // In each 10 ms the heartbeats of one part of the agents.
            for n in (0..agents).filter(|n| n % 3_000 == tick % 3_000) {
                let said = !queued[n as usize]
                    && match pacer.liveness(SECOND * 30, now) {
                        Liveness::Fits => true,
                        Liveness::Waits => {
                            pacer.enqueue(uid(n), Class::Liveness);
                            queued[n as usize] = true;
                            false
                        }
                        Liveness::Never => panic!("there is a budget"),
                    };
                heard[n as usize] += u32::from(said && counts);
            }
            while let Next::Permit(who, class) = pacer.next(now) {
                assert_eq!(class, Class::Liveness);
                let n = (0..4).fold(0_u32, |n, at| n << 8 | u32::from(who.as_bytes()[at]));
                queued[n as usize] = false;
                heard[n as usize] += u32::from(counts);
            }
        }
        heard
    }

    #[test]
    fn what_fits_goes_as_it_comes() {
        assert!(heard(3_000, 200).iter().all(|times| *times == 20));
    }

    #[test]
    fn what_does_not_fit_is_shared_evenly() {
        let heard = heard(3_000, 10);
        let all: u32 = heard.iter().sum();
        assert!((5_950..=6_010).contains(&all), "600 s at 10 a second: {all}");
        assert!(heard.iter().all(|times| (1..=3).contains(times)), "each in about 300 s");
    }

    #[test]
    fn never_is_never() {
        let now = crate::clock::now();
        let mut pacer = Pacer::new(budget(0), now);
        assert_eq!(pacer.liveness(SECOND, now), Liveness::Never);
        assert_eq!((pacer.liveness_every(), pacer.liveness_news(now)), (Duration::ZERO, None));
    }

    #[test]
    fn signs_of_life_hold_nothing_else_up() {
        let now = crate::clock::now();
        let mut pacer = Pacer::new(budget(1), now);
        assert_eq!(pacer.liveness(SECOND, now), Liveness::Fits);
        (0..100).for_each(|n| _ = pacer.enqueue(uid(n), Class::Liveness));
        assert_eq!(pacer.liveness(SECOND, now), Liveness::Waits, "others wait");
        assert_eq!(pacer.admit(now), super::super::Permit::Granted, "a change");
        pacer.enqueue(uid(1), Class::Change);
        pacer.enqueue(uid(2), Class::Announce);
        let classes: Vec<_> = std::iter::from_fn(|| match pacer.next(now) {
            Next::Permit(_, class) => Some(class),
            Next::Wait(_) | Next::Empty => None,
        })
        .collect();
        assert_eq!(classes, [Class::Change, Class::Announce, Class::Liveness]);
        let Next::Wait(wait) = pacer.next(now) else { panic!("the others wait for the budget") };
        assert!(wait <= SECOND + Duration::from_millis(1), "{wait:?}");
        pacer.refund(Class::Liveness);
        assert!(
            matches!(pacer.next(now), Next::Permit(_, Class::Liveness)),
            "a permit that was not used is given back"
        );
    }

    #[test]
    fn an_operator_is_told_once_and_when_it_gets_worse() {
        let now = crate::clock::now();
        let mut budget = LivenessBudget::new(NonZeroU32::new(10), now);
        assert_eq!(budget.admit(SECOND * 30, 1, now), Liveness::Waits);
        assert_eq!(budget.news(1_000, now), None, "a crowd that came together");
        let told = |every| Some(LivenessNews::Behind { every, asked: SECOND * 30 });
        // In each second of those given: all tokens are used, and this many wait.
        let mut at = now;
        let mut seconds = |count: u32, waiting: usize, used: bool| {
            let mut news = None;
            for _ in 0..count {
                at += SECOND;
                while used && budget.ready(at).is_ok() {
                    budget.take(at);
                }
                news = news.or(budget.news(waiting, at));
            }
            news
        };
        assert_eq!(seconds(29, 1_000, true), None, "a crowd that came together");
        assert_eq!(seconds(60, 1_000, false), None, "the server has paused");
        assert_eq!(seconds(1, 1_000, true), told(SECOND * 100));
        assert_eq!(seconds(9, 1_900, true), None);
        assert_eq!(seconds(1, 2_000, true), told(SECOND * 200));
        assert_eq!(seconds(1, 0, true), Some(LivenessNews::Caught));
        assert_eq!(seconds(60, 0, true), None);
    }

    #[test]
    fn what_comes_from_another_servers_queue_is_let_go() {
        let now = crate::clock::now();
        let mut pacer = Pacer::new(budget(0), now);
        pacer.enqueue(uid(1), Class::Liveness);
        assert_eq!(pacer.liveness_news(now + SECOND * 60), None);
        assert!(matches!(pacer.next(now), Next::Permit(_, Class::Liveness)));
        assert_eq!(pacer.next(now), Next::Empty);
    }
}
