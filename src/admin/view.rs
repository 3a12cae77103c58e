//! What administration asks of the gateway: a small window, so that it need not know what is behind.

use serde::Serialize;

use std::num::NonZeroU32;

use crate::ident::InstanceUid;

/// Answers an operator's questions. Called on threads that may block, never on those that carry
/// agents; an answer is a copy, taken at one instant.
pub trait View: Send + Sync + 'static {
    /// Whether agents should be sent here.
    fn readiness(&self) -> Readiness;

    /// Up to `limit` sessions in the order of their uids, the first being the one that follows
    /// `after`.
    fn sessions(&self, after: Option<InstanceUid>, limit: usize) -> Vec<SessionView>;

    /// One session.
    fn session(&self, uid: InstanceUid) -> Option<SessionView>;

    /// How far a drain is.
    fn drain(&self) -> DrainView;

    /// Begins a drain, unless one has begun.
    fn begin_drain(&self);

    /// How things stand at the gate; none while agents are not let in yet.
    fn admission(&self) -> Option<AdmissionView>;

    /// Another rate of entry, in connections a second; none: it follows the machine.
    fn set_admission_rate(&self, rate: Option<NonZeroU32>);
}

/// Whether agents should be sent here, and if not, why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Why not, in sentences for people. None: ready.
    pub reasons: Vec<String>,
    /// The servers, as in the configuration.
    pub servers: Vec<ServerView>,
}

impl Readiness {
    /// Whether nothing speaks against it.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerView {
    /// Its name in the configuration.
    pub name: String,
    /// Whether a link to it is up, or the last dial succeeded.
    pub reachable: bool,
    /// Whether agents are sent to it.
    pub available: bool,
    /// Sessions that wait for their turn to be introduced to it again.
    pub resync_sessions: usize,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
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
    /// Messages that the server has not answered yet.
    pub unanswered: u32,
    /// Whether Seawall has all of the agent's state: `reported`, or `wanted` of the agent, or `asked`.
    pub full_state: &'static str,
    /// The fields of the agent's state that wait to be sent to the server.
    pub server_lacks: Vec<&'static str>,
    /// Bytes that wait for the agent to read them.
    pub waiting_bytes: usize,
    /// Whether it waits for its turn at its server.
    pub queued: bool,
}

/// How far a drain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrainView {
    /// `serving` (there is none), `notice`, `closing`, `cutting`, `delivering` or `drained`.
    pub phase: &'static str,
    /// Agents' connections that are yet to be closed.
    pub left: usize,
    /// Connections closed a second, at most.
    pub rate: u32,
}

/// How things stand at the gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdmissionView {
    /// Whether the rate follows the machine.
    pub automatic: bool,
    /// Connections let in a second.
    pub rate: u32,
    /// Connections that wait for their turn.
    pub parked: usize,
    /// For how many there is room at this rate.
    pub park_places: usize,
    /// Refusals held back.
    pub held: usize,
    /// Agents that may be disconnected; null: nobody knows.
    pub disconnected: Option<u64>,
    /// When the last of them will be in if the rate stays, from now; null: nobody knows.
    pub last_in_seconds: Option<f64>,
}

fn as_text<S: serde::Serializer>(uid: &InstanceUid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uid)
}
