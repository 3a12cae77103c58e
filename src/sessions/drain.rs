//! Sessions of a node that drains: see `core::session`'s `drain` for what becomes of each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Sessions;
use super::entry::SessionEntry;
use crate::core::drain::{AgentDrain, Candidate};
use crate::core::session::{Forgets, Presence};
use crate::ident::InstanceUid;

/// Agents for which a node that has drained could not do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftUndone {
    /// They went before their server had heard and answered everything.
    pub unacknowledged: usize,
    /// Their sessions are still at home at this node of a fleet.
    pub not_handed_over: usize,
}

impl Sessions {
    /// From now on an agent that goes is taken to have gone to another node. In a fleet its session stays at its home,
    /// which may be this node until it has handed its shards over.
    pub fn begin_drain(&self) {
        self.draining.store(self.in_fleet().is_none(), Ordering::Relaxed);
    }

    /// The agents that are here on a WebSocket; `shuffle_key` gives each a number by chance.
    pub fn here(&self, mut shuffle_key: impl FnMut() -> u64) -> Vec<Candidate> {
        if let Some(fleet) = self.in_fleet() {
            return fleet.fronts().here(shuffle_key);
        }
        let mut here = Vec::new();
        for entry in &self.table {
            let state = entry.value().peek();
            if matches!(state.session.figures().presence, Presence::Connected { .. }) {
                let active = state.session.last_sent();
                here.push(Candidate { uid: *entry.key(), active, shuffle_key: shuffle_key() });
            }
        }
        here
    }

    /// An agent's connection is to close, once what waits for it is written. If `patient`, an agent stays
    /// whose server has yet to hear or answer something.
    pub fn drain_agent(&self, uid: InstanceUid, patient: bool) -> AgentDrain {
        if let Some(fleet) = self.in_fleet() {
            return fleet.fronts().drain_agent(uid, patient);
        }
        self.with(uid, |session, _, port| session.drain(patient, port))
            .unwrap_or(AgentDrain::Absent)
    }

    /// Forgets agents that are away: they are elsewhere, or will be. In a fleet they are handed over instead.
    pub fn forget_absent(&self) {
        if self.in_fleet().is_none() {
            forget(self, Forgets::Absent);
        }
    }

    /// The last connection has closed: forgets all agents, except agents whose goodbye servers are yet
    /// to hear. In a fleet sessions that are still here could not be handed over. Their agents are connected at other
    /// nodes, which take them over when this one is gone.
    pub fn forget_drained(&self) {
        if self.in_fleet().is_none() {
            forget(self, Forgets::AllButLeaving);
        }
    }

    /// Whether another node may speak for this agent by now: then its own goodbye is all that is still said of
    /// it here.
    pub fn is_drained_from(&self, uid: InstanceUid) -> bool {
        if let Some(fleet) = self.in_fleet() {
            return fleet.moves().is_gone(uid);
        }
        self.draining.load(Ordering::Relaxed)
            && self.find(uid).is_none_or(|entry| entry.peek().session.figures().drains)
    }

    /// What the end of the drain has left undone. An agent of a lone node that is still here belongs to the first kind:
    /// its goodbye stayed unsaid.
    pub fn left_undone(&self) -> LeftUndone {
        let here = self.table.len();
        let (unsaid, not_handed_over) =
            if self.in_fleet().is_none() { (here, 0) } else { (0, here) };
        let unacknowledged = self.unacknowledged.load(Ordering::Relaxed) + unsaid;
        LeftUndone { unacknowledged, not_handed_over }
    }
}

/// Whether this agent has a WebSocket here that is to stay.
pub fn is_connected(sessions: &Sessions, uid: InstanceUid) -> bool {
    if let Some(fleet) = sessions.in_fleet() {
        return fleet.fronts().is_here(uid);
    }
    let presence = sessions.find(uid).map(|entry| entry.peek().session.figures().presence);
    matches!(presence, Some(Presence::Connected { .. }))
}

fn forget(sessions: &Sessions, which: Forgets) {
    // A session's end takes it out of the table, so the walk over the table comes first.
    let all: Vec<Arc<SessionEntry>> =
        sessions.table.iter().map(|entry| Arc::clone(entry.value())).collect();
    for entry in all {
        sessions.run(&entry, None, |session, moment, port| session.forget(which, moment, port));
    }
}
