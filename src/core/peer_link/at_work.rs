//! Whether one side of a link was stopped: its process, or the machine. The peer cannot tell that from death. It gives
//! the link up, and what it had sent goes another way, or once more. On its own side that still lies unread in the
//! socket when the process goes on: read then, it would reach an agent a second time.

use std::time::{Duration, Instant};

/// A side notes this often that it is at work, also while there is nothing to do.
pub const NOTED_EVERY: Duration = Duration::from_millis(500);

/// A side that was not at work for so long was stopped, and takes the link for lost. The peer may have asked it for a sign
/// of life just before, and waits two seconds for that.
pub const STOPPED_FOR: Duration = Duration::from_millis(1_800);

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct SideAtWork {
    seen: Instant,
}

impl SideAtWork {
    /// A side that begins its work.
    pub const fn new(now: Instant) -> Self {
        Self { seen: now }
    }

    /// It is at work. Returns whether it was stopped before. To be asked before anything that has come is read.
    pub fn was_stopped(&mut self, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.seen, now);
        now.saturating_duration_since(before) >= STOPPED_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_is_late_works_and_one_that_is_very_late_was_stopped() {
        let start = crate::clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut side = SideAtWork::new(start);
        let stopped = [500, 1_700, 3_499, 5_299, 5_300].map(|millis| side.was_stopped(at(millis)));
        assert_eq!(stopped, [false, false, false, true, false]);
    }
}
