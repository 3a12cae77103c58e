//! The one place that asks the operating system for the time.
//!
//! All other code is given the time: the core takes `now` as an argument, so that a simulation can run it.
//! `clippy.toml` forbids the calls everywhere else. Must not know any other module.

#[cfg(feature = "simulation")]
pub mod simulated;

use std::time::{Instant, SystemTime};

/// Monotonic time, for deadlines and intervals. Follows tokio's clock, which tests may pause.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulated::now() {
        return now;
    }
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time, for what leaves the process (identifiers, dates).
#[allow(clippy::disallowed_methods)]
pub fn wall() -> SystemTime {
    #[cfg(feature = "simulation")]
    if let Some(wall) = simulated::wall() {
        return wall;
    }
    SystemTime::now()
}
