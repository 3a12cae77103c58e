//! Calls to the store, counted for operators. Must not know what was called for.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct StoreTally {
    calls: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// What has become of this node's calls to the store since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFigures {
    /// All calls that have come to an end.
    pub calls: u64,
    /// Those without an answer, and those that were refused.
    pub failures: u64,
    /// The latest failure, if no call has been answered since.
    pub failing: Option<String>,
}

impl StoreTally {
    /// A call was answered.
    pub(super) fn answered(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock() = None;
    }

    /// A call came to nothing.
    pub(super) fn failed(&self, why: &dyn Display) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock() = Some(why.to_string());
    }

    pub(super) fn figures(&self) -> StoreFigures {
        StoreFigures {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            failing: self.last_failure.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_until_a_call_is_answered() {
        let tally = StoreTally::default();
        tally.answered();
        tally.failed(&"silent");
        let failing = Some("silent".to_owned());
        assert_eq!(tally.figures(), StoreFigures { calls: 2, failures: 1, failing });
        tally.answered();
        assert_eq!(tally.figures(), StoreFigures { calls: 3, failures: 1, failing: None });
    }
}
