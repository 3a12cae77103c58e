//! A gateway of one session, on a clock that the test moves: the shell's part in as few lines as
//! it takes, with wires that lose what is on them. The seed of a simulation of whole clusters.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::core::pacing::Class;
use crate::core::session::{
    Carry, FromServer, Policy, Presence, Reply, ReportVerdict, Route, Says, ServerVerdict, Session,
    Turn,
};
use crate::ident::{ConnectionId, Incarnation, InstanceUid, LinkId, ServerId};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digester, Scratch};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::fields;
use crate::opamp::offers::OffersLimits;
use crate::opamp::server::ServerScan;
use crate::opamp::splice::{self, Additions};

pub(super) const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

pub(super) const POLICY: Policy = Policy {
    grace_period: Duration::from_secs(60),
    reply_wait: Duration::from_secs(2),
    heartbeat_forward_interval: Duration::from_secs(60),
    poll_timeout: Duration::from_secs(90),
    pending_max: 4,
    pending_bytes_max: 1 << 10,
};

const LIMITS: OffersLimits = OffersLimits { bytes_max: 1 << 10, custom_messages_max: 4 };

pub(super) const fn route(incarnation: u32) -> Route {
    let link = LinkId { server: ServerId(0), index: 0 };
    Route { link, incarnation: Incarnation(incarnation) }
}

/// The way to the server.
#[derive(Debug)]
pub(super) struct TestLink {
    pub(super) incarnation: u32,
    pub(super) is_up: bool,
    /// Messages it takes before it is full.
    pub(super) room: usize,
}

/// One message on its way to an agent.
#[derive(Debug)]
pub(super) struct ToAgent {
    pub(super) connection: ConnectionId,
    /// It answers one of the agent's messages.
    pub(super) is_reply: bool,
    pub(super) bytes: Vec<u8>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) now: Instant,
    pub(super) session: Option<Session>,
    pub(super) link: TestLink,
    pub(super) to_server: VecDeque<(Route, Vec<u8>)>,
    pub(super) to_agent: VecDeque<ToAgent>,
    /// The server has time for what comes: nothing has to wait for its turn.
    pub(super) has_time: bool,
    /// What the agent reported, by field: the content store, as simple as it gets.
    contents: BTreeMap<u32, Vec<u8>>,
    digester: Digester,
}

