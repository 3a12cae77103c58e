//! The end of a connection at its front: what it said is still brought to its home, or the home is told that it is
//! lost.

use super::{ConnectionStage, FrontAttachment, FrontMoment, FrontPort, Way};
use crate::core::node_link::{Detach, DetachReason, ToHome};

impl FrontAttachment {
    /// The connection is over. What it said and the home has not confirmed is still held for a while.
    pub fn closed<P: FrontPort>(
        &mut self,
        reason: DetachReason,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.stage != ConnectionStage::Open {
            return;
        }
        if reason == DetachReason::Renamed {
            // The agent is there, and waits for the replies to what it said under its former uid.
            self.answer_here(port);
        }
        self.replies.waive();
        // Another connection may have the session by the time that this one gets in: what it says is old then.
        self.is_late = self.id.is_none();
        let until = Some(moment.now + moment.policy.leaving_max);
        self.stage = ConnectionStage::Leaving { reason, until };
        self.leave_if_done(port);
    }

    pub(super) fn leave_if_done<P: FrontPort>(&mut self, port: &mut P) {
        if self.held.is_empty() {
            self.leave(port);
        }
    }

    pub(super) fn leave_if_reached<P: FrontPort>(&mut self, port: &mut P) {
        if self.way != Way::Away {
            self.leave(port);
        }
    }

    /// Ends a connection that is closed. A home that is out of reach will hear that the front has it no more.
    pub(super) fn leave<P: FrontPort>(&mut self, port: &mut P) {
        if let ConnectionStage::Leaving { reason, .. } = self.stage {
            self.tell_detach(reason, port);
            self.stage = ConnectionStage::Over;
        }
    }

    /// Tells the home that the connection is over, and whether something that it said is lost with it.
    pub(super) fn tell_detach<P: FrontPort>(&self, reason: DetachReason, port: &mut P) {
        if let Way::Attached { home, .. } | Way::Attaching { home, .. } = self.way {
            let (heartbeats, missed) =
                (self.held.heartbeats(), self.held.is_any_lost() || self.is_late);
            let detach = Detach { reason, heartbeats, missed };
            port.to_home(home.node, &ToHome::Detach(self.handle, detach));
        }
    }
}
