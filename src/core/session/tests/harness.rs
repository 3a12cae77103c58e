//! A gateway of one session, on a clock that the test moves. It implements the port over plain vectors, with
//! wires that lose what is on them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::ownership::NodeIncarnation;
use crate::core::pacing::{Class, Liveness, Permit};
use crate::core::server::Keying;
use crate::core::session::{
    AgentMessage, Answer, ClassSet, CustomKind, Departure, Farewell, FormerLinksEnded, FreeBytes,
    FullState, LateReply, Memory, MessageSource, Moment, Move, Moved, NotSent, Note, Opened, Peer,
    PermitUse, Policy, Port, Presence, ReportDigests, Route, ServerHello, Session, SessionInfo,
    SessionRecord, ToAgent, ToServer,
};
use crate::ident::{ConnectionId, Incarnation, InstanceUid, LinkId, SequenceNum, ServerId};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, Digester, RawHash, Scratch, report_hash};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::fields;
use crate::opamp::offers::OffersLimits;
use crate::opamp::server::ServerScan;

pub(in crate::core::session) const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

pub(in crate::core::session) const POLICY: Policy = Policy {
    grace_period: Duration::from_secs(60),
    reply_wait: Duration::from_secs(2),
    heartbeat_forward_interval: Duration::from_secs(60),
    poll_timeout: Duration::from_secs(90),
    one_shots_max: 4,
    one_shot_bytes_max: 1 << 10,
    offers: OffersLimits { bytes_max: 1 << 10, custom_messages_max: 4 },
};

pub(in crate::core::session) const fn route(incarnation: u32) -> Route {
    let link = LinkId { server: ServerId(0), index: 0 };
    Route::of_link(link, Incarnation(incarnation))
}

/// To a node whose own link is new, from this one.
pub(in crate::core::session) fn moved_from(from: Peer, keying: Keying) -> Move<'static> {
    let me = Peer::of(NodeIncarnation::new(7).unwrap());
    Move { from, me, keying, own: None, has_ended: &|_| false }
}

/// All links of a former home.
pub(in crate::core::session) fn all_of(home: Peer) -> FormerLinksEnded {
    FormerLinksEnded::all(home)
}

/// The way to the server.
#[derive(Debug, Clone)]
pub(in crate::core::session) struct TestLink {
    pub(in crate::core::session) server: ServerId,
    pub(in crate::core::session) incarnation: u32,
    /// The server's memory, if it outlives the link.
    pub(in crate::core::session) memory: Option<Incarnation>,
    pub(in crate::core::session) is_up: bool,
    /// The server speaks only when it is asked.
    pub(in crate::core::session) is_polled: bool,
    /// Messages it takes before it is full.
    pub(in crate::core::session) room: usize,
}

/// One message on its way to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core::session) struct Addressed {
    pub(in crate::core::session) connection: ConnectionId,
    /// It answers one of the agent's messages.
    pub(in crate::core::session) is_reply: bool,
    pub(in crate::core::session) bytes: Vec<u8>,
    /// The ping behind it.
    pub(in crate::core::session) ping: Option<u16>,
}

