//! What an operator may see of a session.

use std::time::Instant;

use super::Sessions;
use super::slot::Slot;
use crate::core::session::{ClassSet, FullState, Presence, Route};
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
    /// Messages the server has not answered.
    pub unanswered: u32,
    /// Replies the agent is owed.
    pub owed: u32,
    /// When the oldest of them is given in the server's place.
    pub reply_due: Option<Instant>,
    /// Whether the gateway wants the agent's full state.
    pub full_state: FullState,
    /// Bytes that wait for the agent.
    pub waiting_bytes: usize,
    /// As what the session waits for its turn at its server.
    pub queued: ClassSet,
    /// The parts of its state that the server is yet to get.
    pub server_lacks: FieldSet,
}

impl Sessions {
    /// One session.
    pub fn info(&self, uid: InstanceUid) -> Option<SessionInfo> {
        self.find(uid).map(|slot| describe(&slot))
    }

    /// Up to `limit` sessions in the order of their uids, from the first after `after` on. Costs a
    /// walk over all uids: for people, not for polling.
    pub fn list(&self, after: Option<InstanceUid>, limit: usize) -> Vec<SessionInfo> {
        let mut uids: Vec<InstanceUid> = self
            .table
            .iter()
            .map(|entry| *entry.key())
            .filter(|uid| after.is_none_or(|after| *uid > after))
            .collect();
        if uids.len() > limit && limit > 0 {
            uids.select_nth_unstable(limit - 1);
        }
        uids.truncate(limit);
        uids.sort_unstable();
        uids.into_iter().filter_map(|uid| self.info(uid)).collect()
    }
}

fn describe(slot: &Slot) -> SessionInfo {
    let slot = slot.peek();
    let (agent, upstream) = slot.session.numbers();
    SessionInfo {
        uid: slot.session.uid(),
        presence: slot.session.presence(),
        capabilities: slot.session.capabilities(),
        agent_number: agent.map(|n| n.0),
        upstream_number: upstream.0,
        sent_on: slot.session.sent_on(),
        unanswered: slot.session.unanswered(),
        owed: slot.session.owed(),
        reply_due: slot.session.reply_due(),
        full_state: slot.session.full_state(),
        waiting_bytes: slot.waiting_bytes(),
        queued: slot.session.queued,
        server_lacks: slot.session.owed_parts(),
    }
}
