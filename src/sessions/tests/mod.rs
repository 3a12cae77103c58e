//! Tests of the table of sessions: a fake way to the servers, and agents whose tasks are the tests.

mod drain;
mod fleet;
mod former;
mod fronts;
mod hammer;
mod homes;
mod http;
mod loopback;
mod permits;
mod posts;
mod reports;
mod room;
mod ways;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use prost::Message;

pub(crate) use loopback::fleet_of_one;

use super::fake_uplink::{FakeUplink, route};
use super::*;
use crate::core::pacing::Class;
use crate::core::session::Presence;
use crate::ident::{ConnectionId, Incarnation, ServerId};
use crate::opamp::header;
use crate::opamp::proto::{
    AgentDescription, AgentDisconnect, AgentRemoteConfig, AgentToServer, ComponentHealth,
    CustomMessage, KeyValue, ServerToAgent, ServerToAgentCommand,
};
use crate::opamp::server::ServerScan;
use crate::websocket::{Decoder, Incoming, Role};

/// The table and what is around it.
pub(super) struct Bench {
    sessions: Arc<Sessions>,
    uplink: Arc<FakeUplink>,
}

impl Bench {
    fn new(params: SessionsParams) -> Self {
        let uplink = Arc::new(FakeUplink::up());
        let sessions =
            Arc::new(Sessions::new(params, DigestKey::default(), Arc::clone(&uplink) as _));
        loopback::join(&sessions);
        Self { sessions, uplink }
    }

    fn refuse(&self, why: impl Into<Option<NotSent>>) {
        self.uplink.state.lock().refuses = why.into();
    }

    /// The link is lost and comes back.
    fn relink(&self) {
        let mut state = self.uplink.state.lock();
        let incarnation = state.route.incarnation.0 + 1;
        state.route = route(incarnation);
        state.refuses = None;
        drop(state);
        self.sessions.enqueue_all(&|_| true);
    }

    fn sent(&self) -> Vec<(InstanceUid, AgentToServer)> {
        std::mem::take(&mut self.uplink.state.lock().sent)
    }

    /// Grants every session in the queue its permit; says what came of them.
    fn permits(&self) -> Vec<PermitUse> {
        let enqueued = std::mem::take(&mut self.uplink.state.lock().enqueued);
        let grant = |(uid, class)| {
            let used = self.sessions.permit_granted(uid, class);
            if used == PermitUse::Again {
                self.uplink.enqueue(uid, class);
            }
            used
        };
        enqueued.into_iter().map(grant).collect()
    }

    /// Whether the server has time for what comes.
    fn busy(&self, is_busy: bool) {
        self.uplink.state.lock().is_busy = is_busy;
    }

    fn says(&self, n: u8, message: &ServerToAgent) -> Delivered {
        let message = ServerToAgent { instance_uid: vec![n; 16], ..message.clone() };
        let bytes = message.encode_to_vec();
        let from = self.uplink.state.lock().route;
        self.sessions.from_server(uid(n), from, &ServerScan::parse(&bytes).unwrap()).delivered
    }

    /// All queues are empty, and only what is there is counted.
    fn assert_empty(&self) {
        assert_eq!(self.sessions.count(), (0, 0));
        assert_eq!(self.sessions.table.len(), 0);
        assert_eq!(
            (self.sessions.counters.agent_bytes(), self.sessions.counters.server_bytes()),
            (0, 0)
        );
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(SessionsParams::default())
    }
}

/// An agent's WebSocket.
pub(super) struct Agent<'a> {
    bench: &'a Bench,
    n: u8,
    number: u64,
    connection: ConnectionId,
    attachment: Option<Attachment>,
    /// Read and not looked at yet: see [`Agent::receives`].
    pending: Mutex<Vec<ServerToAgent>>,
    woken: Arc<Woken>,
}

#[derive(Debug, Default)]
pub(super) struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn is_set(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }
}

impl<'a> Agent<'a> {
    fn new(bench: &'a Bench, n: u8, connection: u64) -> Self {
        let (connection, woken) = (ConnectionId(connection), Arc::default());
        let pending = Mutex::default();
        Self { bench, n, number: 0, connection, attachment: None, pending, woken }
    }

    /// Sends its first report; the server's acknowledgement is there.
    fn first(bench: &'a Bench, n: u8, connection: u64) -> Self {
        let mut agent = Self::new(bench, n, connection);
        assert_eq!(agent.says(full()), []);
        bench.says(n, &ServerToAgent::default());
        assert_eq!(agent.reads(), [ack(n)]);
        bench.sent();
        agent
    }

    /// The same agent on another connection.
    fn returns(&self, connection: u64) -> Self {
        Self { number: self.number, ..Self::new(self.bench, self.n, connection) }
    }

    /// Sends a message; the answers that are there at once.
    fn says(&mut self, message: AgentToServer) -> Vec<ServerToAgent> {
        self.tries_to_say(message).unwrap()
    }

