//! What the server believes about each agent: the merge rules of a correct OpAMP server.
//!
//! Sockets are the business of others. Fields are stored as the bytes that came; their digests are
//! made when the oracle asks.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::ServerToAgent;
use tokio::sync::mpsc;

use super::inbox::Inbox;
use crate::oracle::digest::{ABSENT, StateView, of_components, of_field};
use crate::oracle::fields::{ReportShape, StatusField};
use crate::oracle::judge::AgentLine;

/// By what the server knows an agent again, and where it pushes to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Keying {
    /// By its uid: the connection it last spoke on is its route
    #[default]
    Uid,
    /// By the connection that it first came on, as opamp-go's example does: pushes go there, and its
    /// record goes with that connection
    Link,
    /// By its uid on one connection, as opamp-fleet does: on a second one it is renamed while the
    /// first is there and has not said `agent_disconnect`
    Exclusive,
}

impl std::fmt::Display for Keying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uid => "uid",
            Self::Link => "link",
            Self::Exclusive => "exclusive",
        })
    }
}

/// A connection on which an agent can be reached.
#[derive(Debug, Clone)]
pub(crate) struct AgentRoute {
    /// The connection.
    pub(crate) connection: u64,
    /// Messages for it, encoded.
    pub(crate) outbox: mpsc::Sender<Bytes>,
}

/// One agent as the server sees it.
#[derive(Debug, Default)]
struct KnownAgent {
    fields: [Option<Box<[u8]>>; StatusField::COUNT],
    components: Option<Box<[u8]>>,
    capabilities: u64,
    last_number: u64,
    /// Something is missing or may be stale; a full report will tell.
    wants_full: bool,
    disconnected: bool,
    /// The connection of its last message; `None` for a POST.
    spoke_on: Option<u64>,
    route: Option<AgentRoute>,
    /// For an agent that comes by POST, or that has missed a push.
    inbox: Option<Inbox>,
    /// Of `fields` and `components`; `None` until it is made.
    digests: [Option<u64>; StatusField::COUNT + 1],
    offered: Option<Vec<u8>>,
}

/// What a report meant to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    /// The agent was unknown.
    pub(crate) unknown: bool,
    /// Its number was other than the expected one.
    pub(crate) gap: bool,
    /// It has to be asked for its full state.
    pub(crate) wants_full: bool,
    /// Its component map is unknown.
    pub(crate) wants_components: bool,
    /// It spoke on this connection for the first time.
    pub(crate) new_here: bool,
    /// It told its full state unasked, and all of it was known already.
    pub(crate) repeated: bool,
    /// The server had asked for its full state, and was still waiting for it.
    pub(crate) asked: bool,
    /// Another connection is the agent's: the report is left alone, and the agent is renamed.
    pub(crate) usurps: bool,
}

/// How many locks the agents are spread over.
const SHARDS: usize = 64;

/// All agents.
#[derive(Debug)]
pub(crate) struct AgentStore {
    keying: Keying,
    shards: [Mutex<HashMap<InstanceUid, KnownAgent>>; SHARDS],
}

/// Gauges of the report.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Totals {
    /// Agents known.
    pub(crate) agents: u64,
    /// Of these, agents whose state is complete.
    pub(crate) agents_complete: u64,
    /// Agents with a connection to reach them on.
    pub(crate) agents_routed: u64,
    /// Agents that said goodbye.
    pub(crate) agents_disconnected: u64,
    /// Agents that have yet to report the hash of the remote configuration last offered.
    pub(crate) offers_open: u64,
}

