//! What the gateway knows of one agent, and every decision that follows from it.
//!
//! A session outlives the agent's connection. It is a value: events go in with the time, what is
//! to be done comes out, and the shells (`sessions`, `edge`, `upstream`) do it while they hold the
//! session's lock, so that numbers and bytes leave in the same order.
//!
//! ```text
//!              first message                    lost (R8)
//!   ─────────────────────────► Connected ─────────────────► Lingering
//!                               ▲  │ ▲ agent_disconnect      │  │ until
//!                 a new         │  │ └────────── returns ─────┘  │
//!                 connection ───┘  ▼                             ▼
//!   removed ◄── the server knows ── Leaving ◄────────────────────┘
//! ```
//!
//! `Polling` is `Connected` over plain HTTP, where the absence of polls is the only sign of loss.
//!
//! The rules R1 to R11 are those of docs/ARCHITECTURE.md.

mod agent_side;
mod asks;
mod echoes;
mod full_state;
mod offered;
mod picture;
mod presence;
mod rare;
mod server_side;
mod turns;
mod upstream_side;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use agent_side::{Reply, ReportVerdict, Says};
pub use echoes::{Echo, Echoes};
pub use full_state::FullState;
pub use picture::{Carry, News};
pub use presence::{Arrival, EndReason, Expiry, Presence};
pub use server_side::{Answer, FromServer, NotTaken, ServerVerdict};
pub use turns::{ClassSet, Turn};
pub use upstream_side::Pending;

use rare::Rare;

use crate::ident::{Incarnation, InstanceUid, LinkId, SequenceNum};

/// What the configuration decides for every session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a session outlives its connection before the server is told (R8).
    pub grace_period: Duration,
    /// How long an agent waits for the server's own reply (R5).
    pub reply_wait: Duration,
    /// One heartbeat in each such interval goes on; zero forwards all (R9).
    pub heartbeat_forward_interval: Duration,
    /// Silence after which a polling agent counts as disconnected.
    pub poll_timeout: Duration,
    /// One-shot messages that may wait for the server.
    pub pending_max: usize,
    /// Bytes of such messages.
    pub pending_bytes_max: usize,
}

/// The link an agent's messages take now, and for the how-manieth time it was established. What
/// went out on an earlier incarnation and was not answered may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The link.
    pub link: LinkId,
    /// Its establishment: the present one, or the coming one while it is down.
    pub incarnation: Incarnation,
}

/// One agent's session. See the module's text.
#[derive(Debug)]
pub struct Session {
    uid: InstanceUid,
    presence: Presence,
    /// `AgentToServer.capabilities` as last reported.
    capabilities: u64,
    /// The agent's last number; none before its first message.
    agent_number: Option<SequenceNum>,
    /// The last number used towards the server (R3). Set by the first message.
    upstream_number: SequenceNum,
    /// Where the last message upstream went.
    sent_on: Option<Route>,
    /// When it went.
    sent_at: Option<Instant>,
    /// Messages sent on `sent_on` that the server has not answered.
    unanswered: u32,
    /// Replies the agent is still owed on its present connection (R5).
    owed: u32,
    /// When the gateway answers in the server's place; set while `owed` is not 0.
    reply_due: Option<Instant>,
    /// Counts plain-HTTP requests, to tell the latest from one it has overtaken.
    request: u32,
    full_state: FullState,
    /// What the agent reported, and what of it the server has; none before its first report.
    picture: Option<Box<picture::Picture>>,
    rare: Option<Box<Rare>>,
    /// The server behind `sent_on` has been told that the agent left it for another.
    left_server: bool,
    /// The agent was asked for everything and answered: it has no more than it has reported.
    said_all: bool,
    /// The server is to hear of the agent without anything having changed (R9).
    announce_due: bool,
    /// A turn came to nothing for want of what the agent is asked for: the answer has it.
    has_turn: bool,
    /// The server was told of the agent without its state, and has not answered yet.
    introducing: bool,
    /// The agent has the server's capabilities on this connection.
    pub hello_sent: bool,
    /// As what the session stands in its server's queue: kept so that it stands there once.
    pub queued: ClassSet,
    /// When the list of deadlines brings it to attention: kept so that it stands there once.
    pub look_at: Option<Instant>,
}

impl Session {
    /// A session for an agent not heard of before; [`Session::arrive`] comes next.
    pub const fn new(uid: InstanceUid, now: Instant) -> Self {
        Self {
            uid,
            presence: Presence::Absent { until: now },
            capabilities: 0,
            agent_number: None,
            upstream_number: SequenceNum(0),
            sent_on: None,
            sent_at: None,
            unanswered: 0,
            owed: 0,
            reply_due: None,
            request: 0,
            full_state: FullState::Reported,
            picture: None,
            rare: None,
            left_server: false,
            said_all: false,
            announce_due: false,
            has_turn: false,
            introducing: false,
            hello_sent: false,
            queued: ClassSet::EMPTY,
            look_at: None,
        }
    }

    /// The agent's uid, in the agent's own form.
    pub const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// Whether the agent is there.
    pub const fn presence(&self) -> Presence {
        self.presence
    }

    /// `AgentToServer.capabilities` as last reported.
    pub const fn capabilities(&self) -> u64 {
        self.capabilities
    }

    /// The agent's last number, and the last one sent upstream.
    pub const fn numbers(&self) -> (Option<SequenceNum>, SequenceNum) {
        (self.agent_number, self.upstream_number)
    }

    /// Where the last message upstream went.
    pub const fn sent_on(&self) -> Option<Route> {
        self.sent_on
    }

    /// Messages the server has not answered.
    pub const fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Replies the agent is owed.
    pub const fn owed(&self) -> u32 {
        self.owed
    }

    /// When the gateway answers in the server's place.
    pub const fn reply_due(&self) -> Option<Instant> {
        self.reply_due
    }

    /// Whether the gateway knows the agent's whole state.
    pub const fn full_state(&self) -> FullState {
        self.full_state
    }
}
