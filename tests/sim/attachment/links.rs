//! Node links: frames in order while a link lives, nothing of a former life.

use std::time::{Duration, Instant};

use crate::simulation::random::Random;

/// One link, one way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) up: bool,
    /// Counts lives: a frame of an earlier one is lost.
    pub(super) life: u64,
    arrives: Instant,
    /// The slowest that a frame may be.
    delay_max: u64,
}

impl Link {
    pub(super) const fn new(now: Instant, delay_max: u64) -> Self {
        Self { up: true, life: 0, arrives: now, delay_max }
    }

    /// When a frame that goes now arrives; `None` if it is lost.
    pub(super) fn send(&mut self, now: Instant, random: &mut Random) -> Option<Instant> {
        if !self.up {
            return None;
        }
        let slow = random.percent(2);
        let delay =
            if slow { random.ms(0, 5 * self.delay_max) } else { random.ms(0, self.delay_max) };
        self.arrives = self.arrives.max(now + delay);
        Some(self.arrives)
    }

    pub(super) const fn cut(&mut self) {
        self.up = false;
        self.life += 1;
    }

    pub(super) fn restore(&mut self, now: Instant) {
        self.up = true;
        self.arrives = now;
    }
}

/// The slowest frame of a link that is well.
pub(super) fn delay_max(random: &mut Random) -> u64 {
    random.pick(&[1, 10, 50, 200])
}

/// How long a cut lasts.
pub(super) fn outage(random: &mut Random) -> Duration {
    random.ms(200, 4_000)
}
