//! Carries a session's effects out: the port of `core::session` over the table's surroundings. Decisions are the
//! session's: what comes through the port is done at once and in full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attachment_port::{AttachmentEnd, AttachmentPort, Credit};
use super::contents::{Contents, with_space};
use super::counters::Counters;
use super::fresh_uid::fresh_uid;
use super::homes::{DigesterInUse, FarHome, FarWay, hash_of_digests, may_speak};
use super::outbox::Outbox;
use super::{InFleet, Sessions, notes};
use crate::core::node_link::PartDigests;
use crate::core::pacing::{Liveness, Permit};
use crate::core::session::{
    ClassSet, CustomKind, Departure, Farewell, FreeBytes, NotSent, Note, Port, Replier,
    ReportDigests, Route, ServerHello, ToAgent, ToServer,
};
use crate::ident::{InstanceUid, ServerId};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, RawHash, report_hash};
use crate::opamp::field_set::FieldSet;
use crate::opamp::field_set::agent_field::CAPABILITIES;
use crate::opamp::server::ServerScan;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::websocket;

/// One-shot messages of all agents that may wait for their servers, in bytes.
const ONE_SHOT_TOTAL_BYTES_MAX: usize = 64 << 20;
/// The copies of what agents have yet to confirm take at most this part of what may wait for agents, besides.
const COPIES_SHARE: usize = 4;

/// What follows once the session's lock is free.
#[derive(Debug, Clone, Copy)]
pub(super) struct FollowUp {
    /// Where the session has to stand in its server's queue.
    pub(super) enqueue: ClassSet,
    /// The session leaves the table.
    pub(super) is_over: bool,
}

impl FollowUp {
    pub(super) const NOTHING: Self = Self { enqueue: ClassSet::EMPTY, is_over: false };

    /// What follows from this event and a later one.
    #[must_use]
    pub(super) const fn and(self, later: Self) -> Self {
        let enqueue = self.enqueue.union(later.enqueue);
        Self { enqueue, is_over: self.is_over || later.is_over }
    }
}

/// See the module's text. Lives as long as one event is handled.
pub(super) struct Carrier<'a> {
    sessions: &'a Sessions,
    uid: InstanceUid,
    now: Instant,
    around: Surroundings<'a>,
    event: EventContext<'a>,
    follow_up: FollowUp,
    /// The server's own reply came with this event.
    server_replied: bool,
}

/// What of an entry a carrier works on, beside the session.
pub(super) struct Surroundings<'a> {
    pub(super) contents: &'a mut Contents,
    /// The way to the agent's connection.
    pub(super) outbox: &'a mut Option<Arc<Outbox>>,
    /// The way to the front where the connection ends.
    pub(super) far: Option<&'a mut FarHome>,
    /// The deadline that the list of deadlines has of the session.
    pub(super) noted: &'a mut Option<Instant>,
}

/// What an event brings beside what the session is told.
#[derive(Debug, Default)]
pub(super) struct EventContext<'a> {
    /// Where the agent's task writes from at once: the gateway's own acknowledgement of the message that is being
    /// handled goes there, so that a heartbeat's answer costs neither a buffer nor a second look.
    pub(super) out: Option<&'a mut Vec<u8>>,
    /// The digests of the message's parts, by the key in use.
    pub(super) digests: Option<PartDigests<'a>>,
    /// The connection that the session knows of is gone already.
    pub(super) is_cut_off: bool,
    /// The session goes to another home with this: what it says to a server is a goodbye, though its shard is gone.
    pub(super) leaves: bool,
}

impl<'a> Carrier<'a> {
    pub(super) const fn new(
        sessions: &'a Sessions,
        (uid, now): (InstanceUid, Instant),
        around: Surroundings<'a>,
        event: EventContext<'a>,
    ) -> Self {
        let follow_up = FollowUp::NOTHING;
        Self { sessions, uid, now, around, event, follow_up, server_replied: false }
    }

