//! What only servers over plain HTTP need of a session: to be asked on its agent's behalf whether there is
//! something for it, and to hear that a message came to nothing.

use std::time::Duration;

use super::Sessions;
use super::slot::SlotState;
use crate::clock;
use crate::core::session::{Answer, Route};
use crate::ident::{InstanceUid, ServerId};

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The session waits for its turn.
    Due,
    /// The server has heard of the agent lately, or is about to.
    NotYet,
    /// The agent is not there, or is another server's.
    Away,
}

impl Sessions {
    /// Has the session ask `server` in its turn, unless it has heard of the agent less than `silence`
    /// ago.
    pub fn poll(&self, uid: InstanceUid, server: ServerId, silence: Duration) -> Polled {
        let Some(slot) = self.find(uid) else { return Polled::Away };
        let mut slot = slot.lock(&self.tally);
        let here = self.uplink.route(uid).is_some_and(|route| route.link.server == server);
        if slot.removed || !here || !slot.session.is_kept() {
            return Polled::Away;
        }
        if !slot.session.poll_server(silence, clock::now()) {
            return Polled::NotYet;
        }
        self.finish(uid, slot);
        Polled::Due
    }

    /// A message that went out on `from` came to nothing, outside of OpAMP: the connection broke, or a
    /// status of HTTP says so. `again`: what it said is to be sent once more, in the session's turn.
    /// Returns what that is as an answer; `None` if none was awaited any more.
    pub fn not_taken(&self, uid: InstanceUid, from: Route, again: bool) -> Option<Answer> {
        let orphaned = || self.echoes.lock().heard(uid, from, clock::now());
        let Some(slot) = self.find(uid) else { return orphaned() };
        let mut slot = slot.lock(&self.tally);
        if slot.removed {
            return orphaned();
        }
        let not_taken = slot.session.not_taken(from, again)?;
        if not_taken.acknowledge {
            self.acknowledge_in_its_place(&mut slot);
        }
        self.finish(uid, slot);
        Some(Answer::SOME)
    }

    /// The server's reply will not come: the agent, which cannot act on that, gets the gateway's.
    pub(super) fn acknowledge_in_its_place(&self, slot: &mut SlotState) {
        if slot.session.is_connected() {
            self.acknowledge(slot, 1);
        } else {
            // A waiting request writes its own acknowledgement.
            slot.wake();
        }
    }
}