/// What the session has sent out through the port.
#[derive(Debug, Clone, Default)]
pub(in crate::core::session) struct Effects {
    pub(in crate::core::session) to_server: VecDeque<(Route, Vec<u8>)>,
    pub(in crate::core::session) to_agent: VecDeque<Addressed>,
    /// Answers to plain-HTTP requests.
    pub(in crate::core::session) answers: VecDeque<Vec<u8>>,
    pub(in crate::core::session) notes: Vec<Note>,
    pub(in crate::core::session) deadline: Option<Instant>,
    pub(in crate::core::session) enqueued: Vec<Class>,
    pub(in crate::core::session) farewell: Option<Farewell>,
    reply_due: Option<Instant>,
    /// The agent's messages stay unread.
    pub(in crate::core::session) held_back: bool,
    is_over: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::core::session) struct Gateway {
    pub(in crate::core::session) now: Instant,
    pub(in crate::core::session) policy: Policy,
    pub(in crate::core::session) session: Option<Session>,
    pub(in crate::core::session) link: TestLink,
    pub(in crate::core::session) effects: Effects,
    /// The server has time for what comes: a message that has just come gets its permit at once.
    pub(in crate::core::session) has_time: bool,
    /// Whether a sign of life fits the server's budget.
    pub(in crate::core::session) liveness: Liveness,
    /// What the server needs of custom messages.
    pub(in crate::core::session) custom_kind: CustomKind,
    /// The agent's connection takes no message more: too much waits there.
    pub(in crate::core::session) overflows: bool,
    /// Bytes that copies of what the agent has yet to confirm may take.
    pub(in crate::core::session) free_for_copies: usize,
    /// Bytes that may wait for agents.
    pub(in crate::core::session) free_for_agents: usize,
    /// After each event the session is replaced by one that is made from its record.
    pub(in crate::core::session) restores: bool,
    /// What the server says of itself.
    pub(in crate::core::session) server_capabilities: Option<u64>,
    /// There is calm: a server's question may go on to the agent.
    pub(in crate::core::session) passes_questions: bool,
    /// Every effect, in words.
    pub(in crate::core::session) log: Vec<String>,
    /// The agent's WebSocket.
    attached: Option<ConnectionId>,
    /// What the agent reported, by field: the content store, as simple as it gets.
    contents: BTreeMap<u32, Vec<u8>>,
    digester: Digester,
}

impl Gateway {
    pub(in crate::core::session) fn new(now: Instant) -> Self {
        Self {
            now,
            policy: POLICY,
            session: None,
            link: TestLink {
                server: ServerId(0),
                incarnation: 1,
                memory: None,
                is_up: true,
                is_polled: false,
                room: usize::MAX,
            },
            effects: Effects::default(),
            has_time: true,
            liveness: Liveness::Fits,
            custom_kind: CustomKind::Event,
            overflows: false,
            free_for_copies: usize::MAX,
            free_for_agents: usize::MAX,
            restores: false,
            server_capabilities: Some(0),
            passes_questions: true,
            log: Vec::new(),
            attached: None,
            contents: BTreeMap::new(),
            digester: Digester::default(),
        }
    }

    pub(in crate::core::session) fn info(&self) -> SessionInfo {
        self.session.as_ref().unwrap().info(0)
    }

    pub(in crate::core::session) fn full_state(&self) -> FullState {
        self.info().full_state
    }