impl AgentStore {
    /// An empty store.
    pub(crate) fn new(keying: Keying) -> Self {
        Self { keying, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, uid: &InstanceUid) -> &Mutex<HashMap<InstanceUid, KnownAgent>> {
        &self.shards[usize::from(uid.as_bytes()[15]) % SHARDS]
    }

    /// Applies a report that came on the connection `route`.
    pub(crate) fn apply(
        &self,
        uid: InstanceUid,
        report: &ReportShape,
        route: Option<&AgentRoute>,
    ) -> Applied {
        let mut shard = self.shard(&uid).lock();
        let mut outcome = Applied { unknown: !shard.contains_key(&uid), ..Applied::default() };
        let agent = shard.entry(uid).or_default();
        if self.keying == Keying::Exclusive && agent.is_elsewhere(route) {
            return Applied { usurps: true, ..outcome };
        }
        outcome.asked = agent.wants_full && !outcome.unknown;
        outcome.gap = !outcome.unknown && report.sequence_num != agent.last_number.wrapping_add(1);
        agent.last_number = report.sequence_num;
        agent.disconnected = report.agent_disconnect.is_some();
        outcome.new_here = agent.follow(route, self.keying);
        agent.inbox = match route {
            None => Some(agent.inbox.take().unwrap_or_default()),
            Some(_) => agent.inbox.take().filter(|inbox| !inbox.is_empty()),
        };
        let is_expected = outcome.unknown || outcome.gap || outcome.new_here || agent.wants_full;
        outcome.repeated = !is_expected && report.is_full_state() && agent.holds(report);
        agent.wants_full =
            (agent.wants_full || outcome.unknown || outcome.gap) && !report.is_full();
        agent.merge(report);
        if self.keying == Keying::Exclusive && agent.disconnected {
            agent.route = None;
        }
        outcome.wants_full = agent.wants_full;
        outcome.wants_components = agent.components.is_none();
        outcome
    }

    /// Forgets an agent that said goodbye, as some servers do.
    pub(crate) fn forget(&self, uid: InstanceUid) {
        self.shard(&uid).lock().remove(&uid);
    }

    /// The connection has ended. Agents whose route it was lose it; a server that knows agents by
    /// their connection forgets them.
    pub(crate) fn lose_route(&self, uid: InstanceUid, connection: u64) {
        let mut shard = self.shard(&uid).lock();
        let Some(agent) = shard.get_mut(&uid) else { return };
        if agent.route.as_ref().is_some_and(|route| route.connection == connection) {
            agent.route = None;
            if self.keying == Keying::Link {
                shard.remove(&uid);
            }
        }
    }

    /// How to reach an agent, and a note of the hash it is about to be offered.
    pub(crate) fn offer(&self, uid: InstanceUid, hash: Option<&[u8]>) -> Option<AgentRoute> {
        let mut shard = self.shard(&uid).lock();
        let agent = shard.get_mut(&uid)?;
        if let (Some(hash), true) = (hash, agent.is_reachable()) {
            agent.offered = Some(hash.to_vec());
        }
        agent.route.clone()
    }

    /// A push waits for the agent's next message: it comes by POST, or its connection is gone and it has yet to be heard
    /// on another one. `false`: the agent is unknown, has left, or has too many.
    pub(crate) fn push_later(&self, uid: InstanceUid, push: ServerToAgent) -> bool {
        let mut shard = self.shard(&uid).lock();
        let agent = shard.get_mut(&uid).filter(|agent| !agent.disconnected);
        agent.is_some_and(|agent| agent.inbox.get_or_insert_default().put(push))
    }

    /// Adds what waits for an agent to the answer.
    pub(crate) fn add_push(&self, uid: InstanceUid, reply: &mut ServerToAgent) {
        let mut shard = self.shard(&uid).lock();
        if let Some(inbox) = shard.get_mut(&uid).and_then(|agent| agent.inbox.as_mut()) {
            inbox.add_to(reply);
        }
    }

    /// All agents that can be reached, in any order.
    pub(crate) fn reachable(&self) -> Vec<InstanceUid> {
        let of_shard = |shard: &Mutex<HashMap<InstanceUid, KnownAgent>>| {
            let shard = shard.lock();
            let reached = shard.iter().filter(|(_, agent)| agent.is_reachable());
            reached.map(|(uid, _)| *uid).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// Counts them.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shards {
            for agent in shard.lock().values() {
                totals.agents += 1;
                totals.agents_complete += u64::from(!agent.wants_full);
                totals.agents_routed += u64::from(agent.route.is_some());
                totals.agents_disconnected += u64::from(agent.disconnected);
                totals.offers_open += u64::from(agent.has_open_offer());
            }
        }
        totals
    }

    /// What is believed about all agents, one shard at a time so that the others go on.
    pub(crate) fn lines(&self, mut each: impl FnMut(&InstanceUid, AgentLine)) {
        for shard in &self.shards {
            for (uid, agent) in shard.lock().iter_mut() {
                let line = AgentLine {
                    uid: uid.to_string(),
                    view: agent.view(),
                    disconnected: agent.disconnected,
                    routed: agent.route.is_some(),
                    links: Vec::new(),
                };
                each(uid, line);
            }
        }
    }

    /// Falsifies one byte of what is stored of one agent, for `--corrupt-one`.
    pub(crate) fn corrupt(&self, uid: InstanceUid) {
        if let Some(agent) = self.shard(&uid).lock().get_mut(&uid) {
            let index = StatusField::EffectiveConfig.index();
            if let Some(last) = agent.fields[index].as_mut().and_then(|bytes| bytes.last_mut()) {
                *last ^= 1;
                agent.digests[index] = None;
            }
        }
    }
}

impl KnownAgent {
    /// Notes the connection; true if it is another one than before.
    fn follow(&mut self, route: Option<&AgentRoute>, keying: Keying) -> bool {
        let connection = route.map(|route| route.connection);
        let is_new = std::mem::replace(&mut self.spoke_on, connection) != connection;
        let is_free = keying != Keying::Link || self.route.is_none();
        let before = self.route.as_ref().map(|route| route.connection);
        if is_free && before != connection {
            self.route = route.cloned();
        }
        is_new
    }

