//! What the session sends to its server, with which number, and what it still has to send.

use std::collections::VecDeque;
use std::time::Instant;

use super::{FullState, Policy, Presence, Route, Session};
use crate::ident::SequenceNum;
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice;

/// Fields that no later report repeats: if their message cannot be sent, they wait.
pub(super) const ONE_SHOT: FieldSet =
    FieldSet::of(&[agent_field::CUSTOM_MESSAGE, agent_field::CONNECTION_SETTINGS_REQUEST]);

/// One-shot fields that wait for the server, in order, bounded in count and bytes.
#[derive(Debug, Default)]
pub struct Pending {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Pending {
    fn try_push(&mut self, message: Vec<u8>, policy: &Policy) -> bool {
        let bytes = self.bytes + message.len();
        if self.messages.len() >= policy.pending_max || bytes > policy.pending_bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        true
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

/// What a session does when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is left to do.
    Nothing,
    /// Ask the agent for its full state.
    AskAgent,
    /// Introduce the agent to this incarnation of the server.
    Touch,
    /// Send what waited: a message with one-shot fields, whose number is to be replaced.
    OneShot(Vec<u8>),
    /// Tell the server that the agent has left.
    Disconnect,
}

impl Session {
    /// The number the next message upstream carries; [`Session::sent`] takes it (R3).
    pub const fn next_number(&self) -> SequenceNum {
        self.upstream_number.next()
    }

    /// A message for the agent's server went out on `route`. `report` is the agent's own, if it
    /// was one.
    pub fn sent(&mut self, route: Route, report: Option<&AgentScan<'_>>, now: Instant) {
        self.note_incarnation(route);
        self.upstream_number = self.upstream_number.next();
        self.sent_on = Some(route);
        self.sent_at = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        let Some(scan) = report else { return };
        if self.full_state.made_whole_by(scan) {
            self.full_state = FullState::Reported;
        }
        if scan.disconnects() {
            self.presence = Presence::Gone;
        }
    }

    /// Messages that an earlier incarnation left unanswered may be lost.
    fn note_incarnation(&mut self, route: Route) {
        if self.sent_on.is_some_and(|before| before != route) {
            if self.unanswered > 0 && self.full_state == FullState::Reported {
                self.want_full_state();
            }
            self.unanswered = 0;
        }
    }

    /// A message could not be sent: no number is used up, and what it said is wanted again.
    /// Returns `false` if a one-shot field found no room and is lost.
    pub fn not_sent(&mut self, scan: &AgentScan<'_>, policy: &Policy) -> bool {
        if scan.disconnects() {
            // `turn` will say it.
            self.leave();
            return true;
        }
        if !scan.present.minus(ONE_SHOT).is_subset(agent_field::HEARTBEAT) {
            self.want_full_state();
        }
        if scan.present.minus(ONE_SHOT) == scan.present {
            return true;
        }
        let mut fields = Vec::new();
        splice::forward_fields(scan, ONE_SHOT, SequenceNum(0), &mut fields);
        self.pending.get_or_insert_default().try_push(fields, policy)
    }

    /// Whether the session has to be put into its server's queue.
    pub const fn wants_turn(&self) -> bool {
        if self.queued {
            return false;
        }
        let asks = matches!(self.full_state, FullState::Wanted) && self.is_present();
        asks || self.pending.is_some() || matches!(self.presence, Presence::Leaving)
    }

    /// The session's turn has come on a link that is up. Called again until nothing is left.
    pub fn turn(&mut self, route: Route, now: Instant) -> Turn {
        if self.presence == Presence::Leaving {
            return Turn::Disconnect;
        }
        self.note_lost(route);
        if let Some(pending) = &mut self.pending {
            if let Some(fields) = pending.pop() {
                return Turn::OneShot(fields);
            }
            self.pending = None;
        }
        if self.full_state == FullState::Wanted && self.is_present() {
            self.full_state = FullState::Asked(now);
            return Turn::AskAgent;
        }
        let asked = matches!(self.full_state, FullState::Asked(_)) && self.is_present();
        if self.sent_on.is_some() && self.sent_on != Some(route) && !asked {
            return Turn::Touch;
        }
        Turn::Nothing
    }

    /// Before anything is sent on a new incarnation: what the old one may have lost.
    fn note_lost(&mut self, route: Route) {
        if self.sent_on.is_some_and(|before| before != route)
            && self.unanswered > 0
            && self.full_state == FullState::Reported
        {
            self.want_full_state();
        }
    }

    /// A turn's one-shot message found no room after all: it keeps its place.
    pub fn put_back(&mut self, fields: Vec<u8>) {
        let pending = self.pending.get_or_insert_default();
        pending.bytes += fields.len();
        pending.messages.push_front(fields);
    }

    /// The server has been told that the agent left.
    pub fn disconnect_sent(&mut self, route: Route, now: Instant) {
        self.sent(route, None, now);
        self.presence = Presence::Gone;
    }
}
