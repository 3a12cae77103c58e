//! One node's process: its real table of sessions and its real drain, and what stands for the tasks of
//! connections and requests. A task is polled when it is woken or its time has come, and only then: a
//! waker that is forgotten shows as an agent that waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use seawall::clock;
use seawall::core::admission::Capacity;
use seawall::core::drain::{Drain, DrainPhase, Left};
use seawall::ident::ConnectionId;
use seawall::opamp::digest::DigestKey;
use seawall::opamp::header;
use seawall::sessions::{Attachment, Outgoing, Rejected, Sessions, Waiting};
use seawall::websocket::{Decoder, Incoming, Role};

use crate::gate::Gate;
use crate::http::ChannelEnd;
use crate::network;
use crate::pace::ServerPace;
use crate::plan::Plan;
use crate::probes::HttpServerEnd;
use crate::simulation::random::Random;
use crate::wires::{Key, Wires};
use crate::world::{NodeKey, Time};

#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    fn is_set(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A connection's task.
struct Task {
    attachment: Option<Attachment>,
    woken: Arc<Woken>,
}

/// A request's task.
struct Request {
    /// The kept-alive connection that it came on.
    channel: u64,
    waiting: Waiting,
    woken: Arc<Woken>,
}

/// See the module's text.
pub(crate) struct Gateway {
    /// When each server's pacer is asked for the next permit, while one is wanted.
    pub(crate) permit_due: Vec<Option<Time>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) drain: Drain,
    pub(crate) gate: Gate,
    /// Mode `http`: the channels, and what each server is besides them.
    pub(crate) channels: BTreeMap<Key, ChannelEnd>,
    pub(crate) http: Vec<HttpServerEnd>,
    /// Since when its links are about to stop.
    pub(crate) stops_since: Option<Time>,
    /// Its listeners are closed.
    pub(crate) stops_accepting: bool,
    /// Connections of agents that are open, plain-HTTP ones included.
    open: BTreeSet<u64>,
    tasks: BTreeMap<u64, Task>,
    requests: BTreeMap<u64, Request>,
}

/// A reply to a plain-HTTP request.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) bytes: Vec<u8>,
    /// The node drains, and the connection ends with this reply.
    pub(crate) closes: bool,
}

/// More than any message of the simulation has.
const BYTES_MAX: usize = 1 << 20;

