//! A node as the home of agents whose connections end at other nodes: their fronts are the tests.

use std::time::Duration;

use super::ways::{FakeWays, epoch, node};
use super::*;
use crate::core::node_link::{
    AgentConnection, AgentFrame, AgentReport, Attach, Attached, AttachmentId, CloseOrder, Detach,
    DetachReason, ForAgentKind, Handle, HeartbeatsBatch, HeartbeatsEntry, Numbered, PartDigests,
    ToFront, ToHome,
};
use crate::core::ownership::{AbsenceEnd, ShardId, shard_of};
use crate::core::session::FullState;
use crate::ident::SequenceNum;
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::Scratch;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice;

/// The id of the key of digests.
const SECRET: u64 = 7;

/// The node whose sessions are looked at.
struct HomeBench {
    bench: Bench,
    ways: Arc<FakeWays>,
}

impl HomeBench {
    /// It holds all shards.
    fn new() -> Self {
        let (bench, ways) = (Bench::default(), Arc::<FakeWays>::default());
        bench.sessions.join_fleet(Arc::clone(&ways) as _);
        let spoke = ServerHello { capabilities: Some(1), custom_capabilities: None };
        bench.uplink.state.lock().server_hello = Arc::new(spoke);
        let it = Self { bench, ways };
        it.install(3);
        it
    }

    fn install(&self, number: u64) {
        ShardId::all().for_each(|shard| self.fleet().install(shard, epoch(number)));
    }

    fn fleet(&self) -> InFleet<'_> {
        self.bench.sessions.in_fleet().unwrap()
    }

    /// Sessions whose agents are there, and away.
    fn sessions(&self) -> (i64, i64) {
        let counters = &self.bench.sessions.counters;
        (counters.connected(), counters.absent())
    }

    fn info(&self, n: u8) -> SessionInfo {
        self.bench.sessions.info(uid(n)).unwrap()
    }

    /// The pacer's permits, and what the server has got by then.
    fn told(&self) -> Vec<AgentToServer> {
        self.bench.permits();
        self.bench.sent().into_iter().map(|(_, message)| message).collect()
    }
}

/// An agent's connection at another node.
struct Front<'a> {
    home: &'a HomeBench,
    node: u64,
    n: u8,
    connection: u64,
    /// Which of the agent's messages is next on this connection.
    next: u64,
    resumes: Option<AttachmentId>,
    forwarded_lately: bool,
    transport: AgentConnection,
    /// The parts that travel as bytes.
    carries: FieldSet,
}

impl<'a> Front<'a> {
    fn new(home: &'a HomeBench, n: u8, (node, connection): (u64, u64)) -> Self {
        Self {
            home,
            node,
            n,
            connection,
            next: 1,
            resumes: None,
            forwarded_lately: false,
            transport: AgentConnection::WebSocket,
            carries: FieldSet::of(&agent_field::STATE_PARTS),
        }
    }

    fn handle(&self) -> Handle {
        Handle { uid: uid(self.n), connection: ConnectionId(self.connection) }
    }

    /// Says something to the home; what the home says to this connection.
    fn says(&self, message: &ToHome<'_>) -> Vec<Heard> {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.home.fleet().from_node(node(self.node), &frame).unwrap();
        self.hears()
    }

    fn hears(&self) -> Vec<Heard> {
        let frames = self.home.ways.take(|to, frame| {
            to == node(self.node) && ToFront::decode(frame).unwrap().handle() == self.handle()
        });
        frames.iter().map(|frame| Heard::from(&ToFront::decode(frame).unwrap())).collect()
    }

