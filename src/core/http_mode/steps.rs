//! What happens to a channel of mode `http`, and what its driver must do: the words between
//! [`super::HttpChannel`] and the code that has connections.

use std::time::{Duration, Instant};

use super::answer::{Answered, Objection, PostResult};
use crate::core::link::LossReason;
use crate::core::server::Blame;

/// Something has happened to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelEvent {
    /// Time has passed, a message waits, the channel is released, or the server's health has changed.
    Wake,
    /// A connection is open. `accepted`: the link takes messages, which a released one refuses.
    Dialled {
        /// See above.
        accepted: bool,
    },
    /// The dial failed.
    DialFailed,
    /// The server closed the connection between two requests.
    ConnectionClosed,
    /// A message was sent, and this came of it.
    Answered(Answered),
    /// The queue was empty after all, or its first message is withheld.
    NotPosted,
    /// The answer takes long, and other messages wait: the exchange goes on elsewhere, with its connection.
    WentAside,
    /// The node lost the right to speak: what was under way is given up.
    Silenced,
    /// The answer's message was read. `taken`: it was one for this agent.
    Delivered {
        /// See above.
        taken: bool,
    },
}

/// What decisions rest on besides the channel's own past. Read afresh for each event.
#[derive(Debug, Clone, Copy)]
pub struct ChannelFacts {
    /// The server is in any state but [`crate::core::server::Reach::Failing`].
    pub healthy: bool,
    /// The channel has served its purpose: it ends when its queue is empty.
    pub released: bool,
    /// The node holds still.
    pub holds_still: bool,
    /// A message is in its queue.
    pub waiting: bool,
    /// How long the server's pause still lasts.
    pub pause: Option<Duration>,
    /// Uniform in 0..1.
    pub jitter: f64,
}

/// What the caller must do, in this order. The five that end in an event are in the text of the
/// module above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelEffect {
    /// Wait.
    Wait {
        /// For this moment at the latest.
        until: Option<Instant>,
        /// Whether the end of the connection ends the wait.
        closable: bool,
    },
    /// Dial.
    Dial,
    /// Send the queue's first message.
    Post,
    /// Give the answer's message to its agent.
    Deliver,
    /// The channel is over.
    End,
    /// A connection is open: it is counted.
    Opened,
    /// The connection that was just dialled is dropped before it served: it was never counted.
    Discard,
    /// A connection has ended: it is dropped and counted.
    Closed {
        /// Why.
        reason: LossReason,
        /// How long it had held.
        held: Duration,
    },
    /// The channel is up: the server is told of its agents again.
    Up,
    /// The channel is down: its incarnation rises and its queue is empty.
    Down,
    /// A dial failed: it is counted, and the server's state learns of it.
    DialFailed {
        /// How long until the next.
        wait: Duration,
    },
    /// The queue is given up: the channel is released, and its server wants a pause or its node holds still.
    GiveUp,
    /// The message goes back to the head of the queue: the very same message goes again.
    Requeue,
    /// The answer to the message will stay out; its session is told. `again`: what it said must be
    /// sent once more.
    NotTaken {
        /// See above.
        again: bool,
    },
    /// The server refuses the message for a reason that concerns its agent, which is told.
    Refuse {
        /// The status.
        status: u16,
        /// What is wrong with it.
        objection: Objection,
    },
    /// The POST is counted and logged as this.
    PostFailed(PostResult),
    /// The message failed, and its agent is innocent of it: the server's state learns of it.
    ServerFailed(Blame),
    /// The server has taken a message, or has said what is wrong with one.
    ServerServed,
    /// The server wants a pause, of this length or of one that it leaves open.
    PauseServer(Option<Duration>),
}
