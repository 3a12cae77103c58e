//! Knows what is true, and judges.

use std::collections::BTreeMap;

use seawall::core::node_link::AttachmentId;
use seawall::ident::InstanceUid;

use super::agent::SimAgent;
use super::node::{FrontConnection, HomeEntry};

/// Which custom messages of an agent a home must take once and in order.
#[derive(Debug, Clone, Copy)]
pub(super) enum CustomOrder {
    Any,
    OfConnection,
    OfAgent,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) violation: Option<String>,
    /// Whose each offer is, and in which tenure it was made, or handed over.
    pub(super) offered_in: BTreeMap<u64, (InstanceUid, u64)>,
}

impl Oracle {
    pub(super) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// What waits for an agent is the new home's.
    pub(super) fn handed_over(&mut self, of: InstanceUid, (from, to): (u64, u64)) {
        for (uid, epoch) in self.offered_in.values_mut() {
            if *uid == of && *epoch == from {
                *epoch = to;
            }
        }
    }

    /// A connection has the session: none that is lower than one that had it.
    pub(super) fn attached(&mut self, highest: &mut Option<AttachmentId>, id: AttachmentId) {
        if highest.is_some_and(|highest| id < highest) {
            self.violated(format!("{id:?} has the session after {highest:?}"));
        }
        *highest = Some(id);
    }

    /// The agent gets a reply.
    pub(super) fn replied(&mut self, connection: &FrontConnection) {
        if connection.replied > connection.said {
            let (replied, said) = (connection.replied, connection.said);
            self.violated(format!("{replied} replies to {said} messages"));
        }
    }

    /// An offer reaches a connection.
    pub(super) fn offered(&mut self, connection: &mut FrontConnection, offer: u64) {
        if offer <= connection.last_offer {
            self.violated(format!("offer {offer} after {}", connection.last_offer));
        }
        connection.last_offer = offer;
        let (_, epoch) = self.offered_in[&offer];
        if epoch < connection.epoch {
            let of = connection.epoch;
            self.violated(format!("offer {offer} of tenure {epoch} reached one of tenure {of}"));
        }
    }

    /// Custom messages are taken once, and in the order in which they were said.
    pub(super) fn took_customs(
        &mut self,
        customs: &[u64],
        on_connection: usize,
        order: CustomOrder,
    ) {
        let last = match order {
            CustomOrder::Any => return,
            CustomOrder::OfConnection => &customs[customs.len() - on_connection..],
            CustomOrder::OfAgent => customs,
        };
        let twice = last.iter().any(|custom| customs.iter().filter(|it| *it == custom).count() > 1);
        if twice || !last.is_sorted_by(|a, b| a < b) {
            self.violated(format!("custom messages were taken as {customs:?}"));
        }
    }

    /// All has been calm for a while.
    pub(super) fn judge(&mut self, agent: &SimAgent, entry: Option<&HomeEntry>) {
        let uid = agent.uid;
        let Some(entry) = entry else { return self.violated(format!("{uid} has no session")) };
        let session = &entry.session;
        // A request that begins soon after a loss may be older than that: the agent is asked once more.
        let is_sure = agent.polls || session.is_sure();
        if !agent.polls && (!session.attached || !entry.home.is_attached()) {
            self.violated(format!("{uid} is not attached"));
        } else if !is_sure || !session.knows_all() {
            self.violated(format!("the state of {uid} is unknown"));
        } else if session.belief() != agent.truth() {
            let (belief, truth) = (session.belief(), agent.truth());
            self.violated(format!("of {uid} the session believes {belief:?}, true is {truth:?}"));
        } else if !agent.polls && session.offer.is_some() && session.offer != agent.offer {
            self.violated(format!("{uid} got {:?} last, of {:?}", agent.offer, session.offer));
        } else if !agent.polls && entry.home.unwritten_bytes() > 0 {
            self.violated(format!("something still waits for {uid}"));
        }
        for custom in &agent.calm_customs {
            if !session.customs.contains(custom) {
                self.violated(format!("custom message {custom} of {uid} is lost"));
            }
        }
    }
}
