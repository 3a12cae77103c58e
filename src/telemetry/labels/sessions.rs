//! The words by which the metrics of sessions are split.

use crate::telemetry::label::label;

label! {
    /// Whether a session's agent is there.
    pub(crate) enum SessionState("state") {
        /// Its connection is open, or it polls.
        Connected = "connected",
        /// Its connection was lost a short while ago.
        Absent = "absent",
    }
}

label! {
    /// What became of a heartbeat.
    pub(crate) enum HeartbeatRoute("route") {
        /// Answered here.
        Local = "local",
        /// Sent on to the server.
        Forwarded = "forwarded",
    }
}