    fn with_report<T>(
        &self,
        number: u64,
        message: &AgentToServer,
        act: impl FnOnce(AgentReport<'_>) -> T,
    ) -> T {
        let bytes = numbered(message, self.n, number);
        let scan = AgentScan::parse(&bytes).unwrap();
        let (mut numbers, mut digests) = (Vec::new(), Vec::new());
        Digester::default().report(&scan, &mut Scratch::default(), |part, digest| {
            if crate::core::node_link::DIGESTED.contains(part) {
                numbers.push(part);
                digests.extend_from_slice(&digest.0);
            }
        });
        let digested = FieldSet::of(&numbers);
        const HEAD: FieldSet = FieldSet::of(&[1, 2, 4, 10]);
        let carried = scan.present.minus(HEAD).minus(digested.minus(self.carries));
        let mut fields = Vec::new();
        splice::bare_fields(&scan, carried, &mut fields);
        act(AgentReport {
            sequence_num: SequenceNum(number),
            capabilities: scan.capabilities,
            flags: scan.flags,
            present: scan.present,
            heartbeats: None,
            digests: PartDigests::new(SECRET, digested, &digests)
                .filter(|it| !it.parts().is_empty()),
            gone: FieldSet::EMPTY,
            fields: &fields,
        })
    }

    /// Attaches, with a message of this number.
    fn attaches(&mut self, number: u64, message: &AgentToServer) -> Vec<Heard> {
        let heard = self.with_report(number, message, |report| self.attach(Some(report)));
        self.note(&heard);
        heard
    }

    /// Attaches once more, with nothing to say.
    fn attaches_again(&mut self) -> Vec<Heard> {
        let heard = self.attach(None);
        self.note(&heard);
        heard
    }

    fn attach(&self, first: Option<AgentReport<'_>>) -> Vec<Heard> {
        let attach = Attach {
            resumes: self.resumes,
            transport: self.transport,
            client: 0,
            identity: &[],
            forwarded_lately: self.forwarded_lately,
            next: self.next,
            had: 0,
            credit: 1 << 16,
            heartbeats: None,
            first,
        };
        self.says(&ToHome::Attach(self.handle(), attach))
    }

    fn note(&mut self, heard: &[Heard]) {
        for heard in heard {
            if let Heard::Attached(attached) = heard {
                self.resumes = Some(attached.id);
                self.next = attached.had + 1;
            }
        }
    }

    /// The agent says something on the attached connection.
    fn message(&mut self, number: u64, message: &AgentToServer) -> Vec<Heard> {
        let next = self.next;
        self.next += 1;
        self.with_report(number, message, |report| {
            self.says(&ToHome::Message(self.handle(), Numbered { number: next, report }))
        })
    }

    fn heartbeats(&self, last: u64) -> Vec<Heard> {
        let mut entries = Vec::new();
        let (handle, after) = (self.handle(), self.next - 1);
        HeartbeatsEntry { handle, after, last: SequenceNum(last) }.put(&mut entries);
        self.says(&ToHome::Heartbeats(HeartbeatsBatch::of(1, &entries)))
    }

    fn detaches(&self, reason: DetachReason, missed: bool) -> Vec<Heard> {
        let detach = Detach { reason, heartbeats: None, missed };
        self.says(&ToHome::Detach(self.handle(), detach))
    }
}

/// What a home says to a connection.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Attached(Attached),
    Confirmed(u64),
    Needs(FieldSet),
    Answer(ServerToAgent),
    Push(ServerToAgent),
    Close(CloseOrder),
    AskOpen,
    Ping(u32),
    Later,
    NotMine,
}

impl From<&ToFront<'_>> for Heard {
    fn from(message: &ToFront<'_>) -> Self {
        match message {
            ToFront::Attached(_, attached) => Self::Attached(*attached),
            ToFront::Confirmed(_, number) => Self::Confirmed(*number),
            ToFront::Needs(_, needs) => Self::Needs(needs.parts),
            ToFront::AskOpen(_) => Self::AskOpen,
            ToFront::Ping(_, question) => Self::Ping(*question),
            ToFront::AgentFrame(_, AgentFrame { kind, bytes, .. }) => {
                let message = ServerToAgent::decode(*bytes).unwrap();
                let message = ServerToAgent { capabilities: 0, ..message };
                match kind {
                    ForAgentKind::Answer => Self::Answer(message),
                    ForAgentKind::Unasked => Self::Push(message),
                }
            }
            ToFront::Close(_, order) => Self::Close(*order),
            ToFront::Later(_) => Self::Later,
            ToFront::NotMine(..) => Self::NotMine,
        }
    }
}

fn numbered(message: &AgentToServer, n: u8, sequence_num: u64) -> Vec<u8> {
    AgentToServer { instance_uid: vec![n; 16], sequence_num, ..message.clone() }.encode_to_vec()
}

/// An agent's whole state.
fn state() -> AgentToServer {
    AgentToServer {
        agent_description: Some(AgentDescription::default()),
        health: Some(ComponentHealth { healthy: true, ..ComponentHealth::default() }),
        capabilities: 0x0801,
        ..AgentToServer::default()
    }
}

