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
        // The home may be about to confirm by a reply. It confirms at once what it hears again.
        self.held.repeat_newest();
        self.send(port);
        self.leave_if_done(moment, port);
    }

    pub(super) fn leave_if_done<P: FrontPort>(&mut self, moment: &FrontMoment<'_>, port: &mut P) {
        if self.held.is_empty() {
            self.leave(moment, port);
        }
    }

    pub(super) fn leave_if_reached<P: FrontPort>(
        &mut self,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.way != Way::Away {
            self.leave(moment, port);
        }
    }

    /// Ends a connection that is closed. A home that is out of reach will hear that the front has it no more.
    pub(super) fn leave<P: FrontPort>(&mut self, moment: &FrontMoment<'_>, port: &mut P) {
        if let ConnectionStage::Leaving { reason, .. } | ConnectionStage::Missed { reason, .. } =
            self.stage
        {
            self.end(reason, moment, port);
        }
    }

    /// Tells the home that the connection is over. If something that it said is lost with it, that may have to be
    /// told again.
    pub(super) fn end<P: FrontPort>(
        &mut self,
        reason: DetachReason,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        let missed = self.held.is_any_lost() || self.is_late;
        let detach = Detach { reason, heartbeats: self.held.heartbeats(), missed };
        if let Way::Attached { home, .. } | Way::Attaching { home, .. } = self.way {
            port.to_home(home.node, &ToHome::Detach(self.handle, detach));
        }
        self.held.give_up();
        self.stage = if missed {
            ConnectionStage::Missed { reason, until: moment.now + moment.policy.leaving_max }
        } else {
            ConnectionStage::Over
        };
    }
}
