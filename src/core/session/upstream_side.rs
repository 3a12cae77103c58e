//! What the session sends to its server, with which number, and what it still has to send.

use std::collections::VecDeque;
use std::time::Instant;

use super::{FullState, Policy, Presence, Route, Session};
use crate::ident::SequenceNum;
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice;

/// Fields that no later report repeats: if their message cannot be sent, they wait.
const ONE_SHOT: FieldSet =
    FieldSet::of(&[agent_field::CUSTOM_MESSAGE, agent_field::CONNECTION_SETTINGS_REQUEST]);

/// The one-shot fields of a message. A flag is one: the agent sets it once.
pub(super) fn one_shot(scan: &AgentScan<'_>) -> FieldSet {
    let flags = FieldSet::of(if scan.flags == 0 { &[] } else { &[agent_field::FLAGS] });
    scan.present.intersection(ONE_SHOT.union(flags))
}

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

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn pop(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.len();
        }
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }
}

/// What a session does when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is left to do.
    Nothing,
    /// Ask the agent for its full state.
    AskAgent,
    /// Introduce the agent to this incarnation of the server.
    Touch,
    /// Send what waited: [`Session::first_pending`].
    OneShot,
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
        self.left_server = false;
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

    /// After a failover or failback: where the server can be told, before anything goes out on
    /// `route`, that the agent is no longer its. It is not told twice; if it hears of it,
    /// [`Session::told_old_server`] follows. An agent that is leaving need not be introduced to the
    /// other server for that.
    pub fn leave_server(&mut self, route: Route) -> Option<Route> {
        let old = self.sent_on.filter(|old| old.link.server != route.link.server)?;
        if self.presence == Presence::Leaving && !self.has_pending() {
            self.presence = Presence::Gone;
        }
        (!std::mem::replace(&mut self.left_server, true)).then_some(old)
    }

    /// The old server has been told, with the next number.
    pub const fn told_old_server(&mut self) {
        self.upstream_number = self.upstream_number.next();
    }

    /// Whether this incarnation of the server knows the agent, as far as messages sent go.
    pub fn is_introduced(&self, route: Option<Route>) -> bool {
        self.sent_on == route && !self.left_server
    }

    /// Messages that an earlier incarnation left unanswered may be lost.
    fn note_incarnation(&mut self, route: Route) {
        if self.sent_on.is_some() && !self.is_introduced(Some(route)) {
            if self.unanswered > 0 && self.full_state == FullState::Reported {
                self.want_full_state();
            }
            self.unanswered = 0;
        }
        if !self.is_introduced(Some(route)) {
            self.forget_known();
        }
    }

    /// A message could not be sent: no number is used up, and what it said is wanted again.
    /// Returns `false` if a one-shot field found no room and is lost.
    pub fn not_sent(&mut self, scan: &AgentScan<'_>, policy: &Policy) -> bool {
        let once = one_shot(scan);
        let mut kept = true;
        if !once.is_empty() {
            let mut fields = Vec::new();
            splice::forward_fields(scan, once, SequenceNum(0), &mut fields);
            kept = self.rare_mut().pending.try_push(fields, policy);
        }
        if scan.disconnects() {
            // `turn` will say it.
            self.leave();
        } else if !scan.present.minus(ONE_SHOT).is_subset(agent_field::HEARTBEAT) {
            self.want_full_state();
        }
        kept
    }

    /// Whether a message must wait for what [`Session::first_pending`] holds: one-shot fields
    /// keep their order, and nothing follows a disconnect.
    pub fn must_queue(&self, scan: &AgentScan<'_>) -> bool {
        self.has_pending() && (scan.disconnects() || !one_shot(scan).is_empty())
    }

    fn has_pending(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.pending.is_empty())
    }

    /// One-shot messages that wait for the server, and their bytes.
    pub fn pending(&self) -> (usize, usize) {
        self.rare.as_ref().map_or((0, 0), |rare| (rare.pending.messages.len(), rare.pending.bytes))
    }

    /// The one-shot fields whose turn is next: a message whose number is to be replaced. When it
    /// is out, [`Session::pending_sent`] follows.
    pub fn first_pending(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.pending.messages.front().map(Vec::as_slice)
    }

    /// What [`Session::first_pending`] gave went out on `route`.
    pub fn pending_sent(&mut self, route: Route, now: Instant) {
        self.rare_mut().pending.pop();
        self.sent(route, None, now);
    }

    /// Forgets what waits for a server that will not hear it; says how many messages that were.
    pub fn drop_pending(&mut self) -> usize {
        self.rare.as_mut().map_or(0, |rare| std::mem::take(&mut rare.pending).messages.len())
    }

    /// Whether the session has to be put into its server's queue.
    pub fn wants_turn(&self) -> bool {
        if self.queued || self.is_gone() {
            return false;
        }
        let asks = matches!(self.full_state, FullState::Wanted) && self.is_present();
        asks || self.has_pending() || matches!(self.presence, Presence::Leaving)
    }

    /// The session's turn has come on a link that is up. Called again until nothing is left.
    pub fn turn(&mut self, route: Route, now: Instant) -> Turn {
        self.note_incarnation(route);
        if self.is_gone() {
            return Turn::Nothing;
        }
        if self.has_pending() {
            return Turn::OneShot;
        }
        if self.presence == Presence::Leaving {
            return Turn::Disconnect;
        }
        if self.full_state == FullState::Wanted && self.is_present() {
            self.full_state = FullState::Asked(now);
            return Turn::AskAgent;
        }
        let asked = matches!(self.full_state, FullState::Asked(_)) && self.is_present();
        if self.sent_on.is_some() && !self.is_introduced(Some(route)) && !asked {
            return Turn::Touch;
        }
        Turn::Nothing
    }

    /// The server has been told that the agent left.
    pub fn disconnect_sent(&mut self, route: Route, now: Instant) {
        self.sent(route, None, now);
        self.presence = Presence::Gone;
    }
}
