//! A front that drains: its agents' connections are shed, and each agent comes back at another front. Sessions stay
//! where they are.

use super::FrontSide;
use crate::core::drain::{AgentDrain, Candidate};
use crate::ident::InstanceUid;
use crate::sessions::attachment_port::{AttachmentEnd, AttachmentPort as _};

impl FrontSide<'_> {
    /// The agents that are here on a WebSocket.
    pub(in crate::sessions) fn here(self, mut shuffle_key: impl FnMut() -> u64) -> Vec<Candidate> {
        let mut here = Vec::new();
        self.joined.fronts.table.for_each(|entry| {
            let state = entry.lock();
            if state.front.is_open() && !entry.is_request() {
                let (uid, active) = (entry.handle.uid, state.active);
                here.push(Candidate { uid, active, shuffle_key: shuffle_key() });
            }
        });
        here
    }

    /// Whether the agent has a WebSocket here that is to stay.
    pub(in crate::sessions) fn is_here(self, uid: InstanceUid) -> bool {
        self.joined.fronts.table.latest(uid).is_some_and(|entry| {
            let state = entry.lock();
            state.front.is_open() && !state.drains && !entry.is_request()
        })
    }

    /// An agent's connection must close, once what waits for it is written. If `patient`, it stays while its home
    /// has yet to hear or to answer something.
    pub(in crate::sessions) fn drain_agent(self, uid: InstanceUid, patient: bool) -> AgentDrain {
        let Some(entry) = self.joined.fronts.table.latest(uid) else { return AgentDrain::Absent };
        let mut state = entry.lock();
        if entry.is_request() || state.drains || !state.front.is_open() {
            return AgentDrain::Absent;
        }
        if patient && !state.front.is_settled() {
            return AgentDrain::Pending;
        }
        state.drains = true;
        entry.outbox.close_when_written();
        AgentDrain::Closing
    }

    /// Tells every connection to close.
    pub(in crate::sessions) fn stop(self) {
        self.joined.fronts.table.for_each(|entry| {
            if !entry.is_request() {
                entry.outbox.close(&self.joined.fronts.outboxes, AttachmentEnd::Stopping);
            }
        });
    }
}
