//! Agents on real sockets, each scenario on a node that is alone and on one that is a fleet of itself: agents cannot
//! tell the two apart.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::params::EdgeParams;
use super::{AcceptRuntime, Edge};
use crate::core::drain::AgentDrain;
use crate::ident::InstanceUid;
use crate::opamp::header;
use crate::opamp::proto::{
    AgentDescription, AgentDisconnect, AgentToServer, ComponentHealth, ServerToAgent,
};
use crate::sessions::fake_uplink::FakeUplink;
use crate::sessions::{Sessions, fleet_of_one};
use crate::websocket::{self, Decoder, Incoming, Role};

/// A node with one listening address. Its servers are out of reach, so it answers its agents itself.
pub(super) struct Listening {
    pub(super) sessions: Arc<Sessions>,
    address: SocketAddr,
    _parts: (AcceptRuntime, JoinSet<()>),
}

impl Listening {
    fn new(in_fleet: bool) -> Self {
        Self::with(in_fleet, |_| {})
    }

    /// The same with other parameters.
    pub(super) fn with(in_fleet: bool, change: impl FnOnce(&mut EdgeParams)) -> Self {
        let uplink = Arc::new(FakeUplink::down());
        let sessions = Arc::new(Sessions::new(Default::default(), Default::default(), uplink));
        if in_fleet {
            fleet_of_one(&sessions);
        }
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let mut params = EdgeParams { listen, ..EdgeParams::default() };
        params.admission.rate = NonZeroU32::new(10_000);
        change(&mut params);
        let edge = Edge::new(params, Arc::clone(&sessions), 64);
        edge.start_probe().unwrap();
        let runtime = AcceptRuntime::open().unwrap();
        let (addresses, accepting) = edge.listen(&runtime).unwrap();
        Self { sessions, address: addresses[0], _parts: (runtime, accepting) }
    }

    /// Both kinds of node.
    pub(super) fn both() -> [Self; 2] {
        [false, true].map(Self::new)
    }

    pub(super) async fn connects(&self, n: u8) -> WireAgent {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let upgrade = "GET /v1/opamp HTTP/1.1\r\nHost: seawall\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let (decoder, heard) = (Decoder::new(Role::Client), VecDeque::new());
        WireAgent { socket, decoder, heard, n, number: 0 }
    }

    /// Waits until the sums are these: a task notices the end of its connection in its own time.
    pub(super) async fn counts(&self, connected: i64) {
        let reached = async {
            while self.sessions.count().0 != connected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the agents are counted");
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const MASK: [u8; 4] = [1, 2, 3, 4];

/// What an agent hears.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Message(Box<ServerToAgent>),
    Ping(Vec<u8>),
    Close(Option<u16>),
    End,
}

/// An agent on a socket.
pub(super) struct WireAgent {
    socket: TcpStream,
    decoder: Decoder,
    heard: VecDeque<Heard>,
    n: u8,
    number: u64,
}

impl WireAgent {
    pub(super) async fn says(&mut self, message: AgentToServer) {
        let message = addressed(message, self.n, self.number);
        self.number += 1;
        self.says_bytes(&message.encode_to_vec()).await;
    }

    pub(super) async fn says_bytes(&mut self, message: &[u8]) {
        let mut out = Vec::new();
        let frame = websocket::begin_message(Some(MASK), message.len(), &mut out);
        out.extend_from_slice(message);
        websocket::finish_message(frame, &mut out);
        self.socket.write_all(&out).await.unwrap();
    }

    pub(super) async fn hears(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("the agent hears something")
    }

    async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let mut bytes = vec![0; 4096];
            let length = self.socket.read(&mut bytes).await.unwrap_or(0);
            if length == 0 {
                return Heard::End;
            }
            let mut position = 0;
            while let Some(incoming) =
                self.decoder.feed(&mut bytes[..length], &mut position, 1 << 20).unwrap()
            {
                self.heard.push_back(match incoming {
                    Incoming::Message(bytes) => {
                        let message = ServerToAgent::decode(header::strip(bytes)).unwrap();
                        Heard::Message(Box::new(message))
                    }
                    Incoming::Ping(payload) => Heard::Ping(payload.to_vec()),
                    Incoming::Pong(_) | Incoming::PassedOver { .. } => continue,
                    Incoming::Close(code) => Heard::Close(code),
                });
            }
        }
    }

    /// Answers a ping.
    pub(super) async fn pongs(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        websocket::encode_pong(Some(MASK), payload, &mut out);
        self.socket.write_all(&out).await.unwrap();
    }

    /// The next is a reply that says nothing, apart from what the server can.
    pub(super) async fn is_acknowledged(&mut self) {
        let heard = self.hears().await;
        let Heard::Message(reply) = heard else { panic!("{heard:?}") };
        let ack = ServerToAgent { instance_uid: vec![self.n; 16], ..Default::default() };
        assert_eq!(ServerToAgent { capabilities: 0, ..*reply }, ack);
    }

    /// The agent closes.
    pub(super) async fn closes(&mut self, code: u16) {
        let mut out = Vec::new();
        websocket::encode_close(Some(MASK), code, &mut out);
        self.socket.write_all(&out).await.unwrap();
    }

    /// The node closes. The agent answers, or just goes.
    pub(super) async fn sees_the_close(mut self, code: u16, answers: bool) {
        assert_eq!(self.hears().await, Heard::Close(Some(code)));
        if answers {
            let mut out = Vec::new();
            websocket::encode_close(Some(MASK), code, &mut out);
            self.socket.write_all(&out).await.unwrap();
            assert_eq!(self.hears().await, Heard::End);
        }
    }
}

