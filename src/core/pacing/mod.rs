//! What waits for a server, and when each of it may go.
//!
//! What waits is a set of sessions, not of messages: a session stands here, and what it has to say
//! is decided when its turn comes, so the newest state wins.
//!
//! Three things must all agree before a message goes ([`Pacer`]): the server has not asked for
//! peace; the *ceiling*, a rate that an operator has set, is kept; and fewer messages are *in
//! flight* (sent and not answered) than the *window* allows, which follows the server's answer
//! times. A *floor* lets a few go even so, for servers that do not answer at all.
//!
//! Nothing here knows sockets, tasks, the clock or chance: `now` is an argument.

mod flight;
mod meter;
mod pacer;
mod waiting;
mod window;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use pacer::{Next, Pacer, PacerParams};

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
    Announce,
    /// The agent is to be asked for its full state: costs the server nothing yet, and has a pace of
    /// its own.
    Ask,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Urgent, Self::Change, Self::FullState, Self::Announce, Self::Ask];

    /// Those that cost the server a message and so share its pace; the most urgent first.
    pub const PACED: [Self; 4] = [Self::Urgent, Self::Change, Self::FullState, Self::Announce];

    /// Its place in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Whether a message that has just come may go to the server at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// Its session has to wait for its turn.
    Wait {
        /// The turn will come about as soon as an agent waits for a reply: the server may yet answer
        /// in time.
        soon: bool,
    },
}
