//! What waits for an agent's task: frames in the order they were put there, within bounds (R11).

use std::sync::atomic::Ordering;

use super::slot::{SlotState, Tally};
use super::{Sessions, additions};
use crate::clock;
use crate::core::session::Presence;
use crate::opamp::offers::Absorbed;
use crate::opamp::server::{REPORT_FULL_STATE, ServerScan};
use crate::opamp::splice;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{Asker, CustomDrop, OfferDrop, Replied, ReplySource};
use crate::websocket;

/// What an agent's task has to do.
#[derive(Debug)]
pub enum Outgoing {
    /// Nothing; the session must be looked at again at `reply_due`, if there is one.
    Nothing {
        /// When an acknowledgement is due in the server's place.
        reply_due: Option<std::time::Instant>,
    },
    /// Write these bytes, whole frames.
    Bytes(Vec<u8>),
    /// A newer connection of the agent took the session: close.
    Replaced,
    /// More waits for the agent than may: close.
    Overflowed,
    /// Seawall is stopping: close.
    Stopping,
    /// The agent said that it leaves, or its session is over: nothing more comes.
    Left,
}

impl Tally {
    pub(super) fn outbox_taken(&self, bytes: usize) {
        self.outbox_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Sessions {
    /// Puts one message (without the WebSocket header) where the agent's task will find it.
    pub(super) fn put(&self, slot: &mut SlotState, kind: SendKind, message: &[u8]) {
        if slot.overflowed {
            return;
        }
        let waiting = slot.outbox.len();
        let total = self.tally.outbox_bytes.load(Ordering::Relaxed);
        // One message is always allowed to an agent, or a large configuration could never pass.
        let over = waiting > 0 && waiting + message.len() > self.params.outbox_bytes_max;
        if over || total + message.len() > self.params.outbox_total_bytes_max {
            slot.overflowed = true;
            slot.outbox = Vec::new();
            self.tally.outbox_taken(waiting);
            slot.session.content_written(clock::now());
        } else {
            websocket::encode_message(true, message, &mut slot.outbox);
            let added = slot.outbox.len() - waiting;
            self.tally.outbox_bytes.fetch_add(added, Ordering::Relaxed);
            MessageSent { kind, bytes: added }.emit();
        }
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// Keeps a server's message for an agent that is away or polls.
    pub(super) fn keep(&self, slot: &mut SlotState, scan: &ServerScan<'_>) {
        let limits = self.offers_limits();
        let uid = slot.session.uid();
        let offers = slot.session.offers_mut().get_or_insert_default();
        let Absorbed { dropped_custom, dropped_offers, .. } = offers.absorb(scan, limits);
        for _ in 0..dropped_custom {
            events::CustomMessageDropped { uid, reason: CustomDrop::OverBudget }.emit();
        }
        for _ in 0..dropped_offers {
            events::OfferDropped { uid, reason: OfferDrop::OverBudget }.emit();
        }
        if !scan.is_empty_ack() {
            events::OfferKept { uid }.emit();
        }
    }

    /// Everything that waited for an agent goes to its WebSocket.
    pub(super) fn flush_offers(&self, slot: &mut SlotState) {
        let Some(mut offers) = slot.session.offers_mut().take() else { return };
        let mut message = Vec::new();
        let mut more = !offers.is_empty();
        while more {
            message.clear();
            more = offers.take(slot.session.uid(), &additions(None, 0), &mut message);
            self.put(slot, SendKind::Push, &message);
            slot.session.content_written(clock::now());
        }
    }

    /// Puts acknowledgements in the server's place.
    pub(super) fn acknowledge(&self, slot: &mut SlotState, count: u32) {
        for _ in 0..count {
            let mut message = Vec::new();
            self.write_acknowledgement(slot, 0, &mut message);
            self.put(slot, SendKind::LocalAck, &message);
            Replied { source: ReplySource::Local, after: None }.emit();
        }
    }

    /// An acknowledgement of the gateway's own, with the server's greeting if it is the first.
    pub(super) fn write_acknowledgement(
        &self,
        slot: &mut SlotState,
        flags: u64,
        out: &mut Vec<u8>,
    ) {
        let greeting = self.greeting_for(slot, slot.session.sent_on());
        splice::acknowledge(slot.session.uid(), &additions(greeting.as_ref(), flags), out);
        slot.session.greeted |= greeting.is_some_and(|g| g.capabilities.is_some());
    }

    /// Asks the agent for its full state, on the gateway's own account.
    pub(super) fn ask_agent(&self, slot: &mut SlotState) {
        let mut message = Vec::new();
        self.write_acknowledgement(slot, REPORT_FULL_STATE, &mut message);
        events::FullStateAsked { uid: slot.session.uid(), by: Asker::Gateway }.emit();
        match slot.session.presence() {
            Presence::Connected { .. } => self.put(slot, SendKind::Push, &message),
            _ => {
                if let Ok(scan) = ServerScan::parse(&message) {
                    self.keep(slot, &scan);
                }
            }
        }
    }
}
