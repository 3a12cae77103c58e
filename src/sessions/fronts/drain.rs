//! A front that drains: its agents' connections are shed, and each agent comes back at another front. Sessions stay
//! where they are.

use crate::core::drain::{AgentDrain, Candidate};
use crate::ident::InstanceUid;
use crate::sessions::Sessions;
use crate::sessions::attachment_port::{AttachmentEnd, AttachmentPort as _};
use crate::sessions::joined::Joined;

impl Sessions {
    /// The agents that are here on a WebSocket.
    pub(in crate::sessions) fn fronts_here(
        joined: &Joined,
        mut shuffle_key: impl FnMut() -> u64,
    ) -> Vec<Candidate> {
        let mut here = Vec::new();
        joined.fronts.table.for_each(|entry| {
            let state = entry.lock();
            if state.front.is_open() && !entry.is_request() {
                let (uid, active) = (entry.handle.uid, state.active);
                here.push(Candidate { uid, active, shuffle_key: shuffle_key() });
            }
        });
        here
    }

    /// An agent's connection must close, once what waits for it is written. If `patient`, it stays while its home
    /// has yet to hear or to answer something.
    pub(in crate::sessions) fn drain_front(
        &self,
        joined: &Joined,
        uid: InstanceUid,
        patient: bool,
    ) -> AgentDrain {
        let Some(entry) = joined.fronts.table.latest(uid) else { return AgentDrain::Absent };
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
    pub(in crate::sessions) fn stop_fronts(&self, joined: &Joined) {
        joined.fronts.table.for_each(|entry| {
            if !entry.is_request() {
                entry.outbox.close(&self.counters, AttachmentEnd::Stopping);
            }
        });
    }
}
