//! When an agent is polled for: a server of mode `http` can say something to an agent only when it
//! is asked, so it is asked once in each interval on behalf of every agent that is there.
//!
//! The interval is cut into equal parts, and an agent's hash says in which of them it is polled for.
//! So polls are spread evenly, whatever storm the agents came in, and one timer serves all of them. An
//! agent whose message went to the server within the last half of an interval is passed over: between
//! two messages there is at most one and a half.

use std::time::{Duration, Instant};

use crate::core::placement::{Seed, weight};
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};

/// To a server, parts shorter than this are as good as one.
const PART: Duration = Duration::from_millis(50);
const PARTS_MAX: u128 = 1024;

/// Which part of the interval an agent is polled for in.
#[derive(Debug, Clone, Copy)]
pub struct PollParts {
    interval: Duration,
    count: usize,
    seed: Seed,
}

impl PollParts {
    /// `interval`: the server's `poll_interval`.
    pub fn new(interval: Duration) -> Self {
        let count = (interval.as_millis() / PART.as_millis()).clamp(1, PARTS_MAX);
        let count = usize::try_from(count).unwrap_or(1);
        Self { interval, count, seed: Seed::of_name("polls") }
    }

    /// How many parts there are: at most 1,024.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The part of one agent, below [`PollParts::count`].
    pub fn part_of(&self, uid: InstanceUid) -> usize {
        usize::try_from(weight(uid, self.seed) % self.count as u64).unwrap_or(0)
    }

    /// An agent is passed over if a message of its own went within this time.
    pub fn quiet_for(&self) -> Duration {
        self.interval / 2
    }

    /// How long a part is.
    pub fn step(&self) -> Duration {
        self.interval / u32::try_from(self.count).unwrap_or(u32::MAX)
    }
}

/// Goes through the parts for ever.
#[derive(Debug, Clone)]
pub struct PollSchedule {
    parts: PollParts,
    part: usize,
    at: Instant,
}

impl PollSchedule {
    /// The first part is due one step from now.
    pub fn new(parts: PollParts, now: Instant) -> Self {
        Self { parts, part: 0, at: now }
    }

    /// The next part, and when its agents are polled for. A caller that was held up goes on from
    /// `now`, at the usual pace.
    pub fn next(&mut self, now: Instant) -> (usize, Instant) {
        self.at = (self.at + self.parts.step()).max(now);
        let part = self.part;
        if !is_on(Breach::HttpNeverPolls) {
            self.part = (part + 1) % self.parts.count;
        }
        (part, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> InstanceUid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }

    #[test]
    fn parts_are_shared_evenly() {
        let parts = PollParts::new(Duration::from_secs(30));
        assert_eq!((parts.count(), parts.step()), (600, PART));
        let mut sizes = [0; 600];
        (0..15_000).for_each(|n| sizes[parts.part_of(uid(n))] += 1);
        assert!(sizes.iter().all(|size| (5..55).contains(size)), "25 each: {sizes:?}");
    }

    #[test]
    fn however_long_the_interval_the_parts_are_bounded() {
        for (seconds, parts) in [(0, 1), (1, 20), (86_400, 1024)] {
            assert_eq!(PollParts::new(Duration::from_secs(seconds)).count(), parts);
        }
    }

    #[test]
    fn each_part_comes_once_in_an_interval_and_a_delay_makes_no_rush() {
        let start = crate::clock::now();
        let mut schedule = PollSchedule::new(PollParts::new(PART * 3), start);
        let first: Vec<(usize, Instant)> = (0..4).map(|_| schedule.next(start)).collect();
        let due = |part, steps| (part, start + PART * steps);
        assert_eq!(first, [due(0, 1), due(1, 2), due(2, 3), due(0, 4)]);
        let late = start + PART * 40;
        assert_eq!(schedule.next(late), (1, late));
        assert_eq!(schedule.next(late), (2, late + PART));
    }
}
