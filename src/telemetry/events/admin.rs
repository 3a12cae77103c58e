//! What happens on the administration listener.

use std::net::SocketAddr;

use tracing::{info, warn};

/// Operators can ask.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
}

impl Listening {
    /// Logs it.
    pub fn emit(self) {
        info!(address = %self.address, "listening for operators");
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
        warn!(error = %self.error, "an operator's connection cannot be accepted");
    }
}
