//! Whether bytes that wait for agents are short of room, for the log: once when it begins, and once when it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::telemetry::events::sessions::ShortageChanged;

/// Once nothing was lost for so long, there is room again.
const SHORTAGE_OVER_AFTER: Duration = Duration::from_secs(60);

/// Says once that room for bytes is short, and once that it is not.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// What found no room, or had to give way, in all.
    lost: AtomicU64,
    state: Mutex<ShortageState>,
}

#[derive(Debug, Default)]
struct ShortageState {
    /// How much had been lost when this was looked at last.
    lost: u64,
    short: Option<Short>,
}

#[derive(Debug, Clone, Copy)]
struct Short {
    since: Instant,
    /// When something was lost last.
    last: Instant,
    /// How much had been lost before.
    before: u64,
}

impl Shortage {
    /// Something found no room, or had to give way.
    pub(super) fn note(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks whether a shortage has begun or is over, which is said once. `waiting`: bytes that wait for agents; `max`:
    /// how many may.
    pub(super) fn look(
        &self,
        now: Instant,
        (waiting, max): (usize, usize),
    ) -> Option<ShortageChanged> {
        let lost = self.lost.load(Ordering::Relaxed);
        let mut told = self.state.lock();
        let before = std::mem::replace(&mut told.lost, lost);
        match &mut told.short {
            None if before < lost => {
                told.short = Some(Short { since: now, last: now, before });
                Some(ShortageChanged::Begins { waiting, max })
            }
            Some(short) if before < lost => {
                short.last = now;
                None
            }
            Some(short) if now.saturating_duration_since(short.last) >= SHORTAGE_OVER_AFTER => {
                let lasted = short.last.saturating_duration_since(short.since);
                let lost = lost - short.before;
                told.short = None;
                Some(ShortageChanged::Ends { lost, lasted })
            }
            None | Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_once_when_it_begins_and_once_when_nothing_was_lost_for_a_minute() {
        let start = crate::clock::now();
        let shortage = Shortage::default();
        let look = |seconds| shortage.look(start + Duration::from_secs(seconds), (90, 100));
        assert_eq!(look(0), None);
        shortage.note();
        assert_eq!(look(1), Some(ShortageChanged::Begins { waiting: 90, max: 100 }));
        for second in [2, 30, 60] {
            shortage.note();
            assert_eq!(look(second), None, "at {second} s");
        }
        assert_eq!(look(119), None, "59 s after the last loss");
        let lasted = Duration::from_secs(59);
        assert_eq!(look(120), Some(ShortageChanged::Ends { lost: 4, lasted }));
        assert_eq!(look(200), None);
        shortage.note();
        assert_eq!(look(201), Some(ShortageChanged::Begins { waiting: 90, max: 100 }));
        let lasted = Duration::ZERO;
        assert_eq!(look(261), Some(ShortageChanged::Ends { lost: 1, lasted }), "its own losses");
    }
}
