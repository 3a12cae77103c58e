//! A connection's claim on its agent's session. Dropping it is the loss of the connection, on
//! every path.

use std::sync::Arc;
use std::task::Context;

use super::outbox::Outgoing;
use super::slot::Slot;
use super::{Presence, Sessions};
use crate::clock;
use crate::core::session::EndReason;
use crate::ident::{ConnectionId, InstanceUid};
use crate::telemetry::events;

/// Held by the task of an agent's WebSocket from its first message on.
pub struct Attachment {
    pub(super) sessions: Arc<Sessions>,
    pub(super) slot: Arc<Slot>,
    pub(super) uid: InstanceUid,
    pub(super) connection: ConnectionId,
}

impl Attachment {
    /// The agent.
    pub const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// What the task has to do now; without anything, `context` is woken when there is. Bytes are
    /// handed out only if `writable`: while earlier ones wait they gather here, where they are
    /// bounded.
    pub fn poll_outgoing(&self, context: &Context<'_>, writable: bool) -> Outgoing {
        let mut slot = self.slot.lock(&self.sessions.tally);
        let here = Presence::Connected { connection: self.connection };
        match slot.session.presence() {
            presence if presence == here => {}
            Presence::Disconnecting | Presence::Gone => return Outgoing::Left,
            _ => return Outgoing::Replaced,
        }
        if slot.overflowed {
            return Outgoing::Overflowed;
        }
        if self.sessions.stopping.load(std::sync::atomic::Ordering::Relaxed) {
            return Outgoing::Stopping;
        }
        let overdue = slot.session.reply_overdue(clock::now());
        self.sessions.acknowledge(&mut slot, overdue);
        if writable && !slot.outbox.is_empty() {
            return Outgoing::Bytes(std::mem::take(&mut slot.outbox));
        }
        if slot.draining && writable {
            // From here on another node speaks for the agent.
            self.sessions.release_drained(slot);
            return Outgoing::Stopping;
        }
        slot.wake_next(context.waker());
        Outgoing::Nothing { reply_due: slot.session.reply_due() }
    }

    /// A pong came: what was written well before it has arrived.
    pub fn heard(&self) {
        self.slot.lock(&self.sessions.tally).session.heard(clock::now());
    }

    /// This connection was replaced, and its peer answered the Close: it was alive (R10).
    pub fn replaced_was_alive(&self) {
        self.slot.lock(&self.sessions.tally).session.replaced_was_alive(clock::now());
    }

    /// Bytes the task took were not all written when the connection ended.
    pub fn content_unwritten(&self) {
        let mut slot = self.slot.lock(&self.sessions.tally);
        // A newer connection has found out when it came.
        if slot.session.presence() == (Presence::Connected { connection: self.connection }) {
            slot.session.content_written(clock::now());
        }
    }

    /// The agent goes on under another uid on the same connection: `out` takes what it is still
    /// owed under this one. If a server told it to, this uid is no more (R10).
    pub(super) fn hand_over(&self, out: &mut Vec<u8>) {
        let mut slot = self.slot.lock(&self.sessions.tally);
        if slot.session.presence() != (Presence::Connected { connection: self.connection }) {
            return;
        }
        self.sessions.say_farewell(&mut slot, out);
        if slot.renamed {
            slot.session.leave();
            let reason = EndReason::ReplacedUid;
            events::sessions::SessionEnded { uid: self.uid, reason }.emit();
        }
        self.sessions.finish(self.uid, slot);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let now = clock::now();
        let mut slot = self.slot.lock(&self.sessions.tally);
        if !slot.session.lost(self.connection, now, &self.sessions.policy) {
            // A newer connection has the session, or it is over and nothing waits.
            return;
        }
        if slot.vacate() {
            slot.session.content_written(now);
        }
        if self.sessions.is_draining() {
            return self.sessions.release_drained(slot);
        }
        events::sessions::SessionAbsent { uid: self.uid }.emit();
        self.sessions.finish(self.uid, slot);
    }
}
