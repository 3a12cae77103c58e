//! What becomes of the log itself.

use std::panic::PanicHookInfo;

use tracing::error;

use crate::telemetry::registry::metrics;

/// A line could not be written. The log is no place to say so.
pub(crate) struct LineLost;

impl LineLost {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().log_lines_lost.increment(1);
    }
}

/// A task or a thread ends because of a fault of Seawall's own.
pub(crate) struct Panicked<'a> {
    /// What the runtime knows of it.
    pub panic: &'a PanicHookInfo<'a>,
}

impl Panicked<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().panics.increment(1);
        let message = self.panic.payload_as_str().unwrap_or("unknown");
        let at = self.panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        error!(message, at, %backtrace, "a task has panicked: please report this fault of Seawall");
    }
}
