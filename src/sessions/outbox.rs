//! What waits for an agent's task: frames in the order they were put there, within bounds (R11).

use super::slot::SlotState;
use super::{Sessions, additions};
use crate::clock;
use crate::core::session::Presence;
use crate::opamp::offers::Absorbed;
use crate::opamp::server::{REPORT_FULL_STATE, ServerScan};
use crate::opamp::splice;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{CustomDrop, OfferDrop, Replied, ReplySource};
use crate::telemetry::events::store::FullStateAsked;
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

impl Sessions {
    /// Puts one message (without the WebSocket header) where the agent's task will find it.
    pub(super) fn put(&self, slot: &mut SlotState, kind: SendKind, message: &[u8]) {
        if slot.overflowed {
            return;
        }
        let waiting = slot.outbox.len();
        // May be passed by what one lock adds to one agent's: that is not counted yet.
        let total = self.tally.agent_bytes();
        // One message is always allowed to an agent, or a large configuration could never pass.
        let over = waiting > 0 && waiting + message.len() > self.params.outbox_bytes_max;
        if over || total + message.len() > self.params.outbox_total_bytes_max {
            slot.overflowed = true;
            slot.outbox = Vec::new();
            slot.session.content_written(clock::now());
        } else {
            websocket::encode_message(true, message, &mut slot.outbox);
            let added = slot.outbox.len() - waiting;
            MessageSent { kind, bytes: added }.emit();
        }
        slot.wake();
    }

    /// Keeps a server's message for an agent that is away or polls.
    pub(super) fn keep(&self, slot: &mut SlotState, scan: &ServerScan<'_>) {
        let uid = slot.session.uid();
        let limits = self.offers_limits();
        if self.tally.agent_bytes() + scan.bytes.len() > self.params.outbox_total_bytes_max {
            slot.session.offer_may_be_lost();
            events::OfferDropped { uid, reason: OfferDrop::OverBudget }.emit();
            return;
        }
        let Absorbed { dropped_custom, dropped_offers, .. } = slot.session.keep_offer(scan, limits);
        for _ in 0..dropped_custom {
            events::CustomMessageDropped { uid, reason: CustomDrop::OverBudget }.emit();
        }
        for _ in 0..dropped_offers {
            events::OfferDropped { uid, reason: OfferDrop::OverBudget }.emit();
        }
        if !scan.is_empty_ack() {
            events::OfferStored { uid }.emit();
        }
    }

    /// Everything that waited for an agent goes to its WebSocket.
    pub(super) fn flush_offers(&self, slot: &mut SlotState) {
        let mut message = Vec::new();
        while slot.session.has_offers() {
            message.clear();
            slot.session.take_offer(&additions(None, 0), clock::now(), &mut message);
            self.put(slot, SendKind::Push, &message);
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

    /// The agent goes, but its connection has not closed: `out` takes every reply it is owed, and
    /// what was put there for it already.
    pub(super) fn say_farewell(&self, slot: &mut SlotState, out: &mut Vec<u8>) {
        let owed = slot.session.waive_replies();
        self.acknowledge(slot, owed);
        out.append(&mut slot.outbox);
        slot.vacate();
    }

    /// An acknowledgement of the gateway's own, with the server's greeting if it is the first.
    pub(super) fn write_acknowledgement(
        &self,
        slot: &mut SlotState,
        flags: u64,
        out: &mut Vec<u8>,
    ) {
        let server_hello = self.server_hello_for(slot, slot.session.sent_on());
        splice::acknowledge(slot.session.uid(), &additions(server_hello.as_ref(), flags), out);
        slot.session.hello_sent |= server_hello.is_some_and(|g| g.capabilities.is_some());
    }

    /// Asks the agent for its full state, or its component map, on the gateway's own account.
    pub(super) fn ask_agent(&self, slot: &mut SlotState, flags: u64) {
        let mut message = Vec::new();
        self.write_acknowledgement(slot, flags, &mut message);
        if flags & REPORT_FULL_STATE != 0 {
            FullStateAsked { uid: slot.session.uid() }.emit();
        }
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