pub(super) fn addressed(message: AgentToServer, n: u8, sequence_num: u64) -> AgentToServer {
    AgentToServer { instance_uid: vec![n; 16], sequence_num, capabilities: 1, ..message }
}

pub(super) fn report() -> AgentToServer {
    AgentToServer { agent_description: Some(AgentDescription::default()), ..heartbeat() }
}

fn health() -> AgentToServer {
    AgentToServer { health: Some(ComponentHealth::default()), ..heartbeat() }
}

pub(super) fn heartbeat() -> AgentToServer {
    AgentToServer::default()
}

pub(super) fn uid(n: u8) -> InstanceUid {
    InstanceUid::from_bytes([n; 16])
}

#[tokio::test]
async fn each_message_gets_one_reply_in_order() {
    for node in Listening::both() {
        let mut agents = [node.connects(1).await, node.connects(2).await];
        for agent in &mut agents {
            for message in [report(), heartbeat(), health(), report(), heartbeat()] {
                agent.says(message).await;
                agent.is_acknowledged().await;
            }
        }
        node.counts(2).await;
        drop(agents);
        node.counts(0).await;
    }
}

#[tokio::test]
async fn many_messages_in_one_breath_get_their_replies() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        let count = 100;
        for number in 0..count {
            agent.says(if number % 3 == 0 { report() } else { heartbeat() }).await;
        }
        for _ in 0..count {
            agent.is_acknowledged().await;
        }
    }
}

#[tokio::test]
async fn the_newest_connection_of_an_agent_wins() {
    for node in Listening::both() {
        let mut old = node.connects(1).await;
        old.says(report()).await;
        old.is_acknowledged().await;
        let mut new = node.connects(1).await;
        new.says(report()).await;
        new.is_acknowledged().await;
        old.sees_the_close(1000, false).await;
        new.says(heartbeat()).await;
        new.is_acknowledged().await;
        node.counts(1).await;
    }
}

#[tokio::test]
async fn of_two_agents_with_one_uid_the_second_gets_another() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        for _ in 0..2 {
            let mut next = node.connects(1).await;
            next.says(report()).await;
            next.is_acknowledged().await;
            std::mem::replace(&mut agent, next).sees_the_close(1000, true).await;
        }
        let mut other = node.connects(1).await;
        other.says(report()).await;
        let Heard::Message(told) = other.hears().await else { panic!("a message") };
        let fresh = told.agent_identification.expect("another uid").new_instance_uid;
        assert_ne!(fresh, vec![1; 16]);
        let message = AgentToServer { instance_uid: fresh, ..addressed(report(), 1, 0) };
        other.says_bytes(&message.encode_to_vec()).await;
        assert!(matches!(other.hears().await, Heard::Message(_)));
        agent.says(heartbeat()).await;
        agent.is_acknowledged().await;
        node.counts(2).await;
    }
}

#[tokio::test]
async fn an_agent_that_says_goodbye_gets_its_reply_and_is_closed() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        let goodbye = AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..heartbeat() };
        agent.says(goodbye).await;
        agent.is_acknowledged().await;
        agent.sees_the_close(1000, true).await;
        node.counts(0).await;
    }
}

#[tokio::test]
async fn an_agent_goes_on_under_another_uid() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        agent.n = 2;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        agent.says(heartbeat()).await;
        agent.is_acknowledged().await;
        node.counts(1).await;
    }
}

#[tokio::test]
async fn a_drained_agent_is_told_to_go_elsewhere() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        node.sessions.begin_drain();
        assert_eq!(node.sessions.here(|| 0).len(), 1);
        assert_eq!(node.sessions.drain_agent(uid(1), false), AgentDrain::Closing);
        agent.sees_the_close(1001, true).await;
        node.counts(0).await;
    }
}

#[tokio::test]
async fn a_node_that_stops_closes_every_connection() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says(report()).await;
        agent.is_acknowledged().await;
        node.sessions.stop();
        agent.sees_the_close(1001, true).await;
        let mut late = node.connects(2).await;
        late.says(report()).await;
        let heard = late.hears().await;
        assert!(matches!(heard, Heard::Close(Some(1001)) | Heard::Message(_)), "{heard:?}");
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_the_agent_goes_on() {
    for node in Listening::both() {
        let mut agent = node.connects(1).await;
        agent.says_bytes(&[0xff; 7]).await;
        let Heard::Message(told) = agent.hears().await else { panic!("a message") };
        assert!(told.error_response.is_some());
        agent.says(report()).await;
        agent.is_acknowledged().await;
        for _ in 0..16 {
            agent.says_bytes(&[0xff; 7]).await;
            assert!(matches!(agent.hears().await, Heard::Message(_)));
        }
        agent.sees_the_close(1002, true).await;
    }
}

#[tokio::test]
async fn a_request_gets_its_answer() {
    for node in Listening::both() {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        for number in 0..3 {
            let body = addressed(report(), 1, number).encode_to_vec();
            let head = format!(
                "POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\n\
                Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut reply = vec![0; length];
            socket.read_exact(&mut reply).await.unwrap();
            let reply = ServerToAgent::decode(&reply[..]).unwrap();
            assert_eq!(reply.instance_uid, vec![1; 16]);
        }
        node.counts(1).await;
    }
}
