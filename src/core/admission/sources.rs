//! Which sources send more arrivals than their share.
//!
//! A source is an address or a credential; the caller hashes it. Each source has a share of the rate, and may
//! bring as many arrivals at once as its share of the park holds. Arrivals beyond it are admitted like all
//! others while there is room, and go behind others when places run short (`decide`). So a NAT with thousands
//! of agents is served, and one address cannot take the whole park.
//!
//! The buckets are governor's. Time comes in as an argument: it is told to the clock that the buckets look at.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// Above this many sources, idle ones are swept with each update instead of with each hundredth.
const SOURCES_MANY: usize = 10_000;
/// How many updates lie between two sweeps.
const SWEEP_UPDATES: u32 = 100;
/// A rate that has changed by this factor gets fresh buckets: what they counted says little about it.
const RENEW_FACTOR: f64 = 1.5;

/// The settings of the shares.
#[derive(Debug, Clone, Copy)]
pub struct SourceTerms {
    /// The part of rate and park that one source may take, in percent.
    pub percent: u8,
    /// At least this many arrivals at once are within any source's share: a NAT has many agents behind it.
    pub burst_min: NonZeroU32,
}

/// The time that was told last, for the buckets to look at.
#[derive(Debug, Clone, Default)]
struct ToldClock(Arc<AtomicU64>);

impl Clock for ToldClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct SourceShares {
    terms: SourceTerms,
    buckets: RateLimiter<u64, DashMapStateStore<u64>, ToldClock, NoOpMiddleware<Nanos>>,
    clock: ToldClock,
    started: Instant,
    /// The rate that the buckets were made for.
    rate: NonZeroU32,
    updates: u32,
}

impl SourceShares {
    /// At a rate, in entries a second, and with this many places in the park.
    pub fn new(terms: SourceTerms, rate: NonZeroU32, places: usize, now: Instant) -> Self {
        let clock = ToldClock::default();
        let buckets = RateLimiter::new(
            quota(terms, rate, places),
            DashMapStateStore::default(),
            clock.clone(),
        );
        Self { terms, buckets, clock, started: now, rate, updates: 0 }
    }

    /// Counts an arrival for each of its sources. Returns whether one of them is over its share.
    pub fn count(&self, sources: [Option<u64>; 2], now: Instant) -> bool {
        self.tell(now);
        // Both are counted, whatever the first says.
        let over = sources
            .map(|source| source.is_some_and(|source| self.buckets.check_key(&source).is_err()));
        over.contains(&true)
    }

    /// Follows the rate and the park, a few times a second; forgets sources that have their whole share
    /// again.
    pub fn update(&mut self, rate: NonZeroU32, places: usize, now: Instant) {
        self.tell(now);
        let change = f64::from(rate.get()) / f64::from(self.rate.get());
        if !(1.0 / RENEW_FACTOR..=RENEW_FACTOR).contains(&change) {
            *self = Self::new(self.terms, rate, places, now);
            return;
        }
        self.updates += 1;
        if self.updates.is_multiple_of(SWEEP_UPDATES) || self.buckets.len() > SOURCES_MANY {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
    }

    /// Sources that are counted now.
    pub fn sources(&self) -> usize {
        self.buckets.len()
    }

    fn tell(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.started).as_nanos();
        // Callers race: the latest time counts.
        self.clock.0.fetch_max(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn quota(terms: SourceTerms, rate: NonZeroU32, places: usize) -> Quota {
    let share = f64::from(terms.percent) / 100.0;
    let part = |of: f64| NonZeroU32::new((of * share) as u32).unwrap_or(NonZeroU32::MIN);
    let burst = part(places as f64).max(terms.burst_min);
    Quota::per_second(part(f64::from(rate.get()))).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PLACES: usize = 16;

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// A quarter of eight a second: two a second, and four at once.
    fn shares(now: Instant) -> SourceShares {
        let terms = SourceTerms { percent: 25, burst_min: rate(3) };
        SourceShares::new(terms, rate(8), PLACES, now)
    }

    fn over(shares: &SourceShares, source: u64, count: usize, now: Instant) -> usize {
        (0..count).filter(|_| shares.count([Some(source), None], now)).count()
    }

    #[test]
    fn a_source_over_its_share_leaves_the_others_alone() {
        let now = crate::clock::now();
        let shares = shares(now);
        assert_eq!(over(&shares, 1, 6, now), 2, "a burst of four: of sixteen places");
        assert_eq!(over(&shares, 2, 1, now), 0);
        assert_eq!(shares.sources(), 2);
        assert_eq!(over(&shares, 1, 3, now + Duration::from_secs(1)), 1, "two a second");
    }

    #[test]
    fn address_and_credential_are_counted_both() {
        let now = crate::clock::now();
        let shares = shares(now);
        assert_eq!(over(&shares, 1, 4, now), 0);
        assert!(shares.count([Some(1), Some(7)], now), "its address is over");
        assert_eq!(over(&shares, 7, 4, now), 1, "its credential was counted all the same");
        assert!(!shares.count([None, None], now));
    }

    #[test]
    fn buckets_are_renewed_when_the_rate_has_changed_by_half() {
        let now = crate::clock::now();
        let mut shares = shares(now);
        over(&shares, 1, 4, now);
        shares.update(rate(12), PLACES, now);
        assert_eq!(over(&shares, 1, 1, now), 1, "half as much again is nearly the same rate");
        shares.update(rate(13), PLACES, now);
        assert_eq!((shares.sources(), over(&shares, 1, 1, now)), (0, 0));
        over(&shares, 1, 4, now);
        shares.update(rate(8), PLACES, now);
        assert_eq!(shares.sources(), 0, "and downwards");
    }

    #[test]
    fn sources_with_their_whole_share_are_swept() {
        let now = crate::clock::now();
        let mut shares = shares(now);
        over(&shares, 1, 2, now);
        (0..99).for_each(|_| shares.update(rate(8), PLACES, now));
        let soon = now + Duration::from_millis(1_400);
        shares.update(rate(8), PLACES, soon);
        assert_eq!(shares.sources(), 1, "it has yet to get one back");
        let later = now + Duration::from_millis(1_600);
        (0..99).for_each(|_| shares.update(rate(8), PLACES, later));
        assert_eq!(shares.sources(), 1, "the sweep is rare");
        shares.update(rate(8), PLACES, later);
        assert_eq!(shares.sources(), 0);
    }

    #[test]
    fn a_time_in_the_past_counts_as_the_present() {
        let now = crate::clock::now() + Duration::from_secs(10);
        let shares = shares(now);
        over(&shares, 1, 4, now + Duration::from_secs(5));
        assert_eq!(over(&shares, 1, 1, now), 1);
    }
}
