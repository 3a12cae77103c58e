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

    /// Looks whether a shortage has begun or is over. `waiting`: bytes that wait for agents; `max`: how many may.
    pub(super) fn look(&self, now: Instant, (waiting, max): (usize, usize)) {
        let lost = self.lost.load(Ordering::Relaxed);
        let mut told = self.state.lock();
        let before = std::mem::replace(&mut told.lost, lost);
        match &mut told.short {
            None if before < lost => {
                told.short = Some(Short { since: now, last: now, before });
                ShortageChanged::Begins { waiting, max }.emit();
            }
            None => {}
            Some(short) if before < lost => short.last = now,
            Some(short) if now.saturating_duration_since(short.last) >= SHORTAGE_OVER_AFTER => {
                let lasted = short.last.saturating_duration_since(short.since);
                ShortageChanged::Ends { lost: lost - short.before, lasted }.emit();
                told.short = None;
            }
            Some(_) => {}
        }
    }
}
