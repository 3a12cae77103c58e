//! What happens on the administration listener.

use std::net::SocketAddr;

use tracing::{info, warn};

/// What the log is filtered by: the part that these events are about, not this file.
const TARGET: &str = "seawall::admin";

/// Operators can ask.
pub struct AdminListening {
    /// Where.
    pub address: SocketAddr,
}

impl AdminListening {
    /// Logs it.
    pub fn emit(self) {
        info!(target: TARGET, address = %self.address, "listening for operators");
    }
}

/// An operator's connection could not be accepted.
pub struct AdminAcceptFailed<'a> {
    /// What the system says.
    pub error: &'a std::io::Error,
}

impl AdminAcceptFailed<'_> {
    /// Logs it.
    pub fn emit(self) {
        warn!(target: TARGET, error = %self.error, "an operator's connection cannot be accepted");
    }
}