fn changed(start: u64) -> AgentToServer {
    let health = ComponentHealth { start_time_unix_nano: start, ..ComponentHealth::default() };
    AgentToServer { health: Some(health), capabilities: 0x0801, ..AgentToServer::default() }
}

/// An agent whose state the server has had and answered.
fn settled<'a>(home: &'a HomeBench, n: u8, at: (u64, u64)) -> Front<'a> {
    let mut front = Front::new(home, n, at);
    front.attaches(0, &state());
    home.bench.says(n, &ServerToAgent::default());
    front.hears();
    front.says(&ToHome::Written(front.handle(), 1));
    home.bench.sent();
    front
}

#[test]
fn a_first_attach_with_its_message_goes_to_the_server_and_is_answered() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    let heard = front.attaches(0, &state());
    let [Heard::Attached(attached)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!((attached.had, attached.epoch, attached.needs), (1, 3, FieldSet::EMPTY));
    let sent = home.bench.sent();
    let expected = numbered(&state(), 1, 0);
    assert_eq!(sent, [(uid(1), AgentToServer::decode(&expected[..]).unwrap())]);
    assert!(matches!(home.info(1).presence, Presence::Connected { .. }));
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!(front.hears(), [Heard::Answer(ack(1))]);
    assert_eq!(home.sessions(), (1, 0));
}

#[test]
fn parts_that_are_not_known_are_asked_for_and_the_known_come_from_the_store() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    front.carries = FieldSet::EMPTY;
    let heard = front.attaches(0, &state());
    let [Heard::Attached(attached)] = heard[..] else { panic!("{heard:?}") };
    let parts = FieldSet::of(&[agent_field::AGENT_DESCRIPTION, agent_field::HEALTH]);
    assert_eq!((attached.had, attached.needs), (0, parts));
    front.carries = parts;
    let heard = front.message(0, &state());
    assert_eq!(heard, [Heard::Confirmed(1)]);
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!((front.hears().len(), home.bench.sent().len()), (1, 1));
    // The same state once more, by its digests: the server has it.
    front.carries = FieldSet::EMPTY;
    let heard = front.message(1, &state());
    assert_eq!(heard, [Heard::Answer(ack(1))]);
    assert_eq!(home.bench.sent(), []);
    // The server forgets the agent: what it gets is whole, though it came as digests.
    home.bench.relink();
    let heard = front.message(2, &state());
    assert_eq!(heard, [Heard::Confirmed(3)]);
    let sent = home.bench.sent();
    assert_eq!((&sent[0].1.health, sent[0].1.sequence_num), (&state().health, 1));
    assert!(sent[0].1.agent_description.is_some());
}

#[test]
fn digests_by_another_key_are_worth_nothing() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    home.fleet().set_digest_key(&DigestKey::derive(b"another"), 2);
    front.carries = FieldSet::EMPTY;
    let heard = front.message(1, &state());
    assert!(matches!(heard[..], [Heard::Needs(_)]));
    front.next -= 1;
    front.carries = FieldSet::of(&agent_field::STATE_PARTS);
    assert_eq!(front.message(1, &state()), [Heard::Confirmed(2)]);
    assert_eq!(home.bench.sent().len(), 1, "it counts as changed, once");
    home.bench.says(1, &ServerToAgent::default());
    front.hears();
    assert_eq!(front.message(2, &state()), [Heard::Answer(ack(1))]);
}

#[test]
fn heartbeats_keep_the_number_and_losses_are_asked_for() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    assert_eq!(front.heartbeats(4), []);
    assert_eq!(home.info(1).agent_number, Some(4));
    assert_eq!(front.message(5, &changed(1)), [Heard::Confirmed(2)]);
    assert_eq!(home.info(1).full_state, FullState::Reported);
    front.detaches(DetachReason::Lost, true);
    assert_eq!(home.info(1).full_state, FullState::Wanted);
    assert!(matches!(home.info(1).presence, Presence::Absent { .. }));
}

