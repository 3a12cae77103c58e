//! The entries of a node that drains. Its agents go to other nodes, which speak for them from then on. So an
//! agent that is away is taken to be there, its server hears nothing, and nothing is said of it any more
//! that could overtake what another node says.

use super::work::Work;
use super::{Moment, Port, Presence, Session};
use crate::core::drain::AgentDrain;
use crate::ident::ConnectionId;
use crate::mutation::{Breach, is_on};

/// Which sessions a node that drains forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    /// Those of absent agents: they are elsewhere, or will be.
    Absent,
    /// All but those of agents that said goodbye, which servers are yet to hear.
    AllButLeaving,
}

impl Forgets {
    const fn includes(self, presence: Presence) -> bool {
        match self {
            Self::Absent => matches!(presence, Presence::Absent { .. }),
            Self::AllButLeaving => !matches!(presence, Presence::Disconnecting | Presence::Gone),
        }
    }
}

impl Session {
    /// The agent's connection is to close, once what waits for it is written. If `patient`, an agent
    /// stays whose server has yet to hear or answer something.
    pub fn drain<P: Port>(&mut self, patient: bool, port: &mut P) -> AgentDrain {
        if !self.attendance.is_connected() || self.drains {
            return AgentDrain::Absent;
        }
        if patient && !self.is_settled() && !is_on(Breach::DrainForgetsUnanswered) {
            return AgentDrain::Pending;
        }
        self.drains = true;
        port.close_when_written();
        AgentDrain::Closing
    }

    /// All that waited for the agent is written, and this connection closes: from here on another node speaks
    /// for it. A newer connection of the agent has an order of its own.
    pub fn drained<P: Port>(
        &mut self,
        connection: ConnectionId,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        if !self.drains || !self.attendance.is_on(connection) {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.forget_moved();
        work.finish();
    }

    /// A plain-HTTP request has its answer, and the agent's next one goes to another node.
    pub fn request_drained<P: Port>(&mut self, request: u32, moment: &Moment<'_>, port: &mut P) {
        if self.replies.request() == request && self.attendance.is_polling() {
            let mut work = Work::of(self, moment, port);
            work.forget_moved();
            work.finish();
        }
    }

    /// The node forgets some sessions. Returns whether this one is among them.
    pub fn forget<P: Port>(&mut self, which: Forgets, moment: &Moment<'_>, port: &mut P) -> bool {
        let forgets = which.includes(self.attendance.presence());
        if forgets {
            let mut work = Work::of(self, moment, port);
            work.forget_moved();
            work.finish();
        }
        forgets
    }
}
