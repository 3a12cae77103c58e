//! A clock that the simulation moves, for its own thread alone. Compiled with the feature `simulation`
//! only; a thread has the system's time until it sets another.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

thread_local! {
    static NOW: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// When simulated wall-clock time begins, after 1970.
const WALL_START: Duration = Duration::from_secs(1_750_000_000);

/// The time is `since` after `start`. `start` is any instant, the same for the whole run.
pub fn set(start: Instant, since: Duration) {
    NOW.set(Some((start, since)));
}

/// The time is the system's again.
pub fn clear() {
    NOW.set(None);
}

pub(super) fn now() -> Option<Instant> {
    NOW.get().map(|(start, since)| start + since)
}

pub(super) fn wall() -> Option<SystemTime> {
    NOW.get().map(|(_, since)| SystemTime::UNIX_EPOCH + WALL_START + since)
}
