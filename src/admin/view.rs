//! What administration asks of the gateway: one small trait and the answers to it. Must not know the parts
//! behind it.

use serde::Serialize;

use std::num::NonZeroU32;

use super::cluster::ClusterView;
use crate::ident::InstanceUid;

/// Answers an operator's questions. Called on threads that may block, apart from the threads that carry
/// agents; an answer is a copy, taken at one instant.
pub(crate) trait View: Send + Sync + 'static {
    /// Whether a balancer should send agents here.
    fn readiness(&self) -> Readiness;

    /// Up to `limit` agents that this node is the front or the home of, in the order of their uids, the first being the one that follows
    /// `after`.
    fn sessions(&self, after: Option<InstanceUid>, limit: usize) -> Vec<ListedAgent>;

    /// One session, from its home, which may be another node.
    fn session(&self, uid: InstanceUid) -> SessionAnswer;

    /// The fleet as this node sees it.
    fn cluster(&self) -> ClusterView;

    /// The phase of the drain.
    fn drain(&self) -> DrainView;

    /// Begins a drain, unless one has begun.
    fn begin_drain(&self);

    /// The state of rebalancing; empty for a node without others.
    fn rebalance(&self) -> Option<RebalanceView>;

    /// Begins to close connections for other nodes to take (`true`), or ends it.
    fn order_rebalance(&self, begin: bool);

    /// The state of admission, once agents are admitted.
    fn admission(&self) -> Option<AdmissionView>;

    /// How many agents were admitted when, once agents are admitted.
    fn admitted(&self) -> Option<AdmittedView>;

    /// Sets the admission rate, in connections a second; `None` makes it automatic.
    fn set_admission_rate(&self, rate: Option<NonZeroU32>);
}

/// Whether a balancer should send agents here, and the reasons against it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    /// The reasons against it, in sentences for people; empty: ready.
    pub reasons: Vec<String>,
    /// The servers, as in the configuration.
    pub servers: Vec<ServerView>,
    /// Whether there is no room for another agent. A balancer that took a node out for that would take the moments
    /// from the agents that it has told to come again: the node stays ready.
    pub full: bool,
    /// By which limit, and what an operator can do.
    pub full_reason: Option<String>,
}

impl Readiness {
    /// Whether the list of reasons is empty.
    pub(crate) fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServerView {
    /// Its name in the configuration.
    pub name: String,
    /// Whether a link to it is up, or the last dial succeeded.
    pub reachable: bool,
    /// Whether agents are sent to it.
    pub available: bool,
    /// Sessions that wait for a permit to send to it.
    pub resync_sessions: usize,
}

/// An agent that this node has to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum ListedAgent {
    /// Its session is here.
    Home {
        /// `home`, or `home and front` if its connection ends here, too.
        role: &'static str,
        /// The session.
        #[serde(flatten)]
        session: SessionView,
    },
    /// Its connection ends here, and its session is elsewhere.
    Front {
        /// `front`.
        role: &'static str,
        /// The connection.
        #[serde(flatten)]
        connection: ConnectionView,
    },
}

impl ListedAgent {
    /// The agent's instance uid.
    pub(crate) const fn uid(&self) -> InstanceUid {
        match self {
            Self::Home { session, .. } => session.uid,
            Self::Front { connection, .. } => connection.uid,
        }
    }
}

/// A connection to this node of an agent whose session is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ConnectionView {
    /// The agent's instance uid.
    #[serde(serialize_with = "as_text")]
    pub uid: InstanceUid,
    /// Its shard.
    pub shard: u16,
    /// The node that has its session; null: none, as far as this node knows.
    pub home: Option<String>,
    /// `websocket` or `http`.
    pub transport: &'static str,
    /// Whether it is open, as far as this node knows.
    pub is_open: bool,
    /// Whether the home has it.
    pub is_attached: bool,
    /// Bytes of what the agent said, held until the home has it.
    pub held_bytes: usize,
}

