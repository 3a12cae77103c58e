//! The one place that asks the operating system for the time.
//!
//! Everything else is told: the core takes `now` as an argument, so that a simulation can run it.
//! `clippy.toml` forbids the calls everywhere else.

use std::time::{Instant, SystemTime};

/// Monotonic time, for deadlines and intervals. Follows tokio's clock, which tests may pause.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time, for what leaves the process (identifiers, dates).
#[allow(clippy::disallowed_methods)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
