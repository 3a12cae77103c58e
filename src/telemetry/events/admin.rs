//! What happens on the administration listener.

use std::net::SocketAddr;

use tracing::{info, warn};

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::admin";

/// Operators can ask from now on.
pub(crate) struct AdminListening {
    /// Where the listener takes connections.
    pub address: SocketAddr,
}

impl AdminListening {
    /// Logs it.
    pub(crate) fn emit(self) {
        info!(target: TARGET, address = %self.address, "listening for operators");
    }
}

/// The system failed to accept an operator's connection.
pub(crate) struct AdminAcceptFailed<'a> {
    /// What the system says.
    pub error: &'a std::io::Error,
}

impl AdminAcceptFailed<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        warn!(target: TARGET, error = %self.error, "an operator's connection was lost before it was accepted");
    }
}
