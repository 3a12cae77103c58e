//! Towards the agents: from an accepted connection to the reason why it closed. Rank 5: knows sessions; servers
//! are the upstream's.
//!
//! - `listen`: sockets, accepting, the bound on connections. `transport`: what the rest asks of a socket.
//!   `tcp`: TCP, the one there is so far.
//! - `accept_runtime`: the threads on which connections wait until they are admitted.
//! - `pressure`: slows accepting down while memory is short.
//! - `connection`: the life of one connection. `request`: its first head, and what that asks for. `first_body`: which
//!   agent its body names.
//! - `admission`: which arrivals are admitted, wait, or have to come again.
//! - `agent`, `conversation`: a WebSocket's life; what its bytes mean. `agents`: whose they are. `ending`: how it ends, and how a message
//!   on it is rejected.
//! - `http`, `header_list`, `body`, `answer`: plain HTTP (hyper). `request_admission`: admission of the agents on one
//!   connection. `paths`: where agents reach the endpoint. `refusal`: each request that is refused over HTTP.
//!   `lingering_close`: the end of a connection that is refused.
//! - `drain`: how connections end when the node drains. `fleet`: what the other nodes are told, and admission shared
//!   with them.
//!
//! HTTP/2 and HTTP/3 dock here: each stream is an arrival with an `admission::Applicant` of its own, its
//! requests go through `http::exchange`, and an upgraded stream is an `AgentSocket`.

mod accept_runtime;
mod admission;
mod agent;
mod agents;
mod answer;
mod body;
mod budget;
mod connection;
mod conversation;
mod drain;
mod ending;
mod first_body;
mod fleet;
mod header_list;
mod http;
mod lingering_close;
mod listen;
pub(crate) mod params;
mod paths;
mod prefixed;
mod pressure;
mod refusal;
mod request;
mod request_admission;
#[cfg(test)]
mod scenarios;
mod tcp;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) use accept_runtime::AcceptRuntime;
pub(crate) use admission::{
    AdmissionStatus, Limit, NamedSource, SlotSeries, SourceFigures, StormRecord, StormsSeen,
};
pub(crate) use listen::BindError;

use crate::core::admission::{Capacity, RoomWatch};
use crate::ident::{ConnectionId, InstanceUid};
use crate::sessions::{Sessions, half_of_all};
use admission::{AdmissionService, ArrivalSource};
use budget::Budget;
use drain::EdgeDrain;
use params::EdgeParams;
use pressure::Pressure;

/// The agents' side, listening.
pub(crate) struct Edge {
    params: EdgeParams,
    sessions: Arc<Sessions>,
    /// One permit for each connection.
    permits: Arc<Semaphore>,
    connections: AtomicU64,
    admission: AdmissionService,
    /// The runtime that serves admitted agents.
    serving: Handle,
    pressure: Pressure,
    room: Mutex<RoomWatch>,
    /// Bytes of incomplete messages of all agents.
    buffered: Arc<Budget>,
    drain: EdgeDrain,
    /// How long a connection of plain HTTP may stay idle, as answers say it: in whole seconds.
    keep_alive_header: HeaderValue,
}

/// Says what capacity is left: of connections, and in the table of sessions.
fn capacity_now(permits: &Arc<Semaphore>, sessions: &Arc<Sessions>) -> admission::CapacityNow {
    let (permits, sessions) = (Arc::clone(permits), Arc::clone(sessions));
    let reserve = Capacity::reserve_of(permits.available_permits());
    Box::new(move || Capacity {
        free: permits.available_permits(),
        reserve,
        sessions_full: sessions.is_full_of_connected(),
    })
}

/// Of this many connections, those for agents; the others are reserved for refusals.
pub(crate) const fn agents_of(connections: usize) -> usize {
    connections - Capacity::reserve_of(connections)
}

