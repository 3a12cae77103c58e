//! A token bucket: how many of something may happen now.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Tokens that refill with time.
///
/// The burst is a fiftieth of a second's worth unless told otherwise, and at least one: small enough
/// that each second sees at most 2 % above the rate. It is also large enough for a task that is woken
/// some milliseconds late, if it holds two: with one, a token that comes while the other waits is lost.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate_per_second: f64,
    /// The burst, as the time in which it refills.
    depth: Duration,
    burst: f64,
    tokens: f64,
    refilled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate_per_second: NonZeroU32, now: Instant) -> Self {
        Self::with_depth(rate_per_second, Duration::from_millis(20), now)
    }

    /// A full bucket that refills in `depth`.
    pub fn with_depth(rate_per_second: NonZeroU32, depth: Duration, now: Instant) -> Self {
        let rate = f64::from(rate_per_second.get());
        let burst = (rate * depth.as_secs_f64()).max(1.0);
        Self { rate_per_second: rate, depth, burst, tokens: burst, refilled: now }
    }

    /// Another rate from `now` on; until then the old one has counted. A lower one takes the tokens
    /// away that are above its burst; a higher one starts with the tokens that there are.
    pub fn set_rate(&mut self, rate_per_second: NonZeroU32, now: Instant) {
        self.refill(now);
        let tokens = self.tokens;
        *self = Self::with_depth(rate_per_second, self.depth, self.refilled);
        self.tokens = tokens.min(self.burst);
    }

    /// Takes one token if there is one; else says how long until there is.
    ///
    /// # Errors
    /// The wait, from `now`.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.ready(now)?;
        self.tokens -= 1.0;
        Ok(())
    }

    /// Whether there is a token; else says how long until there is.
    ///
    /// # Errors
    /// The wait, from `now`.
    pub fn ready(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.tokens >= 1.0 {
            return Ok(());
        }
        // Rounded up: a caller that waits for exactly that long finds the token.
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.rate_per_second);
        Err(wait + Duration::from_nanos(1))
    }

    /// Whether more than this part of the burst is saved up, beyond the token that is taken next.
    pub fn holds_more_than(&mut self, part: f64, now: Instant) -> bool {
        self.refill(now);
        self.tokens - 1.0 >= self.burst * part
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.tokens =
            elapsed.as_secs_f64().mul_add(self.rate_per_second, self.tokens).min(self.burst);
        self.refilled = self.refilled.max(now);
    }

    /// Takes everything that is saved up.
    pub fn empty(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = 0.0;
    }

    /// Gives back a token that was taken and left unused.
    pub const fn refund(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_rate_and_burst() {
        let start = crate::clock::now();
        let mut bucket = Bucket::new(NonZeroU32::new(100).unwrap(), start);
        let taken = (0..=10_000)
            .filter(|ms| bucket.take(start + Duration::from_millis(*ms)).is_ok())
            .count();
        // Ten seconds at 100 a second, and the burst.
        assert!((995..=1_002).contains(&taken), "{taken}");
    }

    #[test]
    fn a_long_pause_saves_up_no_more_than_the_burst() {
        let start = crate::clock::now();
        let mut bucket = Bucket::new(NonZeroU32::new(100).unwrap(), start);
        let later = start + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 2);
        bucket.refund();
        assert!(bucket.take(later).is_ok(), "what was given back");
        (0..100).for_each(|_| bucket.refund());
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 2);
    }

    #[test]
    fn says_when() {
        let start = crate::clock::now();
        let mut bucket = Bucket::new(NonZeroU32::new(2).unwrap(), start);
        assert!(bucket.take(start).is_ok());
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait.as_millis(), 500);
        assert!(bucket.take(start + wait).is_ok());
    }

    #[test]
    fn another_rate_counts_from_then_on() {
        let start = crate::clock::now();
        let rate = |rate| NonZeroU32::new(rate).unwrap();
        let mut bucket = Bucket::with_depth(rate(100), Duration::from_secs(1), start);
        let taken =
            |bucket: &mut Bucket, at| (0..1_000).filter(|_| bucket.take(at).is_ok()).count();
        assert_eq!(taken(&mut bucket, start), 100);
        let half = start + Duration::from_millis(500);
        bucket.set_rate(rate(1_000), half);
        assert_eq!(taken(&mut bucket, half), 50, "what the old rate brought");
        let full = half + Duration::from_secs(9);
        bucket.set_rate(rate(10), full);
        assert_eq!(taken(&mut bucket, full), 10, "the new burst");
    }
}