    /// Whether it has a connection, or comes by POST.
    const fn is_reachable(&self) -> bool {
        self.route.is_some() || self.inbox.is_some() && !self.disconnected
    }

    /// Whether it has a connection other than this one.
    fn is_elsewhere(&self, route: Option<&AgentRoute>) -> bool {
        let own = self.route.as_ref().map(|route| route.connection);
        own.is_some() && own != route.map(|route| route.connection)
    }

    /// Takes over the fields that are there; absent fields are unchanged (OpAMP specification,
    /// "Agent Status Compression").
    fn merge(&mut self, report: &ReportShape) {
        self.capabilities = report.capabilities;
        for (index, field) in report.status_fields().into_iter().enumerate() {
            if let Some(bytes) = field {
                if index == StatusField::AvailableComponents.index() {
                    self.merge_components(bytes);
                }
                if replace(&mut self.fields[index], bytes) {
                    self.digests[index] = None;
                }
            }
        }
    }

    /// Whether everything in the report is known already. The order of map entries and the times in
    /// health are of no account.
    fn holds(&self, report: &ReportShape) -> bool {
        let same = |(field, bytes): (StatusField, Option<&Bytes>)| {
            let Some(bytes) = bytes else { return true };
            let held = self.fields[field.index()].as_deref();
            let digest = |held| of_field(field, held) == of_field(field, bytes);
            held.is_some_and(|held| held == bytes || digest(held))
        };
        let map = report.available_components.as_deref().map_or(ABSENT, of_components);
        let held_map = self.components.as_deref().map_or(ABSENT, of_components);
        self.capabilities == report.capabilities
            && (map == ABSENT || map == held_map)
            && StatusField::ALL.into_iter().zip(report.status_fields()).all(same)
    }

    /// A map stays valid as long as the hash does.
    fn merge_components(&mut self, bytes: &Bytes) {
        if of_components(bytes) != ABSENT {
            if replace(&mut self.components, bytes) {
                self.digests[StatusField::COUNT] = None;
            }
        } else if self.components.is_some() {
            let field = StatusField::AvailableComponents;
            let known = self.fields[field.index()].as_deref().map(|known| of_field(field, known));
            if known != Some(of_field(field, bytes)) {
                self.components = None;
                self.digests[StatusField::COUNT] = None;
            }
        }
    }

    fn view(&mut self) -> StateView {
        let mut view = StateView { capabilities: self.capabilities, ..StateView::default() };
        for field in StatusField::ALL {
            let index = field.index();
            view.fields[index] = match (&self.fields[index], self.digests[index]) {
                (None, _) => ABSENT,
                (Some(_), Some(digest)) => digest,
                (Some(bytes), None) => *self.digests[index].insert(of_field(field, bytes)),
            };
        }
        if let Some(bytes) = &self.components {
            let made = &mut self.digests[StatusField::COUNT];
            view.components = *made.get_or_insert_with(|| of_components(bytes));
        }
        view
    }

    fn has_open_offer(&self) -> bool {
        let Some(offered) = &self.offered else { return false };
        let status = self.fields[StatusField::RemoteConfigStatus.index()].as_deref();
        // The hash is the first field of the status, as every encoder writes it.
        status.is_none_or(|bytes| bytes.get(2..2 + offered.len()) != Some(offered))
    }
}

/// Puts `bytes` into `stored`; true if that changed it.
fn replace(stored: &mut Option<Box<[u8]>>, bytes: &Bytes) -> bool {
    if stored.as_deref() == Some(bytes) {
        return false;
    }
    *stored = Some(Box::from(&bytes[..]));
    true
}

#[cfg(test)]
mod tests;
