//! A node as the home of agents whose connections end at other nodes: their fronts are the tests.

mod frames;
mod moves;
mod time;

use std::time::Duration;

use super::ways::{FakeWays, epoch, node};
use super::*;
use crate::core::node_link::{
    AgentConnection, AgentFrame, AgentReport, Attach, Attached, AttachmentId, CloseOrder, Detach,
    DetachReason, ForAgentKind, Handle, HeartbeatsBatch, HeartbeatsEntry, Numbered, PartDigests,
    ToFront, ToHome,
};
use crate::core::ownership::{AbsenceEnd, ShardId, shard_of};
use crate::core::session::{FullState, reports_map};
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
        for shard in ShardId::all() {
            assert!(!self.fleet().install(shard, epoch(number), false));
        }
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
        let heard = frames.iter().map(|frame| Heard::from(&ToFront::decode(frame).unwrap()));
        heard.filter(|heard| !self.confirms(heard)).collect()
    }

    /// Answers a ping of the session's.
    fn confirms(&self, heard: &Heard) -> bool {
        let Heard::Ping(question) = *heard else { return false };
        let is_of_session = question >= 1 << 31;
        if is_of_session {
            self.says(&ToHome::Alive(self.handle(), question));
        }
        is_of_session
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
            has_map: reports_map(&scan),
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
    Told(u64),
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
            ToFront::Told(_, number) => Self::Told(*number),
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
