//! A moment on both clocks of a machine. Each of them can mislead: a stopped machine's monotonic clock stands
//! still, and a wall clock is set forward and back.

use std::time::{Duration, Instant, SystemTime};

use crate::mutation::{Breach, is_on};

/// A wall clock that is put right by less than this is believed. A third of a lease time is kept in reserve,
/// and this is a small part of that.
const STEP_BACK_MAX: Duration = Duration::from_millis(500);

/// What both clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Never goes back; may stand still while the machine is stopped.
    pub monotonic: Instant,
    /// Goes on while the machine is stopped; may jump.
    pub wall: SystemTime,
}

impl ClockReading {
    /// The longest time that may have passed since `earlier`: what a node's own rights are measured by. `None`
    /// if the wall clock was set back, so that a stop of the machine would be hidden.
    pub fn longest_since(self, earlier: Self) -> Option<Duration> {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        if is_on(Breach::OwnershipIgnoresWallClock) {
            return Some(monotonic);
        }
        match self.wall.duration_since(earlier.wall) {
            Ok(wall) => Some(wall.max(monotonic)),
            Err(back) if back.duration() <= STEP_BACK_MAX => Some(monotonic),
            Err(_) => None,
        }
    }

    /// Whether less than `limit` has passed since `earlier`, by both clocks.
    pub fn is_within(self, limit: Duration, earlier: Self) -> bool {
        self.longest_since(earlier).is_some_and(|passed| passed < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_shows_more_time_counts() {
        let start = ClockReading { monotonic: crate::clock::now(), wall: SystemTime::UNIX_EPOCH };
        let later = |monotonic, wall| ClockReading {
            monotonic: start.monotonic + Duration::from_secs(monotonic),
            wall: start.wall + Duration::from_secs(wall),
        };
        assert_eq!(later(3, 3).longest_since(start), Some(Duration::from_secs(3)));
        assert_eq!(later(0, 60).longest_since(start), Some(Duration::from_secs(60)), "stopped");
        assert_eq!(later(60, 0).longest_since(start), Some(Duration::from_secs(60)), "stuck");
        let second = later(10, 100);
        assert_eq!(later(12, 50).longest_since(second), None, "set back");
        let slewed =
            ClockReading { wall: second.wall - Duration::from_millis(400), ..later(12, 0) };
        assert_eq!(slewed.longest_since(second), Some(Duration::from_secs(2)));
        assert!(!later(12, 50).is_within(Duration::from_secs(1_000), second));
    }
}
