//! The clocks of one machine, and how they mislead: they drift, the monotonic one stands still while the machine is
//! stopped, the wall clock jumps or sticks.

use std::time::{Duration, Instant, SystemTime};

use seawall::core::ownership::ClockReading;

use crate::simulation::random::Random;
use crate::world::Time;

/// Far enough from the epoch for a jump of some years back.
const WALL_BASE: Duration = Duration::from_secs(3_000_000_000);
const YEAR: i64 = 365 * 24 * 3600;

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    start: Instant,
    /// Added to a million of what passes.
    drift: u64,
    /// Time for which the machine was stopped with its monotonic clock.
    stopped: Time,
    /// What was added to the wall clock, in milliseconds.
    wall_ms: i64,
    /// Since when the wall clock sticks.
    stuck: Option<Time>,
}

impl Machine {
    pub(crate) fn new(start: Instant, random: &mut Random) -> Self {
        Self {
            start,
            drift: random.pick(&[0, 0, 500, 10_000]),
            stopped: Time::ZERO,
            wall_ms: 0,
            stuck: None,
        }
    }

    /// Both clocks.
    pub(crate) fn moment(&self, now: Time) -> ClockReading {
        let runs = now.saturating_sub(self.stopped);
        let drift = u64::try_from(runs.as_micros()).unwrap() * self.drift / 1_000_000;
        let wall = WALL_BASE + self.stuck.unwrap_or(now);
        let shift = Duration::from_millis(self.wall_ms.unsigned_abs());
        let wall = if self.wall_ms < 0 { wall - shift } else { wall + shift };
        ClockReading {
            monotonic: self.start + runs + Duration::from_micros(drift),
            wall: SystemTime::UNIX_EPOCH + wall,
        }
    }

    /// The machine was stopped for this long, and its monotonic clock with it.
    pub(crate) fn was_stopped(&mut self, length: Time) {
        self.stopped += length;
    }

    /// Whether the wall clock stands still.
    pub(crate) const fn wall_sticks(&self) -> bool {
        self.stuck.is_some()
    }

    /// The wall clock does something that it should not do.
    pub(crate) fn mislead(&mut self, now: Time, random: &mut Random) {
        match random.below(4) {
            0 => self.wall_ms += 1_000 * YEAR,
            1 => self.wall_ms -= 1_000 * YEAR,
            2 => self.wall_ms += i64::try_from(random.below(20_000)).unwrap() - 10_000,
            _ => self.stuck = if self.stuck.is_some() { None } else { Some(now) },
        }
        self.wall_ms = self.wall_ms.clamp(-10_000 * YEAR, 10_000 * YEAR);
    }
}
