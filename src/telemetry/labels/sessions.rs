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

label! {
    /// Who wrote a reply.
    pub(crate) enum ReplySource("source") {
        /// The server.
        Server = "server",
        /// Seawall.
        Local = "local",
    }
}

label! {
    /// Why an offer was dropped before it reached its agent.
    pub(crate) enum OfferDrop("reason") {
        /// The session ended.
        SessionEnded = "session_ended",
        /// It is larger than the bytes that are left.
        OverBudget = "over_budget",
        /// The agent is a new process: the restart command was meant for the old one.
        NewProcess = "new_process",
        /// It came from a server that the agent has been moved away from.
        FormerServer = "former_server",
    }
}

label! {
    /// Why a custom message was dropped before it was delivered.
    pub(crate) enum CustomDrop("reason") {
        /// Too many are waiting, or too many bytes.
        OverBudget = "over_budget",
        /// The session ended.
        SessionEnded = "session_ended",
    }
}