    pub(super) const fn into_follow_up(self) -> FollowUp {
        self.follow_up
    }

    /// Does something with the agent's connection, if it has one.
    fn at_connection<T>(&mut self, act: impl FnOnce(&dyn AttachmentPort) -> T) -> Option<T> {
        if self.event.is_cut_off {
            return None;
        }
        if let Some(outbox) = &*self.around.outbox {
            return Some(act(&**outbox));
        }
        let far = self.around.far.as_deref_mut()?;
        let InFleet { joined, .. } = self.sessions.in_fleet()?;
        Some(act(&FarWay::new(joined, self.uid, far)))
    }

    /// The agent's shard may be on its way to another home, or be there: nothing may be said for the agent.
    fn holds_still(&self) -> bool {
        !self.event.leaves && !may_speak(self.sessions, self.uid)
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
        if self.holds_still() {
            return Permit::Wait { soon: false };
        }
        self.sessions.uplink.admit(self.uid, route)
    }

    fn liveness(&mut self, route: Route, asked: Duration) -> Liveness {
        self.sessions.uplink.liveness(route, asked)
    }

    fn state_lost(&self, route: Route) -> bool {
        self.sessions.uplink.state_lost(route)
    }

    fn is_polled(&self, route: Route) -> bool {
        self.sessions.uplink.is_polled(route.server())
    }

    fn passes_question(&mut self) -> bool {
        self.sessions.question_budget.lock().take(self.now)
    }

    fn fresh_uid(&mut self) -> InstanceUid {
        fresh_uid()
    }

    fn server_hello(&self, server: ServerId) -> Arc<ServerHello> {
        self.sessions.uplink.server_hello(server)
    }

    fn free_bytes(&self) -> FreeBytes {
        let Sessions { counters, params, .. } = self.sessions;
        let total = params.outbox_total_bytes_max;
        let for_present = total.saturating_sub(counters.present_bytes());
        FreeBytes {
            for_agents: for_present,
            for_absent: total.saturating_sub(counters.agent_bytes() + counters.copied_bytes()),
            for_copies: (total / COPIES_SHARE)
                .saturating_sub(counters.copied_bytes())
                .min(for_present),
            for_servers: ONE_SHOT_TOTAL_BYTES_MAX.saturating_sub(counters.server_bytes()),
        }
    }

    fn report_hash(&self, scan: &AgentScan<'_>) -> RawHash {
        let digester = DigesterInUse::of(self.sessions);
        self.event.digests.map_or_else(
            || report_hash(&digester.key, scan),
            |digests| hash_of_digests(&digester.key, scan, &digests),
        )
    }

    fn raw_hash(&self, bytes: &[u8]) -> RawHash {
        RawHash::of(&DigesterInUse::of(self.sessions).key, bytes)
    }

    fn custom_kind(&self, capability: &str) -> CustomKind {
        self.sessions.params.custom_kinds.of(capability)
    }

    fn digest(&mut self, scan: &AgentScan<'_>, digests: &mut ReportDigests) {
        let digester = DigesterInUse::of(self.sessions);
        let mut put = |number, digest| digests.put(number, digest);
        if let Some(came) = self.event.digests {
            with_space(|space| space.digest.forget_kept());
            came.iter()
                .filter(|(number, _)| scan.present.contains(*number))
                .for_each(|(n, d)| put(n, d));
            return put(CAPABILITIES, digester.number(CAPABILITIES, scan.capabilities));
        }
        with_space(|space| digester.report_to_store(scan, &mut space.digest, put));
    }

    fn store(&mut self, scan: &AgentScan<'_>, parts: impl Iterator<Item = (u32, Digest)>) {
        with_space(|space| self.around.contents.store(&self.sessions.store, scan, parts, space));
    }

    fn append_stored(&mut self, parts: FieldSet, out: &mut Vec<u8>) -> FieldSet {
        self.around.contents.append(parts, out)
    }

    fn forget_stored(&mut self) {
        self.around.contents.clear();
    }