    /// One event for the session, which is made if there is none.
    pub(in crate::core::session) fn event<T>(
        &mut self,
        entry: impl FnOnce(&mut Session, &Moment<'_>, &mut Self) -> T,
    ) -> T {
        let mut session = self.session.take().unwrap_or_else(|| Session::new(UID, None, self.now));
        let policy = self.policy;
        let moment = Moment { now: self.now, policy: &policy, drains: false };
        let done = entry(&mut session, &moment, self);
        self.check(&session);
        if self.restores {
            let record = session.to_record();
            session = Session::from_record(record.clone());
            assert_eq!(session.to_record(), record);
        }
        if !self.effects.is_over {
            self.session = Some(session);
        }
        done
    }

    /// What must be true after each event.
    fn check(&mut self, session: &Session) {
        let info = session.info(0);
        let there = matches!(info.presence, Presence::Connected { .. } | Presence::Polling { .. });
        assert!(there || info.owed == 0, "{session:?}");
        assert_eq!(info.owed > 0, info.reply_due.is_some(), "{session:?}");
        assert_eq!(self.effects.is_over, info.presence == Presence::Gone, "{session:?}");
        let figures = session.figures();
        assert!(figures.server_bytes <= 2 * POLICY.one_shot_bytes_max);
        assert!(figures.agent_bytes <= POLICY.offers.bytes_max);
        if self.effects.is_over {
            self.contents.clear();
            self.attached = None;
        }
    }

    /// The events of a session that may be over by now.
    fn event_if_there(&mut self, entry: impl FnOnce(&mut Session, &Moment<'_>, &mut Self)) {
        if self.session.is_some() {
            self.event(entry);
        }
    }

    /// A WebSocket opens.
    pub(in crate::core::session) fn opens(&mut self, connection: ConnectionId) -> Opened {
        self.effects.is_over = false;
        let opened =
            self.event(|session, moment, port| session.connection_opened(connection, moment, port));
        if opened == Opened::Admitted {
            self.attached = Some(connection);
        }
        opened
    }

    /// A message on a WebSocket.
    pub(in crate::core::session) fn agent_says(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let here = Presence::Connected { connection };
        if self.session.as_ref().is_none_or(|session| session.info(0).presence != here) {
            self.opens(connection);
        }
        let scan = AgentScan::parse(bytes).unwrap();
        let message = AgentMessage { source: MessageSource::Socket(connection), scan: &scan };
        self.event(|session, moment, port| session.agent_message(&message, moment, port));
    }

    /// The agent answers a ping.
    pub(in crate::core::session) fn ponged(&mut self, ping: u16) {
        self.event_if_there(|session, moment, _| session.confirmed(ping, moment.now));
    }

    /// A plain-HTTP request. Returns its number.
    pub(in crate::core::session) fn request(&mut self, bytes: &[u8]) -> u32 {
        let request = self.request_opens();
        self.request_says(bytes);
        request
    }

    /// A plain-HTTP request at a front, whose message is yet to come here.
    pub(in crate::core::session) fn request_opens(&mut self) -> u32 {
        self.effects.is_over = false;
        let request = self.event(|session, moment, port| session.request_opened(moment, port));
        self.attached = None;
        request
    }

    /// The message of the request that was opened.
    pub(in crate::core::session) fn request_says(&mut self, bytes: &[u8]) {
        let scan = AgentScan::parse(bytes).unwrap();
        let message = AgentMessage { source: MessageSource::Request, scan: &scan };
        self.event(|session, moment, port| session.agent_message(&message, moment, port));
    }

    /// The agent's front has answered heartbeats, up to this number.
    pub(in crate::core::session) fn front_answered(&mut self, last: u64) {
        self.event_if_there(|session, moment, port| {
            session.at_front().heartbeats_answered(SequenceNum(last), moment, port);
        });
    }

    /// The agent's front has lost something.
    pub(in crate::core::session) fn front_missed(&mut self) {
        self.event_if_there(|session, moment, port| session.at_front().missed(moment, port));
    }

    /// The content store has had to make room.
    pub(in crate::core::session) fn evict(&mut self, number: u32) {
        self.contents.remove(&number);
    }

    /// A message of the server's.
    pub(in crate::core::session) fn server_says(&mut self, route: Route, bytes: &[u8]) {
        let scan = ServerScan::parse(bytes).unwrap();
        self.event_if_there(|session, moment, port| {
            session.server_message(&scan, route, moment, port);
        });
    }

    /// A message that went out on `route` is lost, and must be sent again.
    pub(in crate::core::session) fn message_lost(&mut self, route: Route) -> Option<Answer> {
        self.event(|session, moment, port| session.message_lost(route, true, moment, port))
    }

    /// The session's permits, as far as it stands in the queue and its link is up.
    pub(in crate::core::session) fn permits(&mut self) {
        while let Some(session) = &self.session
            && let Some(class) = session.info(0).queued.iter().next()
            && self.link.is_up
        {
            let used =
                self.event(|session, moment, port| session.permit_granted(class, moment, port));
            if used == PermitUse::Again {
                return;
            }
        }
    }

    /// The agent's connection is gone, and what was on its way.
    pub(in crate::core::session) fn lost(&mut self, connection: ConnectionId) {
        self.effects.to_agent.retain(|message| message.connection != connection);
        self.event_if_there(|session, moment, port| {
            session.connection_lost(connection, moment, port);
        });
    }

    /// Time passes.
    pub(in crate::core::session) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.event_if_there(|session, moment, port| session.reply_overdue(moment, port));
        self.look(None);
    }

    /// A deadline may have passed.
    pub(in crate::core::session) fn look(&mut self, excused: Option<Instant>) {
        self.effects.deadline = None;
        self.event_if_there(|session, moment, port| {
            session.deadline_passed(excused, moment, port);
        });
    }

    /// The link is lost, and what was on its way.
    pub(in crate::core::session) fn link_down(&mut self) {
        if self.link.is_up {
            self.link.is_up = false;
            self.link.incarnation += 1;
            self.effects.to_server.clear();
        }
    }

    pub(in crate::core::session) fn link_up(&mut self) {
        self.link.is_up = true;
        self.event_if_there(|session, moment, port| {
            session.link_up(moment, port);
        });
    }

    /// The session's shard has moved to this node, which has one link, as new as the other's was.
    pub(in crate::core::session) fn moves(&mut self, how: &Move<'_>) {
        self.moves_back(how, None);
    }

    /// The same, to a node that the session has been at: answers to what it said there may still come.
    pub(in crate::core::session) fn moves_back(&mut self, how: &Move<'_>, late: Option<LateReply>) {
        let mut bytes = Vec::new();
        self.session.take().unwrap().to_record().encode(self.now, &mut bytes);
        let record = SessionRecord::decode(&bytes, self.now).unwrap();
        self.session = Some(Session::moved_here(record, how, late, self.now));
        self.event(|session, moment, port| session.link_up(moment, port));
    }

    /// A former home's links have ended, or its goodbye was answered.
    pub(in crate::core::session) fn former_link_ended(&mut self, ended: FormerLinksEnded) {
        self.event_if_there(|session, moment, port| {
            Moved::of(session).former_link_ended(ended, moment, port);
        });
    }

    /// The process dies and starts again.
    pub(in crate::core::session) fn restart(&mut self) {
        self.session = None;
        self.attached = None;
        self.contents.clear();
        self.effects.to_agent.clear();
        self.link_down();
        self.link_up();
    }
}

impl Port for Gateway {
    fn route(&self) -> Option<Route> {
        let link = LinkId { server: self.link.server, index: 0 };
        let incarnation = Incarnation(self.link.incarnation);
        let memory = Memory::Own(self.link.memory.unwrap_or(incarnation));
        Some(Route { link, incarnation, memory })
    }