/// What is known of one agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SessionAnswer {
    /// Its session is here.
    Here(SessionView),
    /// Its session is at another node, which has written this.
    Elsewhere(serde_json::Value),
    /// Its home has no session of it.
    Unknown {
        /// The home.
        home: String,
    },
    /// Its home, another node, does not answer.
    Silent {
        /// The home.
        home: String,
        /// Why.
        why: String,
        /// Its connection, if that ends here.
        connection: Option<ConnectionView>,
    },
    /// Its shard has no home.
    Homeless {
        /// The shard.
        shard: u16,
        /// Its connection, if that ends here.
        connection: Option<ConnectionView>,
    },
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SessionView {
    /// The agent's instance uid.
    #[serde(serialize_with = "as_text")]
    pub uid: InstanceUid,
    /// Its shard.
    pub shard: u16,
    /// The node that has the session.
    pub home: String,
    /// The node where the agent's connection ends; null: it has none.
    pub front: Option<String>,
    /// `connected`, `polling`, `absent`, `disconnecting` or `gone`.
    pub state: &'static str,
    /// `AgentToServer.capabilities`.
    pub capabilities: u64,
    /// The agent's last sequence number.
    pub agent_sequence_num: Option<u64>,
    /// The last sequence number sent to the server.
    pub server_sequence_num: Option<u64>,
    /// The server that its last message went to.
    pub server: Option<String>,
    /// That server's link.
    pub link: Option<u16>,
    /// Messages that the server is yet to answer.
    pub unanswered: u32,
    /// Whether Seawall has all of the agent's state: `reported`, `wanted` (the agent must be asked), or `asked`.
    pub full_state: &'static str,
    /// The fields of the agent's state that wait to be sent to the server.
    pub server_lacks: Vec<&'static str>,
    /// Bytes that wait for the agent to read them.
    pub waiting_bytes: usize,
    /// Whether it waits for a permit to send to its server.
    pub queued: bool,
}

/// The phase of the drain, and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DrainView {
    /// `serving` (before a drain), `notice`, `closing`, `cutting`, `delivering` or `drained`.
    pub phase: &'static str,
    /// Agents' connections that the drain is still to close.
    pub left: usize,
    /// Connections closed a second, at most.
    pub rate: u32,
}

/// The state of rebalancing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RebalanceView {
    /// Whether connections are closed.
    pub shedding: bool,
    /// Agents' connections here.
    pub connections: u64,
    /// This node's share of the fleet's connections.
    pub share: u64,
    /// Connections closed since it began last.
    pub closed: u64,
    /// Of the last hundred of them, how many came back here.
    pub came_back: usize,
    /// Connections closed a second, at most.
    pub rate: u32,
    /// How it ended last: `balanced`, `came_back`, `stopped` or `alone`; null before its first end.
    pub ended: Option<&'static str>,
}

/// The state of admission.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AdmissionView {
    /// Whether the rate is automatic.
    pub automatic: bool,
    /// Connections admitted a second: by this node, which may take a share of the rate of its fleet.
    pub rate: u32,
    /// Connections that wait for admission, unanswered.
    pub parked: usize,
    /// How many the park has places for at this rate.
    pub park_places: usize,
    /// Refusals that wait to be sent.
    pub held: usize,
    /// Agents known (or in `admission.fleet_size`) that have no connection now; null while that is unknown.
    pub disconnected: Option<u64>,
    /// Seconds until the last of them is admitted, if the rate stays; null while that is unknown.
    pub last_in_seconds: Option<f64>,
    /// Connections admitted a second by all nodes of the fleet together, as this node is set; null for a node without
    /// others, and while the rate is automatic.
    pub fleet_rate: Option<u32>,
    /// The storm that is under way; null while there is none.
    pub storm: Option<StormView>,
    /// The last storm that is over; null before the first.
    pub last_storm: Option<StormView>,
    /// The addresses that have sent the most in the last minute or two, the busiest first.
    pub top_addresses: Vec<SourceView>,
    /// The credentials that have sent the most.
    pub top_credentials: Vec<SourceView>,
}

/// What a storm came to, or has come to so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StormView {
    /// From its first dial to its last, or to the last agent that waited.
    pub seconds: f64,
    /// Dials of agents that owed an entry.
    pub dials: u64,
    /// How many were admitted.
    pub admitted: u64,
    /// How many were told to come again.
    pub refused: u64,
    /// The longest time for which one was parked.
    pub longest_parked_seconds: f64,
    /// The longest time after which one was told to come again.
    pub longest_told_seconds: f64,
}

/// A source of arrivals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SourceView {
    /// An address, the prefix of 64 bits of one of IPv6, or `sha256:` and the first eight digits of the SHA-256 of an
    /// `Authorization` header's value.
    pub source: String,
    /// What it has sent that owed an entry.
    pub arrivals: u64,
    /// How many of these came while it was over its share.
    pub over_share: u64,
}

/// How many agents were admitted when, in the last five minutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AdmittedView {
    /// When the first slot began: Unix time in milliseconds, by the node's clock.
    pub first_unix_ms: u64,
    /// How long a slot lasts, in milliseconds.
    pub slot_ms: u64,
    /// How many were admitted in each slot, the oldest first.
    pub admitted: Vec<u32>,
}

fn as_text<S: serde::Serializer>(uid: &InstanceUid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uid)
}