impl Gateway {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            session: None,
            link: TestLink { incarnation: 1, is_up: true, room: usize::MAX },
            to_server: VecDeque::new(),
            to_agent: VecDeque::new(),
            has_time: true,
            contents: BTreeMap::new(),
            digester: Digester::default(),
        }
    }

    fn route(&self) -> Route {
        route(self.link.incarnation)
    }

    /// A message on a WebSocket.
    pub(super) fn agent_says(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let scan = AgentScan::parse(bytes).unwrap();
        let mut session = self.session.take().unwrap_or_else(|| Session::new(UID, self.now));
        if session.presence() != (Presence::Connected { connection }) {
            session.arrive(connection, self.now);
        }
        let route = self.route();
        let ReportVerdict { says, new_process, .. } =
            session.report(&scan, Some(route), self.now, &POLICY);
        if new_process {
            self.contents.clear();
        }
        let sent = match says {
            Says::Alive { goes_on } => {
                let sent = goes_on && self.forward(&mut session, &scan, Carry::Whole);
                if goes_on && !sent {
                    session.announce_later();
                }
                sent
            }
            Says::Something => self.forward_news(&mut session, &scan),
        };
        let reply = session.owe_reply(sent && !scan.disconnects(), self.now, &POLICY);
        let mut due = u32::from(reply == Reply::Now);
        if scan.disconnects() {
            due += session.waive_replies();
        }
        self.acknowledge(connection, due);
        while session.is_connected() && session.has_offers() {
            let mut bytes = Vec::new();
            session.take_offer(&Additions::default(), self.now, &mut bytes);
            self.to_agent.push_back(ToAgent { connection, is_reply: false, bytes });
        }
        self.finish(session);
    }

    /// What the server does not have (R1, R2).
    fn forward_news(&mut self, session: &mut Session, scan: &AgentScan<'_>) -> bool {
        let news = session.news(scan, &self.digester, &mut Scratch::default());
        for (number, _) in news.to_keep() {
            let found = fields(scan.bytes).map(Result::unwrap).filter(|f| f.number == number);
            let bytes = found.flat_map(|field| scan.bytes[field.whole].to_vec()).collect();
            self.contents.insert(number, bytes);
        }
        let carry = session.learn(scan, &news, Some(self.route()));
        let sent = carry != Carry::Nothing && self.forward(session, scan, carry);
        if sent {
            session.report_sent(scan, carry);
        } else {
            session.news_lost(&news);
        }
        sent
    }

    fn forward(&mut self, session: &mut Session, scan: &AgentScan<'_>, carry: Carry) -> bool {
        let route = self.route();
        let number = session.next_number();
        let write = |out: &mut Vec<u8>| match carry {
            Carry::Fields(keep) => splice::forward_fields(scan, keep, number, out),
            Carry::Whole | Carry::Nothing => splice::forward(scan, number, out),
        };
        let may_go = session.takes_turn(scan) || self.has_time;
        if may_go && !session.must_queue(scan) && self.send(write) {
            session.sent(route, self.now);
            if scan.disconnects() {
                session.gone();
            }
            return true;
        }
        session.not_sent(scan, &POLICY);
        let (count, bytes) = session.pending();
        assert!(count <= POLICY.pending_max && bytes <= POLICY.pending_bytes_max);
        false
    }

    /// Parts of the agent's state, from what is kept of it.
    fn report_kept(&mut self, session: &mut Session, parts: FieldSet) -> bool {
        let number = session.next_number();
        let mut message = Vec::new();
        splice::announce(UID, session.capabilities(), number, &mut message);
        let bytes_of = |part| self.contents.get(&part);
        let missing = parts
            .iter()
            .filter(|part| *part != agent_field::CAPABILITIES && bytes_of(*part).is_none());
        let missing = missing.fold(FieldSet::EMPTY, |mut set, part| {
            set.insert(part);
            set
        });
        parts.iter().filter_map(bytes_of).for_each(|bytes| message.extend_from_slice(bytes));
        let mut goes = Turn::Report(parts);
        if !missing.is_empty() {
            goes = session.lacks(missing, parts, self.route());
        }
        let Turn::Report(parts) = goes else { return self.send_announce(session, goes) };
        let sent = self.send(|out| out.extend_from_slice(&message));
        if sent {
            session.sent(self.route(), self.now);
            session.parts_sent(parts);
        }
        sent
    }

    fn send_announce(&mut self, session: &mut Session, turn: Turn) -> bool {
        if turn != Turn::Announce {
            return true;
        }
        let (capabilities, number) = (session.capabilities(), session.next_number());
        let sent = self.send(|out| splice::announce(UID, capabilities, number, out));
        if sent {
            session.announce_sent(self.route(), self.now);
        }
        sent
    }

    /// The content store has had to make room.
    pub(super) fn evict(&mut self, number: u32) {
        self.contents.remove(&number);
    }

    fn send_pending(&mut self, session: &mut Session) -> bool {
        let fields = session.first_pending().unwrap().to_vec();
        let capabilities = session.capabilities();
        let number = session.next_number();
        let sent = self.send(|out| {
            out.extend_from_slice(&fields);
            splice::set_sequence_num(number, out);
            splice::set_capabilities(capabilities, out);
        });
        if sent {
            session.pending_sent(self.route(), self.now);
        }
        sent
    }

    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if !self.link.is_up || self.to_server.len() >= self.link.room {
            return false;
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.to_server.push_back((self.route(), bytes));
        true
    }

    fn acknowledge(&mut self, connection: ConnectionId, count: u32) {
        for _ in 0..count {
            let mut bytes = Vec::new();
            splice::acknowledge(UID, &Additions::default(), &mut bytes);
            self.to_agent.push_back(ToAgent { connection, is_reply: true, bytes });
        }
    }

    /// A message of the server's.
    pub(super) fn server_says(&mut self, route: Route, bytes: &[u8]) {
        let Some(mut session) = self.session.take() else { return };
        let scan = ServerScan::parse(bytes).unwrap();
        let ServerVerdict { then, strip, .. } = session.from_server(&scan, route, self.now);
        let scan = scan.without_flags(strip);
        match (then, session.presence()) {
            (FromServer::Reply | FromServer::Push, Presence::Connected { connection }) => {
                let mut bytes = bytes.to_vec();
                splice::set_flags(scan.flags, &mut bytes);
                if !scan.is_empty_ack() {
                    session.content_written(self.now);
                }
                let is_reply = then == FromServer::Reply;
                self.to_agent.push_back(ToAgent { connection, is_reply, bytes });
            }
            (FromServer::Unavailable { acknowledge, .. }, Presence::Connected { connection }) => {
                self.acknowledge(connection, u32::from(acknowledge));
            }
            (FromServer::Reply | FromServer::Push, presence) => panic!("{then:?} for {presence:?}"),
            (FromServer::Keep(_), _) => {
                session.keep_offer(&scan, LIMITS);
                assert!(session.offers_bytes() <= LIMITS.bytes_max);
            }
            (
                FromServer::Swallow
                | FromServer::TooLate
                | FromServer::Former
                | FromServer::Unavailable { .. },
                _,
            ) => {}
        }
        self.finish(session);
    }

    /// The session's turns, as far as it stands in the queue and its link is up.
    pub(super) fn turn(&mut self) {
        while let Some(session) = &self.session
            && let Some(class) = session.queued.iter().next()
            && self.link.is_up
        {
            let Some(mut session) = self.session.take() else { return };
            session.queued.remove(class);
            let sent = self.take_turn(&mut session, class);
            if !sent {
                session.queued.insert(class);
            }
            self.finish(session);
            if !sent {
                return;
            }
        }
    }

    fn take_turn(&mut self, session: &mut Session, class: Class) -> bool {
        let route = self.route();
        let number = session.next_number();
        let turn = session.turn(class, route, false, self.now);
        match turn {
            Turn::Nothing | Turn::Announce => self.send_announce(session, turn),
            Turn::OneShot => self.send_pending(session),
            Turn::AskAgent(flags) => {
                let Presence::Connected { connection } = session.presence() else { panic!() };
                let mut bytes = Vec::new();
                let additions = Additions { flags, ..Additions::default() };
                splice::acknowledge(UID, &additions, &mut bytes);
                self.to_agent.push_back(ToAgent { connection, is_reply: false, bytes });
                true
            }
            Turn::Report(parts) => self.report_kept(session, parts),
            Turn::Disconnect => {
                let sent = self.send(|out| splice::disconnect(UID, number, out));
                if sent {
                    session.sent(route, self.now);
                    session.gone();
                }
                sent
            }
        }
    }

    /// The agent's connection is gone, and what was on its way.
    pub(super) fn lost(&mut self, connection: ConnectionId) {
        self.to_agent.retain(|message| message.connection != connection);
        if let Some(mut session) = self.session.take() {
            session.lost(connection, self.now, &POLICY);
            self.finish(session);
        }
    }

    /// Time passes.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        let Some(mut session) = self.session.take() else { return };
        if let Presence::Connected { connection } = session.presence() {
            let due = session.reply_overdue(self.now);
            self.acknowledge(connection, due);
        }
        session.expire(self.now, None, &POLICY);
        self.finish(session);
    }

    /// The link is lost, and what was on its way.
    pub(super) fn link_down(&mut self) {
        if self.link.is_up {
            self.link.is_up = false;
            self.link.incarnation += 1;
            self.to_server.clear();
        }
    }

    pub(super) fn link_up(&mut self) {
        self.link.is_up = true;
        let route = self.route();
        if let Some(session) = &mut self.session {
            let mut wanted = session.wanted_turns();
            if session.needs_introduction(Some(route)) {
                wanted.insert(Class::Announce);
            }
            session.queued = session.queued.union(wanted);
        }
    }

    /// The process dies and starts again.
    pub(super) fn restart(&mut self) {
        self.session = None;
        self.contents.clear();
        self.to_agent.clear();
        self.link_down();
        self.link_up();
    }

    fn finish(&mut self, mut session: Session) {
        if !session.is_connected() {
            assert_eq!(session.owed(), 0, "{session:?}");
        }
        assert_eq!(session.owed() > 0, session.reply_due().is_some(), "{session:?}");
        if matches!(session.presence(), Presence::Disconnecting | Presence::Gone) {
            session.drop_offers();
        }
        if session.is_gone() {
            assert!(session.wanted_turns().is_empty());
            self.contents.clear();
            return;
        }
        session.queued = session.queued.union(session.wanted_turns());
        self.session = Some(session);
    }
}
