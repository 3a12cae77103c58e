//! What waits for a server, and when each of it may go.
//!
//! What waits is a set of sessions, not of messages: a session stands here, and what it has to say
//! is decided when its turn comes, so the newest state wins.

/// Why a session waits for its server. Classes share the server's pace by weight: none starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Disconnects, custom messages and requests: nothing repeats them.
    Urgent,
    /// Parts of the agent's state that changed.
    Change,
    /// The agent's whole state, for a server that asked for it.
    FullState,
    /// An introduction to a link's new incarnation, or a heartbeat that goes on.
    Touch,
    /// The agent is to be asked for its full state: costs the server nothing yet, and has a pace of
    /// its own.
    Ask,
}

/// Whether a message that has just come may go to the server at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go,
    /// Its session has to wait for its turn.
    Wait {
        /// The turn will come about as soon as an agent waits for a reply: the server may yet answer
        /// in time.
        soon: bool,
    },
}
