//! The words by which the metrics of servers and links are split.

use crate::telemetry::label::label;

label! {
    /// How a dial ended.
    pub(crate) enum DialResult("result") {
        /// The link is up.
        Up = "up",
        /// The server answered the upgrade with another status.
        Refused = "refused",
        /// TCP or TLS failed.
        Failed = "failed",
        /// It took too long.
        Timeout = "timeout",
    }
}