impl Gateway {
    pub(crate) fn new(node: NodeKey, plan: &Plan, random: &mut Random) -> Self {
        let paces =
            plan.servers.iter().map(|_| ServerPace::new(plan.pace, plan.links, random.fork()));
        let wires = Arc::new(Wires::new(node, plan, paces.collect()));
        let digest_key = DigestKey::derive(&[7; 32]);
        let sessions =
            Arc::new(Sessions::new(plan.params.clone(), digest_key, Arc::clone(&wires) as _));
        Self {
            permit_due: vec![None; plan.servers.len()],
            sessions,
            wires,
            drain: Drain::new(plan.drain),
            channels: BTreeMap::new(),
            http: Vec::new(),
            gate: Gate::new(&plan.gate, random.fork()),
            stops_since: None,
            stops_accepting: false,
            open: BTreeSet::new(),
            tasks: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// The process dies: from here on what its remains do is ignored.
    pub(crate) fn die(self) {
        self.wires.ends.lock().dead = true;
    }

    /// Whether this connection or request is this node's.
    pub(crate) fn has(&self, wire: u64) -> bool {
        self.tasks.contains_key(&wire) || self.requests.contains_key(&wire)
    }

    /// Whether it has been told to hand its agents over.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.phase() != DrainPhase::Serving
    }

    /// What a drain would have to close.
    pub(crate) fn left(&self) -> Left {
        let (connected, absent) = self.sessions.count();
        let sessions = usize::try_from(connected + absent).unwrap();
        Left { connections: self.open.len(), sessions }
    }

    /// What the node can bear now.
    pub(crate) fn capacity(&self) -> Capacity {
        self.gate.capacity(self.open.len(), self.sessions.is_full_of_connected())
    }

    /// Whether the node can accept one more connection.
    pub(crate) fn accepts(&self) -> bool {
        self.gate.accepts(self.open.len())
    }

    /// Clients outside of the story take all connections but these.
    pub(crate) fn crowd(&mut self, but: usize) {
        self.gate.fill(self.open.len(), but);
    }

    /// A connection is open: it waits, or is one of plain HTTP.
    pub(crate) fn open_channel(&mut self, channel: u64) {
        self.open.insert(channel);
    }

    /// Whether a plain-HTTP connection is open still.
    pub(crate) fn has_channel(&self, channel: u64) -> bool {
        self.open.contains(&channel)
    }

    /// A plain-HTTP connection is over.
    pub(crate) fn close_channel(&mut self, channel: u64) {
        self.open.remove(&channel);
    }

    /// Ends idle plain-HTTP connections; one that carries a request ends with its reply.
    pub(crate) fn cut_channels(&mut self) {
        let busy: BTreeSet<u64> = self.requests.values().map(|request| request.channel).collect();
        self.open.retain(|id| self.tasks.contains_key(id) || busy.contains(id));
    }

    /// WebSockets whose agent has yet to speak.
    pub(crate) fn silent(&self) -> Vec<u64> {
        let silent = self.tasks.iter().filter(|(_, task)| task.attachment.is_none());
        silent.map(|(wire, _)| *wire).collect()
    }

    pub(crate) fn accept(&mut self, wire: u64) {
        self.open.insert(wire);
        self.tasks.insert(wire, Task { attachment: None, woken: Arc::default() });
    }

    /// A message on a WebSocket; returns what is written at once.
    pub(crate) fn receive(&mut self, wire: u64, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Rejected> {
        let task = self.tasks.get_mut(&wire).expect("the connection is open");
        let mut out = Vec::new();
        self.sessions.receive(&mut task.attachment, ConnectionId(wire), bytes, &mut out)?;
        // As a task does after it has read.
        task.woken.0.store(true, Ordering::Relaxed);
        Ok(unframe(out))
    }

    /// The agent has answered a ping.
    pub(crate) fn ponged(&mut self, wire: u64, payload: &[u8]) {
        let task = self.tasks.get_mut(&wire).expect("the connection is open");
        task.attachment.as_ref().expect("a session has pinged").ponged(payload);
        task.woken.0.store(true, Ordering::Relaxed);
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, wire: u64) {
        self.open.remove(&wire);
        self.tasks.remove(&wire);
    }

    /// A request; its reply comes from [`Self::poll_request`].
    pub(crate) fn request(
        &mut self,
        (wire, channel): (u64, u64),
        bytes: &[u8],
    ) -> Result<(), Rejected> {
        let waiting = self.sessions.receive_http(bytes)?;
        let woken = Arc::<Woken>::default();
        woken.0.store(true, Ordering::Relaxed);
        self.requests.insert(wire, Request { channel, waiting, woken });
        Ok(())
    }

    /// The tasks that have been woken.
    pub(crate) fn woken(&self) -> (Vec<u64>, Vec<u64>) {
        let tasks = self.tasks.iter().filter(|(_, task)| task.woken.is_set());
        let requests = self.requests.iter().filter(|(_, request)| request.woken.is_set());
        (tasks.map(|(wire, _)| *wire).collect(), requests.map(|(wire, _)| *wire).collect())
    }

    /// What a connection's task finds when it looks; `None`: it has yet to get a session, or is over.
    pub(crate) fn poll_task(&mut self, wire: u64) -> Option<Outgoing> {
        let task = self.tasks.get(&wire)?;
        let Some(attachment) = &task.attachment else {
            // Before it has a session, the connection asks the drain itself.
            return self.drain.may_close(clock::now(), true).then_some(Outgoing::Stopping);
        };
        let waker = Waker::from(Arc::clone(&task.woken));
        Some(attachment.poll_outgoing(&Context::from_waker(&waker), true))
    }

    /// A request's reply, if it is there; otherwise when it will be given in the server's place.
    pub(crate) fn poll_request(
        &mut self,
        wire: u64,
        expired: bool,
    ) -> Option<Result<HttpReply, Option<std::time::Instant>>> {
        let request = self.requests.get(&wire)?;
        let waker = Waker::from(Arc::clone(&request.woken));
        let polled = request.waiting.poll_answer(&Context::from_waker(&waker), expired);
        if let Poll::Ready(answer) = polled {
            let closes = self.drain.may_close(clock::now(), answer.settled);
            if closes {
                request.waiting.release_drained();
                self.open.remove(&request.channel);
            }
            self.requests.remove(&wire);
            return Some(Ok(HttpReply { bytes: answer.message, closes }));
        }
        Some(Err(request.waiting.reply_due()))
    }

    /// The agent has given a request up.
    pub(crate) fn drop_request(&mut self, wire: u64) {
        self.requests.remove(&wire);
    }
}

/// The messages and pings in frames.
pub(crate) fn unframe(mut frames: Vec<u8>) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(Role::Client);
    let mut position = 0;
    let mut messages = Vec::new();
    while let Some(frame) =
        decoder.feed(&mut frames, &mut position, BYTES_MAX).expect("whole frames")
    {
        match frame {
            Incoming::Message(message) => messages.push(header::strip(message).to_vec()),
            Incoming::Ping(payload) => messages.push(network::control(payload)),
            Incoming::Pong(_) | Incoming::Close(_) | Incoming::PassedOver { .. } => {
                panic!("the sessions write neither")
            }
        }
    }
    messages
}
