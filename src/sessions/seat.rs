//! A connection's claim on its agent's session. Dropping it is the loss of the connection, on
//! every path.

use std::sync::Arc;
use std::task::Context;

use super::outbox::Outgoing;
use super::slot::Slot;
use super::{Presence, Sessions};
use crate::clock;
use crate::ident::{ConnectionId, InstanceUid};
use crate::telemetry::events;

/// Held by the task of an agent's WebSocket from its first message on.
pub struct Seat {
    pub(super) sessions: Arc<Sessions>,
    pub(super) slot: Arc<Slot>,
    pub(super) uid: InstanceUid,
    pub(super) connection: ConnectionId,
}

impl Seat {
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
            Presence::Leaving | Presence::Gone => return Outgoing::Left,
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
            let bytes = std::mem::take(&mut slot.outbox);
            self.sessions.tally.outbox_taken(bytes.len());
            return Outgoing::Bytes(bytes);
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            slot.waker = Some(context.waker().clone());
        }
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
        slot.session.content_written(clock::now());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = clock::now();
        let mut slot = self.slot.lock(&self.sessions.tally);
        let renamed = slot.renamed;
        if !slot.session.lost(self.connection, now, &self.sessions.policy) {
            // A newer connection has the session, or it is over.
            return;
        }
        slot.waker = None;
        slot.overflowed = false;
        let unread = std::mem::take(&mut slot.outbox);
        if !unread.is_empty() {
            self.sessions.tally.outbox_taken(unread.len());
            slot.session.content_written(now);
        }
        if renamed {
            slot.session.leave();
            events::sessions::SessionEnded {
                uid: self.uid,
                reason: events::sessions::EndReason::ReplacedUid,
            }
            .emit();
        } else {
            events::sessions::SessionLingers { uid: self.uid }.emit();
        }
        let enlist = self.sessions.settle(&mut slot);
        let removed = slot.removed;
        drop(slot);
        self.sessions.conclude(self.uid, removed, enlist);
    }
}
