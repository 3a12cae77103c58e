//! How many there must be outside, by what is seen at the gate.
//!
//! The backlog that the gate is told of may be too low: it counts agents that are known, and a fleet
//! may be new. Taken at its word, a backlog of nothing would send everybody to the same instant. But
//! whoever is refused does not come again within about a second, so those who are refused in one
//! second are so many agents; and no more than the rate of them gets in for each second that passes.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A lower bound for those outside.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Refused since `since`, which is less than a second ago.
    refused: u64,
    since: Instant,
    /// The most that were refused in a second, less those who can have got in since.
    seen: u64,
}

impl Crowd {
    pub(super) const fn new(now: Instant) -> Self {
        Self { refused: 0, since: now, seen: 0 }
    }

    /// One is refused, at a gate that lets `per_second` in. Returns how many are outside at least.
    pub(super) fn refused(&mut self, per_second: u32, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since);
        if passed >= SECOND {
            let let_in = passed.as_secs().saturating_mul(u64::from(per_second));
            self.seen = self.seen.max(self.refused).saturating_sub(let_in);
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
    fn those_refused_in_one_second_are_outside_until_they_can_be_in() {
        let now = crate::clock::now();
        let mut crowd = Crowd::new(now);
        let most = (0..1_000).map(|n| crowd.refused(100, now + SECOND / 1_000 * n)).max();
        assert_eq!(most, Some(1_000));
        assert_eq!(crowd.refused(100, now + SECOND * 5), 500);
        assert_eq!(crowd.refused(100, now + SECOND * 60), 1);
    }
}
