//! What an operator may see of sessions, and of agents' connections whose sessions are elsewhere.

use std::collections::BTreeSet;

use super::entry::SessionEntry;
use super::fronts::FrontEntry;
use super::{SessionInfo, Sessions};
use crate::core::node_link::AgentConnection;
use crate::core::ownership::NodeIncarnation;
use crate::core::session::Presence;
use crate::ident::InstanceUid;

/// An agent that this node has to do with.
#[derive(Debug, Clone)]
pub enum AgentHere {
    /// Its session is here.
    Home {
        /// The session.
        session: SessionInfo,
        /// Whether its connection ends here, too.
        is_front: bool,
    },
    /// Its connection ends here, and its session is at another node, or has yet to begin.
    Front(ConnectionInfo),
}

/// A connection of an agent to this node as its front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The agent.
    pub uid: InstanceUid,
    /// How it is connected.
    pub transport: AgentConnection,
    /// Whether the connection is open, as far as is known.
    pub is_open: bool,
    /// Whether the session's home has it.
    pub is_attached: bool,
    /// Bytes of what the agent said, held until the home has it.
    pub held_bytes: usize,
}

/// What a node is for agents, in numbers. One whose front and home are the same node counts for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentCounts {
    /// Agents whose connections end here.
    pub as_front: i64,
    /// Sessions whose agents are connected, at whatever node.
    pub as_home: i64,
    /// Sessions whose agents are absent.
    pub absent: i64,
}

/// What an operator asks of agents. Each answer is taken at one instant.
#[derive(Clone, Copy)]
pub struct AgentsSeen<'a>(&'a Sessions);

impl Sessions {
    /// One session.
    pub fn info(&self, uid: InstanceUid) -> Option<SessionInfo> {
        self.find(uid).map(|entry| describe(&entry))
    }

    /// What this node knows of agents, as their home and as their front.
    pub const fn agents(&self) -> AgentsSeen<'_> {
        AgentsSeen(self)
    }
}

impl AgentsSeen<'_> {
    /// The latest connection of this agent to this node, if the node is one of a fleet.
    pub fn connection(self, uid: InstanceUid) -> Option<ConnectionInfo> {
        self.0.joined.get()?.fronts.latest(uid).map(|entry| describe_connection(&entry))
    }

    /// The node where the connection ends that has this agent's session; `None`: it has none, or this node is alone.
    pub fn front_of(self, uid: InstanceUid) -> Option<NodeIncarnation> {
        self.0.find(uid)?.peek().far.as_ref()?.front()
    }

    /// What this node is for agents.
    pub fn counts(self) -> AgentCounts {
        let (as_home, absent) = (self.0.counters.connected(), self.0.counters.absent());
        let as_front = self.0.joined.get().map_or(as_home, |joined| joined.fronts.connected());
        AgentCounts { as_front, as_home, absent }
    }

    /// Up to `limit` agents in the order of their uids, from the first after `after` on. Costs a walk over
    /// all uids: for people, who look seldom.
    pub fn list(self, after: Option<InstanceUid>, limit: usize) -> Vec<AgentHere> {
        let mut uids: Vec<InstanceUid> = self
            .0
            .table
            .iter()
            .map(|entry| *entry.key())
            .filter(|uid| after.is_none_or(|after| *uid > after))
            .collect();
        if uids.len() > limit && limit > 0 {
            uids.select_nth_unstable(limit - 1);
        }
        uids.truncate(limit);
        let mut uids: BTreeSet<InstanceUid> = uids.into_iter().collect();
        if let Some(joined) = self.0.joined.get() {
            joined.fronts.for_each_after(after, |uid| {
                uids.insert(uid);
                // The last ones are beyond the page.
                if uids.len() > limit {
                    uids.pop_last();
                }
            });
        }
        uids.into_iter().filter_map(|uid| self.agent_here(uid)).collect()
    }

    fn agent_here(self, uid: InstanceUid) -> Option<AgentHere> {
        let connection = self.connection(uid);
        match self.0.info(uid) {
            Some(session) => {
                let is_there = matches!(
                    session.presence,
                    Presence::Connected { .. } | Presence::Polling { .. }
                );
                let is_front = self.0.joined.get().map_or(is_there, |_| connection.is_some());
                Some(AgentHere::Home { session, is_front })
            }
            None => connection.map(AgentHere::Front),
        }
    }
}

fn describe(entry: &SessionEntry) -> SessionInfo {
    let state = entry.peek();
    state.session.info(state.connection_bytes())
}

fn describe_connection(entry: &FrontEntry) -> ConnectionInfo {
    let (uid, transport) = (entry.uid(), entry.transport());
    let (is_open, is_attached, held_bytes) = entry.figures();
    ConnectionInfo { uid, transport, is_open, is_attached, held_bytes }
}
