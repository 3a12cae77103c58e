//! What may be seen of a session from outside: for operators, and for the sums over all sessions.

use std::time::Instant;

use super::former_home::former_home;
use super::{ClassSet, FullState, Presence, Route, Session};
use crate::ident::InstanceUid;
use crate::opamp::field_set::FieldSet;

/// A session at one instant.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// The agent.
    pub uid: InstanceUid,
    /// Whether it is there.
    pub presence: Presence,
    /// `AgentToServer.capabilities`.
    pub capabilities: u64,
    /// The agent's last number.
    pub agent_number: Option<u64>,
    /// The last number sent upstream.
    pub upstream_number: u64,
    /// Where the last message upstream went.
    pub sent_on: Option<Route>,
    /// Messages that the server has yet to answer.
    pub unanswered: u32,
    /// Replies that the agent is owed.
    pub owed: u32,
    /// When the oldest of them is given in the server's place.
    pub reply_due: Option<Instant>,
    /// Whether the gateway wants the agent's full state.
    pub full_state: FullState,
    /// Bytes that wait for the agent.
    pub waiting_bytes: usize,
    /// The classes in which the session waits for a permit.
    pub queued: ClassSet,
    /// The parts of the agent's state that the server is yet to get.
    pub server_lacks: FieldSet,
}

/// What a session adds to the sums over all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFigures {
    /// Whether the agent is there.
    pub presence: Presence,
    /// Bytes that wait for the agent in its session; its connection counts its own.
    pub agent_bytes: usize,
    /// Bytes of copies of what the agent has yet to confirm.
    pub copied_bytes: usize,
    /// Bytes of one-shot messages that wait for the server.
    pub server_bytes: usize,
    /// The agent was ordered to another node, which may speak for it by now.
    pub drains: bool,
    /// The server has answered everything.
    pub is_answered: bool,
    /// It has answered everything, and nothing waits to be told; nor is anything on its way from a former home.
    pub is_told: bool,
    /// The agent has said nothing yet.
    pub is_unheard: bool,
}

impl Session {
    /// Everything that may be seen. `connection_bytes`: what waits for the agent at its connection.
    pub fn info(&self, connection_bytes: usize) -> SessionInfo {
        SessionInfo {
            uid: self.uid,
            presence: self.attendance.presence(),
            capabilities: self.capabilities,
            agent_number: self.numbers.agent().map(|number| number.0),
            upstream_number: self.numbers.upstream().0,
            sent_on: self.outstanding.route(),
            unanswered: self.outstanding.unanswered(),
            owed: self.replies.owed(),
            reply_due: self.replies.due(),
            full_state: self.questions.full_state(),
            waiting_bytes: connection_bytes + self.figures().agent_bytes,
            queued: self.permits.queued(),
            server_lacks: self.replica.pending(),
        }
    }

    /// What the sums over all sessions need.
    pub fn figures(&self) -> SessionFigures {
        let cold = self.cold.as_deref();
        let is_answered = self.outstanding.unanswered() == 0;
        SessionFigures {
            presence: self.attendance.presence(),
            agent_bytes: cold.map_or(0, |cold| cold.mailbox.bytes()),
            copied_bytes: cold.map_or(0, |cold| cold.mailbox.copied_bytes()),
            server_bytes: cold.map_or(0, |cold| cold.one_shots.bytes()),
            drains: self.drains,
            is_answered,
            is_told: is_answered
                && self.replica.pending().is_empty()
                && former_home(self).is_none(),
            is_unheard: self.numbers.agent().is_none(),
        }
    }

    /// Whether the server has yet to answer messages that went this way. `route`: the way that the next one takes; with
    /// another one, answers come no more.
    pub fn awaits_answer(&self, route: Option<Route>) -> bool {
        let awaits =
            |route| self.outstanding.unanswered() > 0 && self.outstanding.is_on_wire(route);
        route.is_some_and(awaits)
    }

    /// The agent's uid, in the agent's own form.
    pub const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// When the server last heard of the agent: a node that drains lets the longest unheard go first.
    pub fn last_sent(&self) -> Option<Instant> {
        self.outstanding.sent_at()
    }
}