    fn permit(&mut self, _: Route) -> Permit {
        if self.has_time { Permit::Granted } else { Permit::Wait { soon: false } }
    }

    fn liveness(&mut self, _: Route, _: Duration) -> Liveness {
        self.liveness
    }

    fn state_lost(&self, _: Route) -> bool {
        false
    }

    fn is_polled(&self, _: Route) -> bool {
        self.link.is_polled
    }

    fn passes_question(&mut self) -> bool {
        self.passes_questions
    }

    fn fresh_uid(&mut self) -> InstanceUid {
        InstanceUid::from_bytes([0xfe; 16])
    }

    fn server_hello(&self, _: ServerId) -> Arc<ServerHello> {
        let capabilities = self.server_capabilities;
        Arc::new(ServerHello { capabilities, custom_capabilities: None })
    }

    fn free_bytes(&self) -> FreeBytes {
        FreeBytes {
            for_agents: self.free_for_agents,
            for_absent: self.free_for_agents,
            for_copies: self.free_for_copies,
            for_servers: usize::MAX,
        }
    }

    fn report_hash(&self, scan: &AgentScan<'_>) -> RawHash {
        report_hash(&self.digester.key, scan)
    }

    fn raw_hash(&self, bytes: &[u8]) -> RawHash {
        RawHash::of(&self.digester.key, bytes)
    }