impl Edge {
    /// `connections_max` is what the process can bear; the parameters may ask for less. Agents will be
    /// served on the runtime on which this is called.
    pub(crate) fn new(
        params: EdgeParams,
        sessions: Arc<Sessions>,
        connections_max: u32,
    ) -> Arc<Self> {
        let max = params.connections_max.map_or(connections_max, |max| max.min(connections_max));
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let buffered = Arc::new(Budget::new(params.buffered_bytes_max));
        let permits = Arc::new(Semaphore::new(max));
        let agents_max = agents_of(max);
        let capacity = capacity_now(&permits, &sessions);
        let bounds = (agents_max, params.http_reply_wait);
        let admission = AdmissionService::new(&params.admission, capacity, bounds);
        let idle = format!("timeout={}", params.http_idle_timeout.as_secs());
        let keep_alive_header = HeaderValue::try_from(idle).expect("it is in visible ASCII");
        let pressure = Pressure::new(params.memory_max, params.buffered_bytes_max);
        Arc::new(Self {
            params,
            sessions,
            permits,
            connections: AtomicU64::new(0),
            admission,
            serving: Handle::current(),
            pressure,
            room: Mutex::default(),
            buffered,
            drain: EdgeDrain::new(max),
            keep_alive_header,
        })
    }

    /// Agents that can be connected at the same time; the other connections are reserved for refusals.
    pub(crate) fn agents_max(&self) -> usize {
        agents_of(self.permits.available_permits())
    }

    /// Whether no other process listens at these addresses, and this one may.
    ///
    /// # Errors
    /// Names the address that cannot be bound.
    pub(crate) fn claim(addresses: &[SocketAddr]) -> Result<(), BindError> {
        listen::claim_all(addresses)
    }

    /// Binds all addresses and accepts, on the accept runtime, until the set is dropped. Returns the addresses
    /// bound, with the ports that the system chose for 0.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub(crate) fn listen(
        self: &Arc<Self>,
        accept_runtime: &AcceptRuntime,
    ) -> Result<(Vec<SocketAddr>, JoinSet<()>), BindError> {
        listen::start(self, accept_runtime.handle())
    }

    /// Measures and sweeps for as long as connections are open, also after the last one was accepted.
    pub(crate) async fn watch(self: Arc<Self>) {
        listen::measure(&self).await;
    }

    /// Starts the probe, by which parked arrivals are decided for as long as this lives.
    ///
    /// # Errors
    /// If the system refuses a thread for it.
    pub(crate) fn start_probe(&self) -> io::Result<()> {
        self.admission.start_probe(self.serving.clone())
    }

    /// The limit by which there is no room for another agent; empty while there is room.
    pub(crate) fn full(&self) -> Option<Limit> {
        self.room.lock().full()
    }

    /// The sources that have sent the most arrivals in the last minute or two.
    pub(crate) fn top_sources(&self) -> SourceFigures {
        self.admission.top_sources()
    }

    /// The storm under way, and the last one.
    pub(crate) fn storms(&self) -> StormsSeen {
        self.admission.storms()
    }

    /// Bytes of incomplete messages held now.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered.used()
    }

    /// The state of admission.
    pub(crate) fn admission(&self) -> AdmissionStatus {
        self.admission.status()
    }

    /// How many were admitted when, in the last minutes.
    pub(crate) fn admitted(&self) -> SlotSeries {
        self.admission.admitted()
    }

    /// Sets the rate of entry, in arrivals a second; empty: it follows the machine.
    pub(crate) fn set_admission_rate(&self, rate: Option<NonZeroU32>) {
        self.admission.set_rate(rate);
    }

    /// Completes what admission knows of a request by the agent that it names. `posts`: it is a message over plain HTTP.
    fn recognise(&self, source: &mut ArrivalSource, named: Option<InstanceUid>, posts: bool) {
        let known = named.is_some_and(|uid| self.sessions.has(uid));
        // The sessions refuse a newcomer's message, and plain HTTP answers after the message.
        source.needs_no_place = known || posts && named.is_none();
        // A WebSocket costs its handshake, and its agent what it reports: it asks each time.
        source.in_session = posts && known;
    }

    /// How many agents one WebSocket may bring.
    fn agents_per_connection_max(&self) -> usize {
        let automatic = || half_of_all(&self.sessions);
        self.params.agents_per_connection_max.map_or_else(automatic, |max| max as usize)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }
}
