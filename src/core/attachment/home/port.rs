//! What a home's attachment asks of its surroundings, and what it tells the session.

use std::time::{Duration, Instant};

use crate::core::node_link::{AgentConnection, AgentReport, DetachReason, ToFront};
use crate::core::ownership::{Epoch, NodeIncarnation};
use crate::ident::{ConnectionId, SequenceNum};
use crate::opamp::field_set::FieldSet;

/// A connection of the agent, and the front where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionAt {
    /// The front, in its present life.
    pub front: NodeIncarnation,
    /// Which of that front's.
    pub connection: ConnectionId,
}

/// A connection that attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Where it ends.
    pub at: ConnectionAt,
    /// How the agent is connected.
    pub transport: AgentConnection,
    /// See [`Attach::client`](crate::core::node_link::Attach::client).
    pub client: u8,
    /// See [`Attach::identity`](crate::core::node_link::Attach::identity).
    pub identity: Box<[u8]>,
    /// See [`Attach::forwarded_lately`](crate::core::node_link::Attach::forwarded_lately).
    pub forwarded_lately: bool,
}

/// What the home asks of its surroundings.
pub trait HomePort<'a> {
    /// Sends a frame to a front, on the agent's stream. One whose link is down is left out.
    fn to_front(&mut self, front: NodeIncarnation, message: &ToFront<'_>);
    /// The parts of a message that travelled as a digest alone, are not given up, and that the session does not
    /// have under this digest; all of them, if it has another key of digests.
    fn needs(&self, report: &AgentReport<'_>) -> FieldSet;
    /// Whether a message of this number goes on where the session's agent was: it is the next one, or the session has
    /// heard none.
    fn follows(&self, number: SequenceNum) -> bool;
    /// The session must be called like this once the entry has returned.
    fn session(&mut self, call: SessionCall<'a>);
    /// Two live agents use the uid: the session refuses another connection while one is open (R10).
    fn is_cloned(&self) -> bool;
    /// A number above all that this home has given in its life.
    fn next_number(&mut self) -> u64;
}

/// An event for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCall<'a> {
    /// A connection has the session from now on (`connection_opened`, `request_opened`).
    Open {
        /// The connection and its agent.
        newcomer: Newcomer,
        /// Messages before the next one may be lost: the agent must be asked for its full state (R6).
        gap: bool,
    },
    /// The agent said something. Parts whose digest the session has are left out of the bytes.
    Message(AgentReport<'a>),
    /// The agent sent heartbeats, which its front has answered; this is the number of the last one. Numbers up to
    /// it are no gap. One that the session has heard of says nothing new.
    Heartbeats(SequenceNum),
    /// Something that the agent said is lost: it must be asked for its full state (R6).
    Missed,
    /// The agent is alive (`heard`).
    Heard,
    /// The agent has answered the session's ping of this number (`confirmed`).
    Confirmed(u16),
    /// Replies are overdue (`reply_overdue`).
    ReplyOverdue,
    /// The connection is over (`connection_lost`, `connection_renamed`, `drained`, `request_closed`).
    Lost {
        /// Why.
        reason: DetachReason,
    },
}

/// What the configuration decides for every attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomePolicy {
    /// How long each of the two questions before a replacement waits for its answer.
    pub answer_wait: Duration,
    /// Bytes that a front may have under way unconfirmed for one agent.
    pub credit: u32,
}

/// When and where an event happens.
#[derive(Debug, Clone, Copy)]
pub struct HomeMoment<'a> {
    /// The time.
    pub now: Instant,
    /// The home's tenure.
    pub epoch: Epoch,
    /// The configuration's decisions.
    pub policy: &'a HomePolicy,
}