    fn tries_to_say(&mut self, message: AgentToServer) -> Result<Vec<ServerToAgent>, Rejected> {
        let bytes = addressed(message, self.n, self.number);
        self.number += 1;
        self.receives(&bytes)
    }

    /// The connection gets a message; the answers that are there at once. Those of a home wait in the outbox:
    /// whatever the message brings there first is one.
    fn receives(&mut self, bytes: &[u8]) -> Result<Vec<ServerToAgent>, Rejected> {
        let waits = self.attachment.is_some() && loopback::is_joined();
        let mut pending = if waits { self.reads() } else { Vec::new() };
        let mut out = Vec::new();
        let sessions = &self.bench.sessions;
        let received = sessions.receive(&mut self.attachment, self.connection, bytes, &mut out);
        let mut answers = self.messages(out);
        if loopback::is_joined() && received.is_ok() {
            let mut brought = self.reads_once().into_iter();
            answers.extend(brought.next());
            pending.extend(brought);
            // What the task has taken is written by its next look.
            pending.extend(self.reads_once());
        }
        self.pending.lock().extend(pending);
        received.map(|()| answers)
    }

    /// The messages in WebSocket frames. Pings are answered.
    fn messages(&self, frames: Vec<u8>) -> Vec<ServerToAgent> {
        let (messages, pings) = unframe(frames);
        for ping in pings {
            self.attachment.as_ref().unwrap().ponged(&ping);
        }
        messages
    }

    fn looks(&self) -> Outgoing {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.attachment.as_ref().unwrap().poll_outgoing(&Context::from_waker(&waker), true)
    }

    /// What one look finds.
    fn reads_once(&self) -> Vec<ServerToAgent> {
        match self.looks() {
            Outgoing::Bytes(bytes) => self.messages(bytes),
            _ => Vec::new(),
        }
    }

    /// What waits for it.
    fn reads(&self) -> Vec<ServerToAgent> {
        let mut all = std::mem::take(&mut *self.pending.lock());
        loop {
            match self.looks() {
                Outgoing::Bytes(bytes) => all.extend(self.messages(bytes)),
                Outgoing::Nothing { .. } => return all,
                other => panic!("{other:?}"),
            }
        }
    }
}

const fn uid(n: u8) -> InstanceUid {
    InstanceUid::from_bytes([n; 16])
}

/// What `message` reports is new each time, so that the server is told of it each time.
fn addressed(mut message: AgentToServer, n: u8, number: u64) -> Vec<u8> {
    let instance_uid = vec![n; 16];
    if let Some(health) = &mut message.health {
        health.start_time_unix_nano = number;
    }
    if let Some(description) = &mut message.agent_description {
        let key = number.to_string();
        description.identifying_attributes.push(KeyValue { key, value: None });
    }
    AgentToServer { instance_uid, sequence_num: number, ..message }.encode_to_vec()
}

fn full() -> AgentToServer {
    AgentToServer { agent_description: Some(AgentDescription::default()), ..heartbeat() }
}

fn health() -> AgentToServer {
    AgentToServer { health: Some(ComponentHealth::default()), ..heartbeat() }
}

fn heartbeat() -> AgentToServer {
    AgentToServer { capabilities: 1, ..AgentToServer::default() }
}

fn goodbye() -> AgentToServer {
    AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..heartbeat() }
}

fn custom(data: &[u8]) -> AgentToServer {
    let message = CustomMessage { data: data.to_vec(), ..CustomMessage::default() };
    AgentToServer { custom_message: Some(message), ..heartbeat() }
}

fn ack(n: u8) -> ServerToAgent {
    ServerToAgent { instance_uid: vec![n; 16], ..ServerToAgent::default() }
}

fn offer(hash: &[u8]) -> ServerToAgent {
    let config = AgentRemoteConfig { config: None, config_hash: hash.to_vec() };
    ServerToAgent { remote_config: Some(config), ..ServerToAgent::default() }
}

fn ask() -> ServerToAgent {
    ServerToAgent { flags: 1, ..ServerToAgent::default() }
}

/// `message` as agent `n` sees it from a server that has said what it can. 1: it accepts status.
fn to(n: u8, message: ServerToAgent) -> ServerToAgent {
    ServerToAgent { instance_uid: vec![n; 16], ..message }
}

/// The messages in WebSocket frames, apart from what the gateway says of the server, and the payloads of pings.
fn unframe(mut frames: Vec<u8>) -> (Vec<ServerToAgent>, Vec<Vec<u8>>) {
    let (mut decoder, mut position) = (Decoder::new(Role::Client), 0);
    let (mut messages, mut pings) = (Vec::new(), Vec::new());
    while let Some(incoming) = decoder.feed(&mut frames, &mut position, 1 << 24).unwrap() {
        match incoming {
            Incoming::Message(bytes) => {
                let message = ServerToAgent::decode(header::strip(bytes)).unwrap();
                messages.push(ServerToAgent { capabilities: 0, ..message });
            }
            Incoming::Ping(payload) => pings.push(payload.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    (messages, pings)
}
