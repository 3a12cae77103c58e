//! What follows for servers and sessions when the right to speak is lost or returns.

use std::sync::Arc;
use std::time::Duration;

use super::voice::{Right, SpeakGate};
use super::{Upstream, walk};
use crate::clock;
use crate::core::ownership::HoldReason;
use crate::core::server::ServerEvent;
use crate::sessions::Sessions;
use crate::telemetry::events::upstream::Silence;

impl Upstream {
    /// The node is one of a fleet: every write to a server asks this gate first, and a connection ends when a
    /// server's machine has left bytes unconfirmed for a third of the lease time. What a stopped machine has given to
    /// its system must not arrive long after others speak for its agents. Called before [`Upstream::start`].
    pub fn join_fleet(&self, gate: Arc<dyn SpeakGate>, lease_time: Duration) {
        self.servers().voice.join_fleet(gate, lease_time / 3);
    }

    /// Why the node must hold still towards servers; `None`: it may speak. Agents are served all the same, and what
    /// they say waits. When the node may speak again, links are dialled, and every session gets a permit, paced.
    pub fn hold_still(&self, why: Option<HoldReason>) {
        let voice = &self.servers().voice;
        if why.is_some() == voice.holds_still() {
            return;
        }
        Silence { why }.emit();
        let event = if why.is_some() { ServerEvent::HoldStill } else { ServerEvent::MaySpeak };
        // Servers are told first: the loss of their links is no fault of theirs.
        for server in self.servers().iter() {
            server.handle(event, clock::now());
        }
        if why.is_some() { voice.hold_still() } else { voice.speak() }
    }

    /// Ends every connection to a server at once. What waits on it is dropped unwritten, and what is under way is
    /// given up.
    pub fn drop_waiting(&self) {
        self.servers().voice.drop_waiting();
    }
}

/// Has every session wait for a permit whenever the node may speak again: what sessions tried to say meanwhile was
/// refused.
pub(super) async fn resume(mut right: Right, sessions: Arc<Sessions>) {
    let mut seen = 0;
    loop {
        right.returned(&mut seen).await;
        walk::enqueue_all(&sessions, |_| true).await;
    }
}
