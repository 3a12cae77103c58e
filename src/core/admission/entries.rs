//! What may enter now: a token bucket, and for a node that shares a fleet's rate a second bound.
//!
//! A bucket alone admits in one second a burst and the rate, which a fleet may not. So a node of a fleet counts what
//! its share has brought in the last second, and what has entered in it: no more enters than was brought. The bucket
//! still spreads entries evenly, and a task that is woken late makes up for it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::slots::SlotCounts;
use crate::core::bucket::Bucket;

/// The burst of a node that shares a rate, at most.
const SHARED_BURST: Duration = Duration::from_millis(200);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Entries {
    rate: NonZeroU32,
    bucket: Bucket,
    shared: Option<SharedRate>,
}

/// The bound of a node that shares a rate.
#[derive(Debug)]
struct SharedRate {
    brought: SlotCounts,
    entered: SlotCounts,
    /// Until when the share is counted.
    counted: Instant,
}

impl Entries {
    pub(super) fn new(rate: NonZeroU32, burst: Duration, now: Instant) -> Self {
        Self { rate, bucket: Bucket::with_depth(rate, burst, now), shared: None }
    }

    /// Entries a second.
    pub(super) const fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// Another rate from now on.
    pub(super) fn set_rate(&mut self, rate: NonZeroU32, now: Instant) {
        self.count(now);
        self.bucket.set_rate(rate, now);
        self.rate = rate;
    }

    /// Another burst, which begins empty.
    pub(super) fn set_burst(&mut self, burst: Duration, now: Instant) {
        self.bucket = Bucket::with_depth(self.rate, burst, now);
        self.bucket.empty(now);
    }

    /// From now on the rate is a share, of which no second sees more than it brings; or it is no longer.
    pub(super) fn set_shared(&mut self, shared: bool, burst: Duration, now: Instant) {
        if shared == self.shared.is_some() {
            return;
        }
        let last = SlotCounts::of_a_second(now);
        let begin = || SharedRate { brought: last.clone(), entered: last.clone(), counted: now };
        self.shared = shared.then(begin);
        self.set_burst(if shared { burst.min(SHARED_BURST) } else { burst }, now);
    }

    /// Takes an entry, if there is one; else says how long until there may be.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.count(now);
        self.bucket.ready(now)?;
        if let Some(shared) = &mut self.shared {
            if shared.entered.sum(now) + 1.0 > shared.brought.sum(now).max(1.0) {
                return Err(shared.brought.until_next(now));
            }
            shared.entered.add(1.0, now);
        }
        self.bucket.take(now)
    }

    /// How long until there may be an entry, after [`Self::take`] found none.
    pub(super) fn until_next(&mut self, now: Instant) -> Duration {
        if let Err(wait) = self.bucket.ready(now) {
            return wait;
        }
        let shared = self.shared.as_mut();
        shared.map_or(Duration::ZERO, |shared| shared.brought.until_next(now))
    }

    /// Gives an entry back.
    pub(super) fn refund(&mut self, now: Instant) {
        self.bucket.refund();
        if let Some(shared) = &mut self.shared {
            shared.entered.add(-1.0, now);
        }
    }

    /// Counts what the rate has brought.
    fn count(&mut self, now: Instant) {
        if let Some(shared) = &mut self.shared {
            shared.brought.add_rate(f64::from(self.rate.get()), shared.counted, now);
            shared.counted = shared.counted.max(now);
        }
    }
}
