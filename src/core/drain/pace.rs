//! How many connections may be closed: at most the rate in any second, wherever that second begins.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::mutation::{Breach, is_on};

/// Closes at a rate. [`crate::core::bucket::Bucket`] allows the rate and a burst in a second; here the burst
/// is part of the rate, which is why a long drain keeps to 98 % of it.
///
/// The generic cell rate algorithm: `full_at` is when everything closed so far would have been closed at even
/// distances; being ahead of it by less than a burst is allowed. The first and the last of n closes are thus
/// at least (n - burst) intervals apart. The interval is chosen so that this is a second for n = rate + 1.
#[derive(Debug, Clone)]
pub struct DrainPace {
    interval: Duration,
    /// How far ahead `full_at` may be.
    tolerance: Duration,
    full_at: Option<Instant>,
}

/// The burst, as a part of the rate: a task that is woken some milliseconds late still keeps the pace.
const BURST_PART: u32 = 50;

impl DrainPace {
    /// This many a second.
    pub fn new(rate: NonZeroU32) -> Self {
        let ahead = rate.get() / BURST_PART;
        let even = u64::from(rate.get() - ahead);
        let interval = Duration::from_nanos(1_000_000_000_u64.div_ceil(even));
        Self { interval, tolerance: interval * ahead, full_at: None }
    }

    /// Takes the permission for one close.
    ///
    /// # Errors
    /// The moment from which there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at > now + self.tolerance && !is_on(Breach::DrainClosesFaster) {
            return Err(full_at - self.tolerance);
        }
        self.full_at = Some(full_at + self.interval);
        Ok(())
    }

    /// Gives back a permission that was left unused.
    pub fn refund(&mut self) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(self.interval));
    }
}
