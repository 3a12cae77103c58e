//! A node's gate for agents, and its share of the rate that all gates of the fleet keep to. How large that is
//! `core::ownership` decides; this carries figures one way and shares the other.

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use super::shared::Fleet;
use crate::core::admission::FleetShare;
use crate::core::ownership::Figures;

/// How often figures and shares are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How soon a gate at which agents have begun to wait learns what the store has granted.
const LOOK_SOON: Duration = Duration::from_millis(10);
/// How often it looks so soon.
const SOON: u32 = 20;

/// See the module's text.
pub trait AdmissionGate: Send + Sync {
    /// The fleet's rate, as the operator has set it; empty: this node follows its machine.
    fn rate(&self) -> Option<NonZeroU32>;

    /// What the other nodes count with.
    fn figures(&self) -> Figures;

    /// Sets what this node may take of the fleet's rate.
    fn set_share(&self, share: FleetShare);

    /// Completes when agents begin to wait.
    fn need_begins(&self) -> impl Future<Output = ()> + Send;
}

impl Fleet {
    /// What the other nodes that take agents say of themselves.
    pub fn elsewhere(&self) -> Vec<Figures> {
        self.look_at(|node| node.elsewhere().copied().collect())
    }

    /// Whether nodes share a store, so that this one may have others.
    pub fn is_shared(&self) -> bool {
        self.plane.is_some()
    }

    /// Tells the other nodes what this gate needs, and the gate what it may take, for as long as this is polled.
    pub async fn share_admission(&self, gate: &impl AdmissionGate) {
        let mut soon = 0;
        loop {
            self.set_figures(gate.figures(), false);
            if let Some(share) = self.admission_share(gate.rate()) {
                gate.set_share(share);
            }
            let again = if soon > 0 { LOOK_SOON } else { LOOK_AGAIN };
            let begins = tokio::select! {
                () = gate.need_begins() => true,
                () = tokio::time::sleep(again) => false,
            };
            soon = if begins { SOON } else { soon.saturating_sub(1) };
        }
    }
}
