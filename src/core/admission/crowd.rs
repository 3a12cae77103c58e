//! How many agents are disconnected at least, by what admission itself sees.
//!
//! The backlog that admission is told may be too low: it counts agents that are known, and a fleet may be
//! new. Taken at its word, a backlog of zero would send all agents to the same instant. But a refused agent
//! stays away for about a second at least. So refusals within one second are refusals of different agents,
//! and with each second that passes the rate admits its number of them at most.

use std::time::{Duration, Instant};

use super::room::Crowding;

const SECOND: Duration = Duration::from_secs(1);

/// A lower bound for the disconnected agents.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Refused since `since`, which is less than a second ago.
    refused: u64,
    since: Instant,
    /// The most that were refused in a second, less what the rate can have admitted since.
    seen: u64,
    /// Refused because there is no room.
    crowding: Crowding,
}

impl Crowd {
    pub(super) const fn new(now: Instant) -> Self {
        Self { refused: 0, since: now, seen: 0, crowding: Crowding::new() }
    }

    /// One more finds no room; says how long it stays away at least. `chance` in 0..1 spreads them.
    pub(super) fn no_room(&mut self, chance: f64, now: Instant) -> Duration {
        self.crowding.refused(chance, now)
    }

    /// One more is refused, while the rate is `per_second`. Returns how many are disconnected at least.
    pub(super) fn refused(&mut self, per_second: u32, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since);
        if passed >= SECOND {
            let admitted = passed.as_secs().saturating_mul(u64::from(per_second));
            self.seen = self.seen.max(self.refused).saturating_sub(admitted);
            self.refused = 0;
            self.since = now;
        }
        self.refused += 1;
        self.seen.max(self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_refused_in_one_second_are_disconnected_until_the_rate_could_admit_them() {
        let now = crate::clock::now();
        let mut crowd = Crowd::new(now);
        let most = (0..1_000).map(|n| crowd.refused(100, now + SECOND / 1_000 * n)).max();
        assert_eq!(most, Some(1_000));
        assert_eq!(crowd.refused(100, now + SECOND * 5), 500);
        assert_eq!(crowd.refused(100, now + SECOND * 60), 1);
    }
}
