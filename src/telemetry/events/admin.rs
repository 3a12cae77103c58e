//! What happens on the administration listener.

use std::net::SocketAddr;

use tracing::{info, warn};

/// What the log is filtered by: the part that these events are about, not this file.
const TARGET: &str = "seawall::admin";

/// Operators can ask.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
}

impl Listening {
    /// Logs it.
    pub fn emit(self) {
        info!(target: TARGET, address = %self.address, "listening for operators");
    }
}

/// An operator's connection could not be accepted.
pub struct AcceptFailed<'a> {
    /// What the system says.
    pub error: &'a std::io::Error,
}

impl AcceptFailed<'_> {
    /// Logs it.
    pub fn emit(self) {
        warn!(target: TARGET, error = %self.error, "an operator's connection cannot be accepted");
    }
}
