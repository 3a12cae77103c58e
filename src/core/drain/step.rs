//! The vocabulary of a drain: its phases, what it is told, and what it asks for.

use std::time::Instant;

use crate::ident::InstanceUid;

/// How far a drain is. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainPhase {
    /// The node serves agents; a drain has yet to be asked for.
    Serving,
    /// The balancer gets time to notice. Agents are still accepted, and all connections stay open.
    Notice,
    /// The node accepts no connection; it closes agents' connections at the rate.
    Closing,
    /// Time is up: all connections were told to close at once.
    Cutting,
    /// The last connection is closed; servers get what waits for them.
    Delivering,
    /// Everything is done.
    Drained,
}

/// What is left on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Open connections of agents.
    pub connections: usize,
    /// Sessions, absent ones included.
    pub sessions: usize,
}

/// An agent that is connected here.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The agent.
    pub uid: InstanceUid,
    /// When its server last heard of it.
    pub active: Option<Instant>,
    /// A random number, for the order.
    pub shuffle_key: u64,
}

/// What came of [`DrainStep::Close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentDrain {
    /// Its connection closes.
    Closing,
    /// Its server has yet to receive or to answer something: the agent stays for now.
    Pending,
    /// It has no WebSocket here (any more).
    Absent,
}

/// What to carry out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainStep {
    /// Wait until this moment.
    Wait(Instant),
    /// From now on an agent that goes away is taken to have gone to another node: its server hears nothing
    /// of it (`Sessions::begin_drain`).
    AssumeMoves,
    /// Stop listening, refuse arrivals that wait, forget absent agents. Connections outside of the line ask
    /// [`Drain::may_close`](super::Drain::may_close) from now on.
    StopAccepting {
        /// This many connections will be left when the time is up: the operator's rate is too low.
        left_over: u64,
    },
    /// List the connected agents for [`Drain::line_up`](super::Drain::line_up).
    Census,
    /// Close this agent's connection; answer with [`Drain::closed`](super::Drain::closed).
    Close {
        /// The agent.
        uid: InstanceUid,
        /// Whether it stays if its server has yet to answer it.
        patient: bool,
    },
    /// Close all connections at once.
    CloseAll,
    /// Forget all sessions except the ones whose goodbye their server has yet to hear.
    ForgetMoved,
    /// Let the links write what waits on them, then close them;
    /// [`Drain::links_stopped`](super::Drain::links_stopped) follows.
    StopLinks,
    /// The drain is over, or has yet to begin.
    Over,
}
