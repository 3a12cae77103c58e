//! The words by which the metrics of homes are split.

use crate::telemetry::label::label;

label! {
    /// What became of what a front said of an agent.
    pub(crate) enum FrameOutcome("outcome") {
        /// It went to the agent's session.
        Taken = "taken",
        /// The agent's shard is another node's, or on its way there.
        NotMine = "not_mine",
        /// The agent has no session here (any more).
        NoSession = "no_session",
        /// The table of sessions has no place for the agent.
        NoRoom = "no_room",
    }
}

label! {
    /// What became of a server's message for an agent whose home has changed.
    pub(crate) enum PassOutcome("outcome") {
        /// It went to the agent's present home.
        Sent = "sent",
        /// The present home is out of reach: the server is told all again when it is back.
        NoLink = "no_link",
        /// It came from the agent's former home, and went to the session.
        Taken = "taken",
        /// It came from the agent's former home, and there is no session for it.
        NoSession = "no_session",
        /// It came from the agent's former home, and cannot be read.
        Malformed = "malformed",
    }
}
