//! When everything has worked for a while: what each server believes is the truth, and every queue is
//! empty.

use std::collections::BTreeSet;

use seawall::core::pacing::Class;
use seawall::core::session;
use seawall::ident::InstanceUid;
use seawall::sessions::{AgentHere, SessionInfo};

use super::Oracle;
use super::presence::Presence;
use crate::agent::Agent;
use crate::status::{Part, uid_bytes};
use crate::world::{NodeKey, Time, World};

impl World {
    /// Compares what is with what should be.
    pub(crate) fn judge(&mut self) {
        let Some(node) = self.serving else {
            return self.oracle.fail("bounds", || "no node serves".to_owned());
        };
        let mut present = BTreeSet::new();
        for index in 0..self.agents.len() {
            let agent = &self.agents[index];
            let here = agent.running && self.oracle.is_heard(node, agent);
            if here {
                present.insert(InstanceUid::from_bytes(uid_bytes(index)));
                if agent.kind.accepts_config
                    && !self.oracle.is_muddled((node, index))
                    && !self.oracle.agents[index].offer_lost
                    && agent.truth.get(Part::Remote) != Some(self.desired[index])
                {
                    let (has, should) = (agent.truth.get(Part::Remote), self.desired[index]);
                    self.oracle.fail("R7", || {
                        format!("agent {index} has configuration {has:?}, not {should}")
                    });
                }
            }
            let place = self.place(node, index);
            for server in 0..self.servers.len() {
                self.judge_record((node, index), server, here && server == place);
            }
            let waits = self.oracle.seen((node, index)).customs.first();
            if let Some(custom) = waits {
                self.oracle.fail("order", || {
                    format!("agent {index}: custom message {custom} has not gone on")
                });
            }
        }
        self.judge_table(node, &present);
    }

    fn judge_record(&mut self, (node, agent): (NodeKey, usize), server: usize, here: bool) {
        let wants_map = self.servers[server].traits.wants_map;
        let record = self.servers[server].records.get(&agent);
        if !here {
            let stale = record.is_some_and(|record| record.connected);
            let told = self.oracle.agents[agent].told.get(&server);
            let dead = told.is_some_and(|told| !self.lines.contains_key(&told.line));
            let excused = told.is_some_and(|told| told.excused || dead && !self.oracle.alone);
            if stale && !excused {
                self.oracle
                    .fail("R8", || format!("server {server} believes that agent {agent} is there"));
            }
            return;
        }
        if self.oracle.agents[agent].overtaken {
            return;
        }
        let Some(record) = record.filter(|record| record.connected) else {
            return self.oracle.fail("R6", || {
                format!("server {server} does not know that agent {agent} is there")
            });
        };
        let (truth, believed) = (&self.agents[agent].truth, record.status);
        if self.oracle.is_muddled((node, agent)) {
            return;
        }
        for part in Part::ALL {
            if truth.get(part) != believed.get(part) {
                let (is, says) = (truth.get(part), believed.get(part));
                return self.oracle.fail("R6", || {
                    format!(
                        "server {server} believes {part:?} of agent {agent} to be {says:?}, \
                             not {is:?}"
                    )
                });
            }
        }
        if wants_map && truth.get(Part::Components).is_some() && !believed.map {
            self.oracle.fail("R4", || format!("server {server} has no component map of {agent}"));
        }
        self.judge_heartbeats(agent, server);
    }

    /// R9: a server that times agents out hears of each agent that sends heartbeats.
    fn judge_heartbeats(&mut self, agent: usize, server: usize) {
        let Some(interval) = self.agents[agent].kind.heartbeat else { return };
        let patience = self.plan.params.heartbeat_forward_interval + interval + Time::from_secs(5);
        let heard_at = self.oracle.agents[agent].told.get(&server).map(|told| told.heard_at);
        if heard_at.is_none_or(|at| self.now - at > patience) {
            self.oracle.fail("R9", || {
                format!("server {server} has not heard of agent {agent} since {heard_at:?}")
            });
        }
    }

    /// The table holds exactly the agents that are there, and all of its work is done.
    fn judge_table(&mut self, node: NodeKey, present: &BTreeSet<InstanceUid>) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        let at_home = |agent| match agent {
            AgentHere::Home { session, .. } => Some(session),
            AgentHere::Front(_) => None,
        };
        let listed = gateway.sessions.agents().list(None, usize::MAX);
        let list: Vec<SessionInfo> = listed.into_iter().filter_map(at_home).collect();
        let held: BTreeSet<InstanceUid> = list.iter().map(|info| info.uid).collect();
        let (connected, absent) = gateway.sessions.count();
        let open = gateway.wires.ends.lock().links.len();
        if held != *present {
            self.oracle.fail("bounds", || format!("sessions of {held:?}, agents {present:?}"));
        }
        if absent != 0 || usize::try_from(connected) != Ok(present.len()) {
            self.oracle.fail("bounds", || format!("{connected} connected, {absent} absent"));
        }
        let left_over = |info: &&SessionInfo| {
            // A heartbeat may have come just now; an agent that polls gets one custom message a time.
            let polls = matches!(info.presence, session::Presence::Polling { .. });
            let waits = info.waiting_bytes > 0 && !polls;
            waits || info.queued.iter().any(|class| class != Class::Announce)
        };
        if let Some(info) = list.iter().find(left_over) {
            self.oracle.fail("bounds", || format!("something is left to do: {info:?}"));
        }
        let servers = self.servers.len();
        let most = if self.plan.links == 0 {
            present.len() * servers
        } else {
            usize::from(self.plan.links) * servers
        };
        if open > most {
            self.oracle.fail("bounds", || format!("{open} links, {most} at most"));
        }
    }
}

impl Oracle {
    /// Whether what the server lacks shows nowhere.
    fn is_muddled(&self, (node, agent): (NodeKey, usize)) -> bool {
        self.nodes[&node][agent].covert || self.agents[agent].overtaken
    }

    /// Whether the gateway hears the agent where it is now.
    fn is_heard(&self, node: NodeKey, agent: &Agent) -> bool {
        match self.nodes[&node][agent.index].presence {
            Presence::Connected(wire) => agent.wire == Some(wire),
            Presence::Polling(_) => true,
            Presence::Unknown | Presence::Absent(_) | Presence::Left => false,
        }
    }
}
