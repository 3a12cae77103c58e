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
