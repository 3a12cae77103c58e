//! Sessions of a node that drains. Its agents go to other nodes, which speak for them from then on: so
//! an agent that is away is taken to be there, its server is told nothing, and nothing is said of it
//! any more that could overtake what another node says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::slot::{Locked, Slot};
use super::{Presence, Sessions};
use crate::core::drain::{AgentDrain, Candidate};
use crate::core::session::EndReason;
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::telemetry::events::sessions::SessionEnded;

impl Sessions {
    /// From now on whoever goes is taken to have gone to another node.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Who is here on a WebSocket; `shuffle_key` gives each a number by chance.
    pub fn here(&self, mut shuffle_key: impl FnMut() -> u64) -> Vec<Candidate> {
        let mut here = Vec::new();
        for entry in &self.table {
            let slot = entry.value().peek();
            if slot.session.is_connected() {
                let active = slot.session.last_sent();
                here.push(Candidate { uid: *entry.key(), active, shuffle_key: shuffle_key() });
            }
        }
        here
    }

    /// Has an agent's connection closed, once what waits for it is written. If it is `patient`, an
    /// agent whose server has not heard or not answered all of it stays.
    pub fn drain_agent(&self, uid: InstanceUid, patient: bool) -> AgentDrain {
        let Some(slot) = self.find(uid) else { return AgentDrain::Absent };
        let mut slot = slot.lock(&self.tally);
        if !slot.session.is_connected() || slot.draining {
            return AgentDrain::Absent;
        }
        if patient && !is_settled(&slot) && !is_on(Breach::DrainForgetsUnanswered) {
            return AgentDrain::Pending;
        }
        slot.draining = true;
        slot.wake();
        AgentDrain::Closing
    }

    /// Forgets those who are away: they are elsewhere, or will be.
    pub fn forget_absent(&self) {
        self.forget(|presence| matches!(presence, Presence::Absent { .. }));
    }

    /// No connection is open any more: forgets everybody but those who said that they leave, which
    /// servers are yet to hear.
    pub fn forget_drained(&self) {
        self.forget(|presence| !matches!(presence, Presence::Disconnecting | Presence::Gone));
    }

    /// Whether another node may speak for this agent by now: nothing is said of it any more but its own
    /// goodbye.
    pub fn is_drained_from(&self, uid: InstanceUid) -> bool {
        self.is_draining() && self.find(uid).is_none_or(|slot| slot.peek().draining)
    }

    /// How many have gone of whom their server had not heard or not answered everything. At the end those
    /// belong to them whose goodbye could not be said: nobody else is left.
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged.load(Ordering::Relaxed) + self.table.len()
    }

    fn forget(&self, who: impl Fn(Presence) -> bool) {
        // Not while the table is walked: a session's end takes it out of there.
        let concerned = |slot: &Arc<Slot>| who(slot.peek().session.presence());
        let found: Vec<Arc<Slot>> = self
            .table
            .iter()
            .filter(|entry| concerned(entry.value()))
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        for slot in found {
            let slot = slot.lock(&self.tally);
            if who(slot.session.presence()) {
                self.release_drained(slot);
            }
        }
    }

    /// The agent is another node's now.
    pub(super) fn release_drained(&self, mut slot: Locked<'_>) {
        let uid = slot.session.uid();
        slot.session.waive_replies();
        if !is_settled(&slot) {
            self.unacknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if is_on(Breach::DrainTellsDisconnect) {
            slot.session.leave();
        } else {
            slot.session.gone();
        }
        SessionEnded { uid, reason: EndReason::Moved }.emit();
        self.finish(uid, slot);
    }
}

/// Whether the server has heard and answered everything, and the agent has its replies.
pub(super) fn is_settled(slot: &Locked<'_>) -> bool {
    let session = &slot.session;
    session.owed() == 0
        && session.unanswered() == 0
        && session.owed_parts().is_empty()
        && session.pending().0 == 0
}
