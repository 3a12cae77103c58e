//! The words by which the metrics of fronts are split.

use crate::telemetry::label::label;

label! {
    /// What a home said to a front.
    pub(crate) enum HomeFrame("frame") {
        /// The connection is the session's.
        Attached = "attached",
        /// The home has the content of messages.
        Confirmed = "confirmed",
        /// It wants parts of a message.
        Needs = "needs",
        /// It asks whether the connection is open.
        AskOpen = "ask_open",
        /// It wants the agent pinged.
        Ping = "ping",
        /// It has something for the agent.
        ForAgent = "for_agent",
        /// It orders the connection closed.
        Close = "close",
        /// It cannot take the connection now.
        Later = "later",
        /// It is not the agent's home.
        NotMine = "not_mine",
        /// Servers have answered what they were told.
        Told = "told",
    }
}
