//! Carries out what a connection's attachment does: frames for its home, bytes for its agent. It decides nothing.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::FrontSide;
use super::entry::{FrontContribution, FrontEntry, FrontState};
use super::heartbeats::HeartbeatsFor;
use crate::clock;
use crate::core::attachment::{FrontAttachment, FrontMoment, FrontPort};
use crate::core::node_link::{CloseOrder, ForAgentKind, HeartbeatsEntry, ToHome};
use crate::core::ownership::{MapVersion, NodeIncarnation};
use crate::core::session::{Replier, ToAgent};
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::Digest;
use crate::opamp::server::ServerScan;
use crate::opamp::splice::{self, Additions};
use crate::sessions::Joined;
use crate::sessions::attachment_port::{AttachmentEnd, AttachmentPort as _, Credit};
use crate::sessions::fresh_uid::fresh_uid;
use crate::sessions::loopback::LoopbackSide;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::telemetry::events::fronts::{AttachmentClosed, FrontPinged};
use crate::telemetry::events::sessions::Replied;
use crate::websocket;

/// See the module's text. Lives as long as one event is handled.
pub(super) struct FrontCarrier<'a> {
    side: FrontSide<'a>,
    entry: &'a FrontEntry,
    /// Where the agent's task writes from at once.
    out: Option<&'a mut Vec<u8>>,
    done: FrontDone,
}

/// What an event has brought beside its effects.
#[derive(Debug, Default)]
struct FrontDone {
    /// The highest number of a message that was put into the outbox.
    queued: u64,
    /// The uid that the agent was given.
    fresh: Option<InstanceUid>,
    /// The last ping that was sent.
    asked: Option<u32>,
}

impl FrontCarrier<'_> {
    const fn uid(&self) -> InstanceUid {
        self.entry.handle.uid
    }

    fn credit(&self) -> Credit<'_> {
        let params = &self.side.sessions.params;
        // Each home has a bound of its own. So an agent that reads at once is brought what comes for it, up to twice the
        // bound, and agents that read nothing make room meanwhile.
        let reads_at_once = self.entry.outbox.unread_bytes() == 0;
        let total_bytes_max = params.outbox_total_bytes_max;
        Credit {
            bytes_max: params.outbox_bytes_max,
            total_bytes_max: total_bytes_max.saturating_mul(1 + usize::from(reads_at_once)),
            counters: &self.side.joined.fronts.outboxes,
        }
    }

    /// Answers a request that still waits. `settled`: its home has heard it.
    fn answer(&self, settled: bool, kind: SendKind, write: impl FnOnce(&mut Vec<u8>)) {
        if self.entry.outbox.awaits_answer() {
            let mut bytes = 0;
            self.entry.outbox.answer(settled, &self.side.joined.fronts.outboxes, |out| {
                write(out);
                bytes = out.len();
            });
            MessageSent { kind, bytes }.emit();
        }
    }

    /// A uid that the agent is given: it may be the next one to speak on this connection.
    fn note_given(&self, message: &[u8]) {
        let scan = ServerScan::parse(message);
        let given = scan.as_ref().ok().and_then(ServerScan::new_instance_uid);
        if let Some(given) = given.and_then(|uid| InstanceUid::from_wire(uid).ok()) {
            self.side.sessions.ended.given.note(given, self.uid(), clock::now());
        }
    }

    fn give_fresh_uid(&mut self) {
        let (uid, fresh) = (self.uid(), fresh_uid());
        self.done.fresh = Some(fresh);
        self.side.sessions.ended.given.note(fresh, uid, clock::now());
        let write = |out: &mut Vec<u8>| {
            splice::new_instance_uid(uid, fresh, &Additions::default(), out);
        };
        if self.entry.is_request() {
            return self.answer(false, SendKind::Error, write);
        }
        self.entry.outbox.frame(&self.side.joined.fronts.outboxes, |out| {
            let before = out.len();
            let frame = websocket::begin_message(None, 100, out);
            write(out);
            websocket::finish_message(frame, out);
            MessageSent { kind: SendKind::Error, bytes: out.len() - before }.emit();
        });
    }
}

