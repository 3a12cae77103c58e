//! What the session sends to its server, with which number, and what it still has to send.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Policy, Presence, Route, Session};
use crate::ident::SequenceNum;
use crate::mutation::{Breach, is_on};
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

impl Session {
    /// The number the next message upstream carries; [`Session::sent`] takes it (R3).
    pub const fn next_number(&self) -> SequenceNum {
        self.upstream_number.next()
    }

    /// A message for the agent's server went out on `route`.
    pub fn sent(&mut self, route: Route, now: Instant) {
        self.note_incarnation(route);
        self.upstream_number = self.upstream_number.next();
        self.sent_on = Some(route);
        self.left_server = false;
        self.announce_due = false;
        self.introducing = false;
        self.sent_at = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        if let Some(picture) = &mut self.picture {
            picture.capabilities_sent();
        }
    }

    /// When the server last heard something of the agent.
    pub const fn last_sent(&self) -> Option<Instant> {
        self.sent_at
    }

    /// A touch went out on `route`.
    pub fn announce_sent(&mut self, route: Route, now: Instant) {
        let introduces = self.needs_introduction(Some(route));
        self.sent(route, now);
        self.introducing = introduces;
    }

    /// After a failover or failback: where the server can be told, before anything goes out on
    /// `route`, that the agent is no longer its. It is not told twice; if it hears of it,
    /// [`Session::told_old_server`] follows. An agent that is leaving need not be introduced to the
    /// other server for that.
    pub fn leave_server(&mut self, route: Route) -> Option<Route> {
        let old = self.sent_on.filter(|old| old.link.server != route.link.server)?;
        if self.presence == Presence::Disconnecting && !self.has_pending() {
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
    pub(super) fn note_incarnation(&mut self, route: Route) {
        if !self.is_introduced(Some(route)) {
            let moved = self.left_server
                || self.sent_on.is_some_and(|on| on.link.server != route.link.server);
            let unanswered = self.unanswered > 0 || self.hears_echoes();
            self.forget_held(unanswered && !is_on(Breach::R6IgnoresLostLink), moved);
            self.unanswered = 0;
            self.leave_echoes(route);
        }
    }

    /// A message was not sent: no number is used up. What it says of the agent's state is in the
    /// picture; what no later report repeats waits in order.
    /// Returns `false` if a one-shot field found no room and is lost.
    pub fn not_sent(&mut self, scan: &AgentScan<'_>, policy: &Policy) -> bool {
        if is_on(Breach::R3SkipsNumber) {
            self.upstream_number = self.upstream_number.next();
        }
        let once = one_shot(scan);
        let mut kept = true;
        if !once.is_empty() {
            let mut fields = Vec::new();
            splice::only_fields(scan, once, &mut fields);
            kept = self.rare_mut().pending.try_push(fields, policy);
        }
        if scan.disconnects() {
            // `turn` will say it.
            self.leave();
        }
        kept
    }

    /// Whether a message must wait for what [`Session::first_pending`] holds: one-shot fields
    /// keep their order, and nothing follows a disconnect.
    pub fn must_queue(&self, scan: &AgentScan<'_>) -> bool {
        self.has_pending() && (scan.disconnects() || !one_shot(scan).is_empty())
    }

    pub(super) fn has_pending(&self) -> bool {
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
        let number = self.upstream_number;
        self.sent(route, now);
        if is_on(Breach::R3RepeatsNumber) {
            self.upstream_number = number;
        }
    }

    /// Forgets what waits for a server that will not hear it; says how many messages that were.
    pub fn drop_pending(&mut self) -> usize {
        self.rare.as_mut().map_or(0, |rare| std::mem::take(&mut rare.pending).messages.len())
    }

    /// The server has been told that the agent left.
    pub const fn gone(&mut self) {
        self.presence = Presence::Gone;
    }
}
