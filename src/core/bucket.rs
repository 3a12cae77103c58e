//! A token bucket: how many of something may happen now.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Tokens that refill with time. The burst is a tenth of a second's worth, and at least one: what
/// is paced here goes to a server that must not notice a restart.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate_per_second: f64,
    burst: f64,
    tokens: f64,
    refilled: Instant,
}

impl Bucket {
    /// An empty bucket.
    pub fn new(rate_per_second: NonZeroU32, now: Instant) -> Self {
        let rate = f64::from(rate_per_second.get());
        Self { rate_per_second: rate, burst: (rate / 10.0).max(1.0), tokens: 0.0, refilled: now }
    }

    /// Takes one token if there is one; else says how long until there is.
    ///
    /// # Errors
    /// The wait, from `now`.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.tokens =
            elapsed.as_secs_f64().mul_add(self.rate_per_second, self.tokens).min(self.burst);
        self.refilled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate_per_second))
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
        // Ten seconds at 100 a second; the bucket starts empty.
        assert!((995..=1_001).contains(&taken), "{taken}");
    }

    #[test]
    fn a_long_pause_saves_up_no_more_than_the_burst() {
        let start = crate::clock::now();
        let mut bucket = Bucket::new(NonZeroU32::new(100).unwrap(), start);
        let later = start + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 10);
    }

    #[test]
    fn says_when() {
        let start = crate::clock::now();
        let mut bucket = Bucket::new(NonZeroU32::new(2).unwrap(), start);
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(bucket.take(start + wait).is_ok());
    }
}
