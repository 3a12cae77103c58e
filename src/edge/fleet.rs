//! What the edge says to the other nodes of a fleet, and what it takes of their common admission rate. Which part that
//! is `core::ownership` decides.

use std::num::NonZeroU32;

use super::{AdmissionStatus, Edge};
use crate::clock;
use crate::core::admission::FleetShare;
use crate::core::ownership::Figures;

impl Edge {
    /// From now on a rate that is set is that of all nodes together. Until the first share is set, this node admits
    /// next to nothing.
    pub(crate) fn join_fleet(&self) {
        self.admission.join_fleet();
    }

    /// The fleet's rate, as the operator has set it; empty: each node follows its machine.
    pub(crate) fn fleet_rate(&self) -> Option<NonZeroU32> {
        self.admission.rate_set()
    }

    /// Sets what this node may take of the fleet's rate: several times a second, and whenever that changes.
    pub(crate) fn set_admission_share(&self, share: FleetShare) {
        self.admission.set_share(share);
    }

    /// Completes when arrivals begin to wait: then the others should hear of it at once. For one task.
    pub(crate) async fn need_begins(&self) {
        self.admission.need_begins().await;
    }

    /// Connections of agents that are admitted.
    pub(crate) fn admitted_connections(&self) -> u64 {
        self.connected(&self.admission.status())
    }

    fn connected(&self, status: &AdmissionStatus) -> u64 {
        self.open_connections().saturating_sub(status.parked + status.held) as u64
    }

    /// What the other nodes count with. Agents that are at home here and absent are the caller's to count.
    pub(crate) fn figures(&self) -> Figures {
        let status = self.admission.status();
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let told = status.expected_until;
        Figures {
            connected: number(self.connected(&status)),
            absent: 0,
            waiting: number(status.waiting),
            rate: status.rate.get(),
            need: status.need,
            told_until: told
                .map_or_else(Default::default, |at| at.saturating_duration_since(clock::now())),
            overload: u8::from(self.pressure.is_on()),
        }
    }
}
