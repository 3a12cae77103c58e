//! What the tests of the instrument share: the server stand-in as a process, a gate in front of it,
//! and the way to poll.

// Every test binary compiles the whole of it and uses a part.
#![allow(dead_code)]

pub(crate) mod gate;
pub(crate) mod stand_in;

use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// How long a test waits for one thing: many times what a quiet machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is asked that has to be polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is yes. Fails the test after [`PATIENCE`].
#[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: still waiting after {PATIENCE:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A figure of a storm that must be there.
pub(crate) fn number(json: &serde_json::Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", json[key]))
}
