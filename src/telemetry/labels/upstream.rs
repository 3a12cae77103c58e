//! The words by which the metrics of servers and links are split.

use crate::telemetry::label::label;

label! {
    /// How a dial ended.
    pub enum DialResult("result") {
        /// The link is up.
        Up = "up",
        /// The server answered with something else than an upgrade.
        Refused = "refused",
        /// No connection, or no TLS.
        Failed = "failed",
        /// It took too long.
        Timeout = "timeout",
    }
}
