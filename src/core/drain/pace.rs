//! How many connections may be closed: never more than the rate in any second, wherever it begins.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::mutation::{Breach, is_on};

/// Closes at a rate. [`crate::core::bucket::Bucket`] lets a second have its rate and a burst; here the
/// burst is part of the rate, which is why a long drain keeps to 98 % of it.
///
/// The generic cell rate algorithm: `full_at` is when everything let go so far would have been
/// let go at even distances; being ahead of it by less than a burst is allowed. The first and the last of
/// n closes are thus at least (n - burst) intervals apart, and the interval is chosen so that this is a
/// second for n = rate + 1.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    /// How far ahead `full_at` may be.
    tolerance: Duration,
    full_at: Option<Instant>,
}

/// The burst, as a part of the rate: a task that is woken some milliseconds late loses nothing.
const BURST_PART: u32 = 50;

impl Pace {
    /// So many a second.
    pub fn new(rate: NonZeroU32) -> Self {
        let ahead = rate.get() / BURST_PART;
        let even = u64::from(rate.get() - ahead);
        let interval = Duration::from_nanos(1_000_000_000_u64.div_ceil(even));
        Self { interval, tolerance: interval * ahead, full_at: None }
    }

    /// Takes a turn, if there is one.
    ///
    /// # Errors
    /// When there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at > now + self.tolerance && !is_on(Breach::DrainClosesFaster) {
            return Err(full_at - self.tolerance);
        }
        self.full_at = Some(full_at + self.interval);
        Ok(())
    }

    /// Gives back a turn that was taken and not used.
    pub fn refund(&mut self) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(self.interval));
    }
}