impl FrontPort for FrontCarrier<'_> {
    fn digest(&mut self, scan: &AgentScan<'_>, put: &mut dyn FnMut(u32, Digest)) -> u64 {
        self.side.joined.homes.digest_report(scan, put)
    }

    fn to_home(&mut self, home: NodeIncarnation, message: &ToHome<'_>) {
        self.side.joined.to_home(home, self.uid(), &mut |out| message.encode(out));
    }

    fn heartbeats(&mut self, home: NodeIncarnation, entry: HeartbeatsEntry) {
        if let Some(HeartbeatsFor { home, mut gather, .. }) =
            self.side.joined.fronts.batches.add(home, entry)
        {
            self.side.joined.to_home(home, self.uid(), &mut |out| gather.flush(out));
        }
    }

    fn to_agent(&mut self, kind: ForAgentKind, number: u64, bytes: &[u8]) {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(bytes);
        let is_answer = kind == ForAgentKind::Answer;
        if self.entry.is_request() {
            // What comes when the request has its answer stays unwritten, and its home hears so at the end.
            if !is_answer || !self.entry.outbox.awaits_answer() {
                return;
            }
            self.answer(true, SendKind::Reply, write);
        } else {
            self.note_given(bytes);
            let length = bytes.len();
            let kind = if is_answer { ToAgent::Reply(length) } else { ToAgent::Push(length) };
            let (outbox, credit) = (&self.entry.outbox, self.credit());
            if !outbox.message(kind, &credit, &mut { write }) {
                // Its home keeps it for the agent's next connection.
                return outbox.close(credit.counters, AttachmentEnd::Overflowed);
            }
        }
        self.done.queued = self.done.queued.max(number);
    }

    fn acknowledge(&mut self) {
        let uid = self.uid();
        let write = |out: &mut Vec<u8>| splice::acknowledge(uid, &Additions::default(), out);
        Replied { source: Replier::Gateway, after: None }.emit();
        if self.entry.is_request() {
            return self.answer(false, SendKind::LocalAck, write);
        }
        if let Some(out) = &mut self.out {
            let before = out.len();
            let frame = websocket::begin_message(None, InstanceUid::WIRE_BYTES_MAX + 2, out);
            write(out);
            websocket::finish_message(frame, out);
            MessageSent { kind: SendKind::LocalAck, bytes: out.len() - before }.emit();
            return;
        }
        self.entry.outbox.message(ToAgent::Acknowledgement, &self.credit(), &mut { write });
    }

    fn ping(&mut self, question: u32) {
        if !self.entry.is_request() {
            FrontPinged.emit();
            self.done.asked = Some(question);
            let ping =
                |out: &mut Vec<u8>| websocket::encode_ping(None, &question.to_be_bytes(), out);
            self.entry.outbox.frame(&self.side.joined.fronts.outboxes, ping);
        }
    }

    fn close(&mut self, order: CloseOrder) {
        AttachmentClosed { uid: self.uid(), order }.emit();
        if order == CloseOrder::Cloned {
            return self.give_fresh_uid();
        }
        if self.entry.is_request() {
            let uid = self.uid();
            let write = |out: &mut Vec<u8>| splice::acknowledge(uid, &Additions::default(), out);
            return self.answer(false, SendKind::LocalAck, write);
        }
        let (outbox, counters) = (&self.entry.outbox, &self.side.joined.fronts.outboxes);
        let end = match order {
            CloseOrder::Replaced => AttachmentEnd::Replaced,
            CloseOrder::Overflowed => AttachmentEnd::Overflowed,
            CloseOrder::Stopping => AttachmentEnd::Stopping,
            CloseOrder::Draining => return outbox.close_when_written(),
            CloseOrder::Left | CloseOrder::Cloned => return outbox.say_farewell(),
        };
        outbox.close(counters, end);
    }

    fn read_map(&mut self, version: MapVersion) {
        self.side.joined.ways.read_map(version);
    }
}

impl Joined {
    /// Sends a frame to a home on this agent's stream. Frames for this node are handled once the loopback is drained.
    pub(in crate::sessions) fn to_home(
        &self,
        home: NodeIncarnation,
        uid: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        if home == self.ways.me() {
            self.loopback.push(uid, LoopbackSide::Home, write);
        } else {
            // A link without room is closed, and the connection attaches again on the next one.
            self.ways.send(home, uid, write);
        }
    }
}

impl FrontSide<'_> {
    /// Calls one entry of a connection's attachment, and handles what it brings about on this node. `out`: where a
    /// reply goes that is written at once. Called without locks.
    pub(super) fn with<T>(
        self,
        entry: &Arc<FrontEntry>,
        out: Option<&mut Vec<u8>>,
        event: impl FnOnce(&mut FrontAttachment, &FrontMoment<'_>, &mut FrontCarrier<'_>) -> T,
    ) -> T {
        let mut state = entry.lock();
        let done = self.call((entry, &mut state), out, event);
        drop(state);
        self.handle_loopback(entry.handle.uid);
        done
    }

    /// Calls one entry of a locked connection's attachment. The loopback must be handled once the lock is given back.
    pub(super) fn call<T>(
        self,
        (entry, state): (&FrontEntry, &mut MutexGuard<'_, FrontState>),
        out: Option<&mut Vec<u8>>,
        event: impl FnOnce(&mut FrontAttachment, &FrontMoment<'_>, &mut FrontCarrier<'_>) -> T,
    ) -> T {
        let fronts = &self.joined.fronts;
        let (policy, is_crowded) = (&fronts.policy, fronts.is_crowded());
        let moment = FrontMoment { now: clock::now(), policy, is_crowded };
        let before = (state.front.reply_due(), state.front.may_read(policy));
        let mut carrier = FrontCarrier { side: self, entry, out, done: FrontDone::default() };
        let returned = event(&mut state.front, &moment, &mut carrier);
        let FrontDone { queued, fresh, asked } = carrier.done;
        state.written.queued = state.written.queued.max(queued);
        state.fresh = state.fresh.or(fresh);
        state.asked = asked.map(|question| (question, moment.now)).or(state.asked);
        let after = (state.front.reply_due(), state.front.may_read(policy));
        if after.0 != before.0 {
            entry.outbox.reply_due(after.0);
        }
        if after.1 && !before.1 {
            entry.outbox.wake();
        }
        self.note(entry, state);
        returned
    }

    /// Notes when a connection must be looked at, and what it adds to the sums.
    fn note(self, entry: &FrontEntry, state: &mut MutexGuard<'_, FrontState>) {
        let fronts = &self.joined.fronts;
        if let Some(due) = state.front.home_due()
            && state.noted.is_none_or(|noted| due < noted)
        {
            state.noted = Some(due);
            fronts.deadlines.push(due, entry.handle);
        }
        let is_open = state.front.is_open() && !entry.is_request();
        let counted = FrontContribution { is_open, held_bytes: state.front.held_bytes() };
        let before = std::mem::replace(&mut state.counted, counted);
        fronts.counters.held_changed(before.held_bytes, counted.held_bytes);
        match (before.is_open, counted.is_open) {
            (false, true) => fronts.counters.opened(),
            (true, false) => fronts.counters.closed(),
            _ => {}
        }
        if state.front.is_over() {
            fronts.table.remove(entry.handle);
        }
    }
}