#[test]
fn offers_go_to_the_front_and_wait_for_an_agent_that_is_away() {
    let home = HomeBench::new();
    let front = settled(&home, 1, (2, 5));
    home.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears(), [Heard::Push(to(1, offer(b"a")))]);
    assert!(home.bench.sessions.counters.agent_bytes() > 0);
    front.says(&ToHome::Written(front.handle(), 2));
    assert_eq!(home.bench.sessions.counters.agent_bytes(), 0);
    front.detaches(DetachReason::Lost, false);
    home.bench.says(1, &offer(b"b"));
    let mut front = Front::new(&home, 1, (3, 1));
    let heard = front.attaches(1, &changed(1));
    assert!(heard.contains(&Heard::Push(to(1, offer(b"b")))), "{heard:?}");
}

#[test]
fn an_agent_that_moves_to_another_front_takes_its_session_along() {
    let home = HomeBench::new();
    let former = settled(&home, 1, (2, 5));
    let mut front = Front::new(&home, 1, (3, 1));
    assert_eq!(front.attaches(1, &state()), [Heard::AskOpen]);
    front.says(&ToHome::Open(front.handle()));
    let heard = former.hears();
    assert!(matches!(heard[..], [Heard::Ping(_)]), "{heard:?}");
    // The former front finds that its connection is dead.
    former.detaches(DetachReason::Lost, false);
    let heard = front.hears();
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    assert_eq!(front.message(1, &state()), [Heard::Answer(ack(1))]);
    assert_eq!((home.bench.sent(), home.sessions()), (vec![], (1, 0)));
}

#[test]
fn of_two_live_agents_with_one_uid_the_newcomer_gets_another() {
    let home = HomeBench::new();
    let first = settled(&home, 1, (2, 5));
    let mut second = Front::new(&home, 1, (3, 1));
    second.attaches(7, &state());
    second.says(&ToHome::Open(second.handle()));
    let heard = first.hears();
    let [Heard::Ping(question)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!(first.says(&ToHome::Alive(first.handle(), question)), []);
    assert_eq!(second.hears(), [Heard::Close(CloseOrder::Cloned)]);
    assert_eq!(home.info(1).agent_number, Some(0));
}

#[test]
fn a_goodbye_ends_the_session() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    let heard = front.message(1, &goodbye());
    assert_eq!(heard, [Heard::Answer(ack(1)), Heard::Close(CloseOrder::Left)]);
    assert_eq!(home.bench.sent().len(), 1);
    home.bench.assert_empty();
    assert_eq!(front.message(2, &state()), [], "its front has closed it");
}

#[test]
fn a_request_is_attached_until_it_has_its_answer() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    front.transport = AgentConnection::PlainHttp;
    let heard = front.attaches(0, &state());
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    home.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears(), [Heard::Answer(to(1, offer(b"a")))]);
    assert_eq!(front.detaches(DetachReason::Answered, false), []);
    assert!(matches!(home.info(1).presence, Presence::Polling { waits: false, .. }));
    let mut next = Front::new(&home, 1, (3, 1));
    next.transport = AgentConnection::PlainHttp;
    let heard = next.attaches(1, &state());
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Answer(_)]), "{heard:?}");
    // The next one overtakes it.
    let mut last = Front::new(&home, 1, (2, 6));
    last.transport = AgentConnection::PlainHttp;
    last.attaches(2, &changed(1));
    assert_eq!(next.hears(), [Heard::Close(CloseOrder::Replaced)]);
    let later = clock::now() + Duration::from_secs(2);
    home.bench.sessions.sweep(later);
    assert_eq!(last.hears(), [], "by the session's own clock it is early");
}

#[test]
fn a_shard_that_is_frozen_or_gone_takes_nothing_and_says_nothing() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    let shard = shard_of(uid(1));
    front.message(1, &changed(1));
    assert!(!home.fleet().is_settled(shard));
    home.fleet().freeze(shard);
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!(front.hears(), [Heard::Answer(ack(1))], "answers are taken");
    assert!(home.fleet().is_settled(shard));
    home.bench.sent();
    assert_eq!(front.message(2, &changed(2)), [Heard::NotMine]);
    assert_eq!(front.attaches_again(), [Heard::NotMine]);
    home.bench.relink();
    assert_eq!(home.told(), []);
    home.fleet().unfreeze(shard);
    let told = home.told();
    assert!(told.len() == 1, "the agent is introduced to the new incarnation: {told:?}");
    let heard = front.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    home.fleet().release(shard);
    home.bench.assert_empty();
    assert_eq!((front.hears(), home.told()), (vec![], vec![]), "it goes without a word");
    assert_eq!(front.attaches_again(), [Heard::NotMine]);
}

