//! How many agents may be disconnected: an upper bound, which keeps reservations from running away.
//!
//! The fleet is taken to be as large as it was seen connected at one time within the last day or two, in
//! quiet moments; comings and goings during a storm are left out. Until the first quiet moment its size is
//! unknown, because the gateway may have been started into a storm.

use std::time::{Duration, Instant};

/// Quiet: for this long each arrival was admitted at once, so all agents that want to be are connected.
const QUIET: Duration = Duration::from_secs(2);
/// A size that was last seen between one and two of these ago is forgotten.
const MEMORY: Duration = Duration::from_secs(86_400);

/// See the module's text.
#[derive(Debug)]
pub struct Fleet {
    /// The size that the operator expects at least.
    least: u64,
    /// The most that were connected in this period and in the one before.
    most: [u64; 2],
    period: Instant,
    busy: Instant,
    known: bool,
}

impl Fleet {
    /// `least`: what the operator expects; 0 leaves it open.
    pub const fn new(least: u64, now: Instant) -> Self {
        Self { least, most: [0; 2], period: now, busy: now, known: least > 0 }
    }

    /// Takes note of how many agents are connected, and of whether an arrival had to wait since the last
    /// call.
    pub fn observe(&mut self, connected: u64, waited: bool, now: Instant) {
        if waited {
            self.busy(now);
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

    /// An arrival has to wait now, here or at another node.
    pub(super) const fn busy(&mut self, now: Instant) {
        self.busy = now;
    }

    /// How many may be disconnected at most, while this many are connected; empty while the fleet's size is
    /// unknown.
    pub fn disconnected(&self, connected: u64) -> Option<u64> {
        self.known.then(|| self.size().saturating_sub(connected))
    }

    /// How many agents there are taken to be; 0 while that is unknown.
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
        assert_eq!(fleet.disconnected(500), None);
        fleet.observe(900, false, now + SECOND * 2);
        assert_eq!(fleet.disconnected(900), None);
        fleet.observe(1_000, false, now + SECOND * 3);
        assert_eq!((fleet.disconnected(1_000), fleet.disconnected(10)), (Some(0), Some(990)));
        fleet.observe(1_200, true, now + SECOND * 9);
        assert_eq!(fleet.size(), 1_000);
        assert_eq!(fleet.disconnected(1_200), Some(0));
    }

    #[test]
    fn what_the_operator_says_counts_at_once() {
        let now = crate::clock::now();
        let mut fleet = Fleet::new(5_000, now);
        assert_eq!(fleet.disconnected(100), Some(4_900));
        fleet.observe(6_000, false, now + QUIET);
        assert_eq!(fleet.disconnected(100), Some(5_900));
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
        assert_eq!(fleet.disconnected(0), Some(0));
    }
}
