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
    /// What became of an agent's connection to its session, at the home.
    pub(crate) enum AttachmentEvent("event") {
        /// A connection has the session, and had not before.
        Opened = "opened",
        /// The connection that has the session has attached once more, after a lost node link.
        Resumed = "resumed",
        /// A newer connection of the agent took the session from it.
        Replaced = "replaced",
        /// It is lost, or its front knows nothing of it.
        Lost = "lost",
        /// Its front drains.
        Drained = "drained",
        /// Its agent goes on under another uid.
        Renamed = "renamed",
        /// A plain-HTTP request has its answer.
        Answered = "answered",
        /// The agent said goodbye, or its session is over.
        Left = "left",
        /// Another live agent has the uid.
        Cloned = "cloned",
    }
}

label! {
    /// What became of a server's message for an agent whose home has changed.
    pub(crate) enum PassOutcome("outcome") {
        /// It went to the agent's present home.
        Sent = "sent",
        /// It went once more: the link to the home that it had gone to was lost.
        Again = "again",
        /// The home that it went to says that it needs it no more.
        Confirmed = "confirmed",
        /// The present home is out of reach, or has yet to take an earlier one: it waits.
        NoLink = "no_link",
        /// It is given up: its time is over, there is no room, or an agent might do it twice. The server finds out.
        GivenUp = "given_up",
        /// It came from the agent's former home, and went to the session.
        Taken = "taken",
        /// It came from the agent's former home, and there is no session for it.
        NoSession = "no_session",
        /// It came from the agent's former home once more, and was here already.
        Repeated = "repeated",
        /// It came from the agent's former home, and cannot be read.
        Malformed = "malformed",
    }
}
