//! What only servers over plain HTTP need of a session: to be asked on its agent's behalf whether there is
//! something for it, and to hear that a message came to nothing.

use std::time::Duration;

use super::Sessions;
use super::slot::SlotState;
use crate::clock;
use crate::core::session::{Answer, Route};
use crate::ident::{InstanceUid, ServerId};
use crate::opamp::server::ServerScan;
use crate::opamp::splice;

/// A message by which a server is asked whether it is of use again. It says nothing of the agent's state.
#[derive(Debug)]
pub struct Probe {
    /// It introduces its agent: the session awaits the answer. Else it says that the agent has left,
    /// and nobody does.
    pub introduces: bool,
    /// The message, without a header.
    pub body: Vec<u8>,
}

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

    /// A message for `server` on behalf of this agent, while no other message goes there. An agent that was
    /// moved away takes its leave, as it could not then; the number is the next one, which the
    /// server that the agent is at now will hear. `None`: the agent is not here.
    pub fn probe(&self, uid: InstanceUid, server: ServerId) -> Option<Probe> {
        let slot = self.find(uid)?;
        let mut slot = slot.lock(&self.tally);
        // Whose node leaves is another node's, and may be at that server again.
        if slot.removed || slot.draining || self.is_draining() || !slot.session.is_kept() {
            return None;
        }
        let route = self.uplink.route(uid)?;
        let mut body = Vec::new();
        if route.link.server != server {
            splice::disconnect(uid, slot.session.next_number(), &mut body);
            return Some(Probe { introduces: false, body });
        }
        self.leave_old_server(&mut slot, route);
        let number = slot.session.next_number();
        splice::announce(uid, slot.session.capabilities(), number, &mut body);
        self.uplink.announced(uid, server);
        slot.session.announce_sent(route, clock::now());
        self.finish(uid, slot);
        Some(Probe { introduces: true, body })
    }

    /// A message that went out on `from` is refused by the server, outside of OpAMP. The agent is told
    /// so as if the server had said it itself, which `refusal` does (OpAMP specification, "Bad
    /// Request"). A message that said nothing, and that the agent may not even have sent, is nothing
    /// to tell it of, unless it waits for the answer.
    pub fn refused(
        &self,
        uid: InstanceUid,
        from: Route,
        refusal: &ServerScan<'_>,
        said_something: bool,
    ) -> Option<Answer> {
        let tell =
            said_something || self.find(uid).is_some_and(|slot| slot.peek().session.owed() > 0);
        if tell {
            self.from_server(uid, from, refusal).answer
        } else {
            self.not_taken(uid, from, false)
        }
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