    fn custom_kind(&self, _: &str) -> CustomKind {
        self.custom_kind
    }

    fn digest(&mut self, scan: &AgentScan<'_>, digests: &mut ReportDigests) {
        let put = |number, digest| digests.put(number, digest);
        self.digester.report(scan, &mut Scratch::default(), put);
    }

    fn store(&mut self, scan: &AgentScan<'_>, parts: impl Iterator<Item = (u32, Digest)>) {
        for (number, _) in parts {
            let found = fields(scan.bytes).map(Result::unwrap).filter(|f| f.number == number);
            let bytes = found.flat_map(|field| scan.bytes[field.whole].to_vec()).collect();
            self.contents.insert(number, bytes);
        }
    }

    fn append_stored(&mut self, parts: FieldSet, out: &mut Vec<u8>) -> FieldSet {
        let mut missing = FieldSet::EMPTY;
        for part in parts.iter().filter(|part| *part != agent_field::CAPABILITIES) {
            match self.contents.get(&part) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => missing.insert(part),
            }
        }
        missing
    }

    fn forget_stored(&mut self) {
        self.contents.clear();
    }

    fn send(&mut self, route: Route, message: &ToServer<'_>) -> Result<(), NotSent> {
        if Some(route) == self.route() && !self.link.is_up {
            return Err(NotSent::Down);
        }
        if self.effects.to_server.len() >= self.link.room {
            return Err(NotSent::Full);
        }
        let mut bytes = Vec::new();
        message.write(UID, &mut bytes);
        self.log.push(format!("to server {route:?} {bytes:?}"));
        self.effects.to_server.push_back((route, bytes));
        Ok(())
    }

    fn orphaned(&mut self, _: Route, _: u32) {}

    fn enqueue(&mut self, classes: ClassSet) {
        self.log.push(format!("enqueue {classes:?}"));
        self.effects.enqueued.extend(classes.iter());
    }

    fn to_agent(&mut self, message: ToAgent, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let connection = self.attached.expect("the agent is on a WebSocket");
        let is_reply = !matches!(message, ToAgent::Push(_) | ToAgent::Stored(_));
        // An acknowledgement always passes.
        let bytes = message.expected_bytes();
        if self.overflows || bytes > self.free_for_agents && bytes > 32 {
            return false;
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.log.push(format!("to agent {message:?} {bytes:?}"));
        self.effects.to_agent.push_back(Addressed { connection, is_reply, bytes, ping: None });
        true
    }

    fn answer_request(&mut self, _: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.log.push(format!("answer {bytes:?}"));
        self.effects.answers.push_back(bytes);
    }

    fn reply_due(&mut self, at: Option<Instant>) {
        self.log.push(format!("reply due {at:?}"));
        self.effects.reply_due = at;
    }

    fn confirm(&mut self, ping: u16) {
        self.log.push(format!("ping {ping}"));
        if let Some(last) = self.effects.to_agent.back_mut() {
            last.ping = Some(ping);
        }
    }

    fn may_read(&mut self, may: bool) {
        // Left out of the log: it is for one connection at one home, and after a move to another home it is said anew.
        self.effects.held_back = !may;
    }

    fn detach(&mut self, _: Departure) {
        // What was written is on its way: the connection's end decides what becomes of it.
        self.attached = None;
    }

    fn close_when_written(&mut self) {}

    fn note(&mut self, note: Note) {
        self.log.push(format!("{note:?}"));
        self.effects.notes.push(note);
    }

    fn deadline(&mut self, at: Instant) {
        self.log.push(format!("deadline {at:?}"));
        self.effects.deadline.get_or_insert(at);
    }

    fn over(&mut self, unanswered: Option<(Route, u32)>, farewell: Option<Farewell>) {
        self.log.push(format!("over {unanswered:?}"));
        self.effects.farewell = farewell;
        self.effects.is_over = true;
    }
}