    fn send(&mut self, route: Route, message: &ToServer<'_>) -> Result<(), NotSent> {
        if self.holds_still() {
            return Err(NotSent::Down);
        }
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
            && let Some(out) = &mut self.event.out
        {
            let before = out.len();
            let frame = websocket::begin_message(None, message.expected_bytes(), out);
            write(out);
            websocket::finish_message(frame, out);
            MessageSent { kind: SendKind::LocalAck, bytes: out.len() - before }.emit();
            return true;
        }
        let credit = self.credit();
        let mut write = Some(write);
        let mut write_once = |out: &mut Vec<u8>| {
            if let Some(write) = write.take() {
                write(out);
            }
        };
        self.at_connection(|connection| connection.message(message, &credit, &mut write_once))
            .unwrap_or(false)
    }

    fn answer_request(&mut self, settled: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(outbox) = self.around.outbox.take() {
            return answer(&outbox, (settled, self.server_replied), &self.sessions.counters, write);
        }
        let credit = self.credit();
        let mut write = Some(write);
        let mut write_once = |out: &mut Vec<u8>| {
            if let Some(write) = write.take() {
                write(out);
            }
        };
        // The front closes the request.
        self.at_connection(|far| far.message(ToAgent::Reply(0), &credit, &mut write_once));
    }

    fn reply_due(&mut self, at: Option<Instant>) {
        self.at_connection(|connection| connection.reply_due(at));
    }

    fn confirm(&mut self, ping: u16) {
        let counters = &self.sessions.counters;
        self.at_connection(|connection| connection.confirm(ping, counters));
    }

    fn may_read(&mut self, may: bool) {
        let now = self.now;
        self.at_connection(|connection| connection.may_read(may, now));
    }

    fn detach(&mut self, why: Departure) {
        if self.event.is_cut_off {
            return;
        }
        let counters = &self.sessions.counters;
        let ending = match why {
            Departure::Replaced => AttachmentEnd::Replaced,
            Departure::Lost | Departure::Drained => AttachmentEnd::Left,
            Departure::Left | Departure::Renamed => {
                if let (Some(out), Some(outbox)) = (&mut self.event.out, &self.around.outbox) {
                    outbox.take_into(out, counters);
                }
                AttachmentEnd::Left
            }
        };
        self.at_connection(|connection| connection.close(counters, ending));
        *self.around.outbox = None;
    }

    fn close_when_written(&mut self) {
        self.at_connection(|connection| connection.close_when_written());
    }

    fn note(&mut self, note: Note) {
        self.server_replied |= matches!(note, Note::Replied { by: Replier::Server, .. });
        notes::emit(self.sessions, self.uid, note);
    }

    fn deadline(&mut self, at: Instant) {
        if self.around.noted.is_none() {
            *self.around.noted = Some(at);
            self.sessions.deadlines.push(at, self.uid);
        }
    }

    fn over(&mut self, unanswered: Option<(Route, u32)>, farewell: Option<Farewell>) {
        self.follow_up.is_over = true;
        if let Some(unanswered) = unanswered {
            self.sessions.ended.late_replies.lock().ended(self.uid, unanswered, self.now);
        }
        if let Some(farewell) = farewell {
            self.sessions.ended.farewells.lock().told(self.uid, farewell);
        }
    }
}

/// Answers a request, and counts the answer as what it is, like a message on a WebSocket.
fn answer(
    outbox: &Outbox,
    (settled, server_replied): (bool, bool),
    counters: &Counters,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let (mut kind, mut bytes) = (SendKind::Reply, 0);
    outbox.answer(settled, counters, |out| {
        write(out);
        bytes = out.len();
        if !server_replied {
            let acknowledges = ServerScan::parse(out).is_ok_and(|scan| scan.is_empty_ack());
            kind = if acknowledges { SendKind::LocalAck } else { SendKind::Push };
        }
    });
    MessageSent { kind, bytes }.emit();
}
