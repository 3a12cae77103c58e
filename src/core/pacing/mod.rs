//! What waits for a server, and when each of it may go.
//!
//! What waits is a set of sessions: a session stands here, and what it has to say is decided when it
//! gets its permit, so the newest state wins.
//!
//! Three things must all agree before a message goes ([`Pacer`]): the server's *pause* is over; the
//! *ceiling*, a rate that an operator has set, is kept; and fewer messages are *in flight* (sent and
//! still unanswered) than the *window* allows, which follows the server's answer times. A *floor* lets
//! a few go even so, for servers that leave everything unanswered.
//!
//! Sockets, tasks, the clock and chance are the caller's: `now` is an argument.

mod flight;
mod grant;
mod liveness;
mod meter;
mod pacer;
mod waiting;
mod window;

#[cfg(test)]
mod pools;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod varied;

pub use grant::{Grant, GrantFacts, GrantLink};
pub use liveness::{Liveness, LivenessNews};
pub use pacer::{Next, Pacer, PacerParams};

/// Why a session waits for its server. Classes share the server's pace by weight: each gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Disconnects, custom messages and requests: they are said once.
    Urgent,
    /// Parts of the agent's state that changed.
    Change,
    /// The agent's whole state, for a server that asked for it.
    FullState,
    /// An agent is announced to a link's new incarnation.
    Announce,
    /// The agent must be asked for its full state. This is free for the server as yet, and has a pace
    /// of its own.
    Ask,
    /// The server is to hear that the agent is alive, which has a budget of its own.
    Liveness,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Urgent, Self::Change, Self::FullState, Self::Announce, Self::Ask, Self::Liveness];

    /// The classes that cost the server a message and so share its pace; the most urgent first. A sign of life joins them
    /// when the budget has room for it.
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
    /// Its session has to wait for a permit.
    Wait {
        /// The permit will come within the time that an agent waits for a reply: the server may yet
        /// answer in time.
        soon: bool,
    },
}
