//! Carries a session's effects out: the port of `core::session` over the table's surroundings. Decisions are the
//! session's: what comes through the port is done at once and in full.

use std::sync::Arc;
use std::time::Instant;

use super::attachment_port::{AttachmentEnd, AttachmentPort as _, Credit};
use super::contents::{Contents, with_space};
use super::outbox::Outbox;
use super::{Sessions, notes};
use crate::core::pacing::Permit;
use crate::core::session::{
    ClassSet, Departure, FreeBytes, NotSent, Note, Port, ReportDigests, Route, ServerHello,
    ToAgent, ToServer,
};
use crate::ident::{InstanceUid, ServerId};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, RawHash, report_hash};
use crate::opamp::field_set::FieldSet;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::websocket;

/// One-shot messages of all agents that may wait for their servers, in bytes.
const ONE_SHOT_TOTAL_BYTES_MAX: usize = 64 << 20;

/// What follows once the session's lock is free.
#[derive(Debug)]
pub(super) struct FollowUp {
    /// Where the session has to stand in its server's queue.
    pub(super) enqueue: ClassSet,
    /// The session leaves the table.
    pub(super) is_over: bool,
}

/// See the module's text. Lives as long as one event is handled.
pub(super) struct Carrier<'a> {
    sessions: &'a Sessions,
    uid: InstanceUid,
    now: Instant,
    contents: &'a mut Contents,
    outbox: &'a mut Option<Arc<Outbox>>,
    noted: &'a mut Option<Instant>,
    /// Where the agent's task writes from at once: the gateway's own acknowledgement of the message that is being
    /// handled goes there, so that a heartbeat's answer costs neither a buffer nor a second look.
    out: Option<&'a mut Vec<u8>>,
    follow_up: FollowUp,
}

/// What of an entry a carrier works on, beside the session: the agent's contents, the way to its connection, and
/// the deadline that the list of deadlines has of it.
type Surroundings<'a> = (&'a mut Contents, &'a mut Option<Arc<Outbox>>, &'a mut Option<Instant>);

impl<'a> Carrier<'a> {
    pub(super) const fn new(
        sessions: &'a Sessions,
        (uid, now): (InstanceUid, Instant),
        (contents, outbox, noted): Surroundings<'a>,
        out: Option<&'a mut Vec<u8>>,
    ) -> Self {
        let follow_up = FollowUp { enqueue: ClassSet::EMPTY, is_over: false };
        Self { sessions, uid, now, contents, outbox, noted, out, follow_up }
    }

    pub(super) fn into_follow_up(self) -> FollowUp {
        self.follow_up
    }

    const fn credit(&self) -> Credit<'a> {
        let params = &self.sessions.params;
        Credit {
            bytes_max: params.outbox_bytes_max,
            total_bytes_max: params.outbox_total_bytes_max,
            counters: &self.sessions.counters,
        }
    }
}

impl Port for Carrier<'_> {
    fn route(&self) -> Option<Route> {
        self.sessions.uplink.route(self.uid)
    }

    fn permit(&mut self, route: Route) -> Permit {
        self.sessions.uplink.admit(self.uid, route)
    }

    fn state_lost(&self, route: Route) -> bool {
        self.sessions.uplink.state_lost(route)
    }

    fn server_hello(&self, server: ServerId) -> Arc<ServerHello> {
        self.sessions.uplink.server_hello(server)
    }

    fn free_bytes(&self) -> FreeBytes {
        let Sessions { counters, params, .. } = self.sessions;
        FreeBytes {
            for_agents: params.outbox_total_bytes_max.saturating_sub(counters.agent_bytes()),
            for_servers: ONE_SHOT_TOTAL_BYTES_MAX.saturating_sub(counters.server_bytes()),
        }
    }

    fn report_hash(&self, scan: &AgentScan<'_>) -> RawHash {
        report_hash(&self.sessions.digester.key, scan)
    }

    fn digest(&mut self, scan: &AgentScan<'_>, digests: &mut ReportDigests) {
        with_space(|space| {
            let put = |number, digest| digests.put(number, digest);
            self.sessions.digester.report(scan, &mut space.digest, put);
        });
    }

    fn store(&mut self, scan: &AgentScan<'_>, parts: impl Iterator<Item = (u32, Digest)>) {
        with_space(|space| self.contents.store(&self.sessions.store, scan, parts, space));
    }

    fn append_stored(&mut self, parts: FieldSet, out: &mut Vec<u8>) -> FieldSet {
        self.contents.append(parts, out)
    }

    fn forget_stored(&mut self) {
        self.contents.clear();
    }

    fn send(&mut self, route: Route, message: &ToServer<'_>) -> Result<(), NotSent> {
        let uid = self.uid;
        self.sessions.uplink.send(uid, route, &mut |out| message.write(uid, out))
    }

    fn orphaned(&mut self, route: Route, messages: u32) {
        self.sessions.uplink.orphaned(route, messages);
    }

    fn enqueue(&mut self, classes: ClassSet) {
        self.follow_up.enqueue = self.follow_up.enqueue.union(classes);
    }

    fn to_agent(&mut self, message: ToAgent, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if message == ToAgent::ReplyNow
            && let Some(out) = &mut self.out
        {
            let before = out.len();
            let frame = websocket::begin_message(None, message.expected_bytes(), out);
            write(out);
            websocket::finish_message(frame, out);
            MessageSent { kind: SendKind::LocalAck, bytes: out.len() - before }.emit();
            return true;
        }
        let credit = self.credit();
        let Some(outbox) = &self.outbox else { return true };
        let mut write = Some(write);
        outbox.message(message, &credit, &mut |out| {
            if let Some(write) = write.take() {
                write(out);
            }
        })
    }

    fn answer_request(&mut self, settled: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(outbox) = self.outbox.take() {
            outbox.answer(settled, &self.sessions.counters, write);
        }
    }

    fn reply_due(&mut self, at: Option<Instant>) {
        if let Some(outbox) = &self.outbox {
            outbox.reply_due(at);
        }
    }

    fn detach(&mut self, why: Departure) -> bool {
        let Some(outbox) = self.outbox.take() else { return false };
        let counters = &self.sessions.counters;
        let ending = match why {
            Departure::Replaced => AttachmentEnd::Replaced,
            Departure::Lost | Departure::Drained => AttachmentEnd::Left,
            Departure::Left | Departure::Renamed => {
                if let Some(out) = &mut self.out {
                    outbox.take_into(out, counters);
                }
                AttachmentEnd::Left
            }
        };
        outbox.close(counters, ending)
    }

    fn close_when_written(&mut self) {
        if let Some(outbox) = &self.outbox {
            outbox.close_when_written();
        }
    }

    fn note(&mut self, note: Note) {
        notes::emit(self.sessions, self.uid, note);
    }

    fn deadline(&mut self, at: Instant) {
        if self.noted.is_none() {
            *self.noted = Some(at);
            self.sessions.deadlines.push(at, self.uid);
        }
    }

    fn over(&mut self, unanswered: Option<(Route, u32)>) {
        self.follow_up.is_over = true;
        if let Some(unanswered) = unanswered {
            self.sessions.late_replies.lock().ended(self.uid, unanswered, self.now);
        }
    }
}
