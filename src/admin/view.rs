//! What administration asks of the gateway: one small trait and the answers to it. Must not know the parts
//! behind it.

use serde::Serialize;

use std::num::NonZeroU32;

use crate::ident::InstanceUid;

/// Answers an operator's questions. Called on threads that may block, apart from the threads that carry
/// agents; an answer is a copy, taken at one instant.
pub(crate) trait View: Send + Sync + 'static {
    /// Whether a balancer should send agents here.
    fn readiness(&self) -> Readiness;

    /// Up to `limit` sessions in the order of their uids, the first being the one that follows
    /// `after`.
    fn sessions(&self, after: Option<InstanceUid>, limit: usize) -> Vec<SessionView>;

    /// One session.
    fn session(&self, uid: InstanceUid) -> Option<SessionView>;

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

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SessionView {
    /// The agent's instance uid.
    #[serde(serialize_with = "as_text")]
    pub uid: InstanceUid,
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
    /// Connections admitted a second.
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
}

fn as_text<S: serde::Serializer>(uid: &InstanceUid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uid)
}
