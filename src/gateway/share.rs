//! The gate that shares a fleet's admission rate: the edge, and the sessions for the agents that are absent. What
//! connections the fleet has.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::core::admission::FleetShare;
use crate::core::ownership::Figures;
use crate::core::rebalance::FleetConnections;
use crate::edge::Edge;
use crate::fleet::{AdmissionGate, Fleet};
use crate::sessions::Sessions;

/// See the module's text.
pub(super) struct NodeGate {
    edge: Arc<Edge>,
    sessions: Arc<Sessions>,
}

impl NodeGate {
    /// From now on a rate that is set is the fleet's.
    pub(super) fn join_fleet(edge: &Arc<Edge>, sessions: &Arc<Sessions>) -> Self {
        edge.join_fleet();
        Self { edge: Arc::clone(edge), sessions: Arc::clone(sessions) }
    }
}

impl AdmissionGate for NodeGate {
    fn rate(&self) -> Option<NonZeroU32> {
        self.edge.fleet_rate()
    }

    fn figures(&self) -> Figures {
        let (_, absent) = self.sessions.count();
        Figures { absent: u32::try_from(absent).unwrap_or(0), ..self.edge.figures() }
    }

    fn set_share(&self, share: FleetShare) {
        self.edge.set_admission_share(share);
    }

    async fn need_begins(&self) {
        self.edge.need_begins().await;
    }
}

/// Shares admission with the other nodes, for as long as this is polled.
pub(super) async fn share_admission(fleet: Arc<Fleet>, gate: NodeGate) {
    fleet.share_admission(&gate).await;
}

/// What connections this node and the others have, and how many the others admit a second.
pub(super) fn connections(edge: &Edge, fleet: &Fleet) -> FleetConnections {
    let here = edge.admitted_connections();
    let waiting = edge.admission().waiting;
    FleetConnections::of(here, waiting, &fleet.elsewhere(), edge.fleet_rate())
}