#[test]
fn a_home_that_takes_over_asks_agents_whose_numbers_go_on_and_tells_states_once_more() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    let id = AttachmentId { epoch: epoch(2), number: 8 };
    (front.resumes, front.next, front.forwarded_lately) = (Some(id), 4, true);
    let heard = front.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(Attached { had: 3, .. })]), "{heard:?}");
    assert_eq!(home.info(1).full_state, FullState::Wanted);
    assert_eq!(home.told(), []);
    let heard = front.hears();
    let [Heard::Push(question)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(question.flags, 1);
    front.message(41, &state());
    let told = home.told();
    assert!(told.len() == 1 && told[0].health.is_some() && told[0].sequence_num == 41);
    home.bench.says(1, &ServerToAgent::default());
    // The former home may have told the server something else last.
    home.bench.sessions.sweep(clock::now() + Duration::from_secs(29));
    assert_eq!(home.told(), []);
    home.bench.sessions.sweep(clock::now() + Duration::from_secs(31));
    let told = home.told();
    assert!(told.len() == 1 && told[0].agent_description.is_some(), "{told:?}");
}

#[test]
fn a_front_that_is_back_names_what_it_has_and_the_rest_is_lost() {
    let home = HomeBench::new();
    let mut stays = settled(&home, 1, (2, 5));
    let goes = settled(&home, 2, (2, 6));
    home.fleet().node_lost(node(2));
    home.bench.says(1, &offer(b"a"));
    assert_eq!(stays.hears(), [], "its front is out of reach");
    assert_eq!(home.sessions(), (2, 0));
    let heard = stays.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Push(_)]), "{heard:?}");
    for agent in [1, 2] {
        goes.says(&ToHome::AllHere(shard_of(uid(agent))));
    }
    assert_eq!(home.sessions(), (1, 1));
    home.fleet().node_gone(node(2));
    assert_eq!(home.sessions(), (0, 2));
    assert_eq!(home.info(1).full_state, FullState::Wanted, "what it may have held is lost");
    assert_eq!(home.info(2).full_state, FullState::Reported);
}

#[test]
fn a_front_out_of_reach_has_half_an_hour() {
    let home = HomeBench::new();
    let _front = settled(&home, 1, (2, 5));
    home.fleet().node_lost(node(2));
    let minutes = |count: u64| clock::now() + Duration::from_secs(60 * count);
    home.bench.sessions.sweep(minutes(29));
    assert_eq!(home.sessions(), (1, 0));
    home.bench.sessions.sweep(minutes(31));
    assert_eq!(home.sessions(), (0, 1));
}

#[test]
fn an_absence_lasts_as_long_as_agents_may_wait_at_another_gate() {
    let home = HomeBench::new();
    settled(&home, 1, (2, 5)).detaches(DetachReason::Drained, false);
    assert_eq!(home.sessions(), (0, 1), "drained agents come back elsewhere");
    let seconds = |count: u64| clock::now() + Duration::from_secs(count);
    home.ways.set_absence(AbsenceEnd::At(seconds(300)));
    home.bench.sessions.sweep(seconds(100));
    home.ways.set_absence(AbsenceEnd::WhenKnown(seconds(1_800)));
    home.bench.sessions.sweep(seconds(301));
    assert_eq!((home.told(), home.sessions()), (vec![], (0, 1)));
    home.ways.set_absence(AbsenceEnd::Now);
    home.bench.sessions.sweep(seconds(310));
    assert!(home.told()[0].agent_disconnect.is_some());
    home.bench.assert_empty();
}

#[test]
fn a_full_table_puts_newcomers_off() {
    let params = SessionsParams { sessions_max: 1, ..SessionsParams::default() };
    let (bench, ways) = (Bench::new(params), Arc::<FakeWays>::default());
    bench.sessions.join_fleet(Arc::clone(&ways) as _);
    let home = HomeBench { bench, ways };
    home.install(1);
    let _first = settled(&home, 1, (2, 5));
    let mut second = Front::new(&home, 2, (2, 6));
    assert_eq!(second.attaches(0, &state()), [Heard::Later]);
}
