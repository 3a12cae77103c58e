//! How many agents may be outside: an upper bound, by which slots are kept from running away.
//!
//! The fleet is taken to be as large as it was seen connected at one time within the last day or two,
//! in quiet moments: a storm's own comings and goings say nothing about it. Until there was a quiet
//! moment nobody knows, for the gateway may have been started into a storm.

use std::time::{Duration, Instant};

/// So long nobody may have been kept waiting: then everybody is in who wants to be.
const QUIET: Duration = Duration::from_secs(2);
/// A size that was not seen again for between one and two of these is forgotten.
const MEMORY: Duration = Duration::from_secs(86_400);

/// See the module.
#[derive(Debug)]
pub struct Fleet {
    /// What the operator says that there is at least.
    least: u64,
    /// The most that were seen in this period and the one before.
    most: [u64; 2],
    period: Instant,
    busy: Instant,
    known: bool,
}

impl Fleet {
    /// `least`: what the operator expects; 0 if nothing.
    pub const fn new(least: u64, now: Instant) -> Self {
        Self { least, most: [0; 2], period: now, busy: now, known: least > 0 }
    }

    /// So many are connected; somebody was kept waiting since the last time, or nobody.
    pub fn observe(&mut self, connected: u64, waiting: bool, now: Instant) {
        if waiting {
            self.busy = now;
        }
        while now.saturating_duration_since(self.period) >= MEMORY {
            self.most = [0, self.most[0]];
            self.period += MEMORY;
        }
        if connected > 0 && now.saturating_duration_since(self.busy) >= QUIET {
            self.most[0] = self.most[0].max(connected);
            self.known = true;
        }
    }

    /// How many may be outside at most, while so many are connected. None: nobody knows.
    pub fn outside(&self, connected: u64) -> Option<u64> {
        self.known.then(|| self.size().saturating_sub(connected))
    }

    /// How many agents there are taken to be; 0 while nobody knows.
    pub fn size(&self) -> u64 {
        self.most[0].max(self.most[1]).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn known_after_a_quiet_moment_and_not_from_a_storm() {
        let now = crate::clock::now();
        let mut fleet = Fleet::new(0, now);
        fleet.observe(500, true, now + SECOND);
        assert_eq!(fleet.outside(500), None);
        fleet.observe(900, false, now + SECOND * 2);
        assert_eq!(fleet.outside(900), None);
        fleet.observe(1_000, false, now + SECOND * 3);
        assert_eq!((fleet.outside(1_000), fleet.outside(10)), (Some(0), Some(990)));
        fleet.observe(1_200, true, now + SECOND * 9);
        assert_eq!(fleet.size(), 1_000);
        assert_eq!(fleet.outside(1_200), Some(0));
    }

    #[test]
    fn what_the_operator_says_counts_at_once() {
        let now = crate::clock::now();
        let mut fleet = Fleet::new(5_000, now);
        assert_eq!(fleet.outside(100), Some(4_900));
        fleet.observe(6_000, false, now + QUIET);
        assert_eq!(fleet.outside(100), Some(5_900));
    }

    #[test]
    fn a_fleet_that_shrank_is_believed_in_the_end() {
        let now = crate::clock::now();
        let mut fleet = Fleet::new(0, now);
        fleet.observe(1_000, false, now + QUIET);
        fleet.observe(400, false, now + MEMORY + SECOND);
        assert_eq!(fleet.size(), 1_000);
        fleet.observe(400, false, now + MEMORY * 2 + SECOND);
        assert_eq!(fleet.size(), 400);
        fleet.observe(0, false, now + MEMORY * 9);
        assert_eq!(fleet.outside(0), Some(0));
    }
}
