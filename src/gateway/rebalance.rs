//! Carries rebalancing out: `core::rebalance` says what comes next, and here it is done. What connections there are the
//! edge and the leases know, and what a step means for an agent the sessions.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::drain::NodeDrain;
use super::share::connections;
use crate::admin::RebalanceView;
use crate::clock;
use crate::core::drain::DrainPhase;
use crate::core::rebalance::{FleetConnections, Rebalance, RebalanceStep, RebalanceTerms};
use crate::edge::Edge;
use crate::fleet::Fleet;
use crate::sessions::{Sessions, is_connected};
use crate::telemetry::Label as _;
use crate::telemetry::events::rebalance::{
    AgentShed, RebalanceBegun, RebalanceEnded, RebalanceMeasured,
};

/// After this many steps other tasks may run.
const STEPS_AT_ONCE: u32 = 256;

/// What it takes to rebalance.
pub(super) struct RebalanceParts {
    pub(super) edge: Arc<Edge>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) drain: Arc<NodeDrain>,
}

/// The node's rebalancing, which most of the time does nothing.
pub(super) struct NodeRebalance {
    rebalance: Mutex<Rebalance>,
    ordered: Notify,
    seen: Mutex<Option<FleetConnections>>,
}

impl NodeRebalance {
    pub(super) fn new(terms: RebalanceTerms) -> Arc<Self> {
        let rebalance = Mutex::new(Rebalance::new(terms));
        Arc::new(Self { rebalance, ordered: Notify::new(), seen: Mutex::new(None) })
    }

    /// An operator begins it, or ends it.
    pub(super) fn order(&self, begin: bool) {
        {
            let mut rebalance = self.rebalance.lock();
            if begin { rebalance.begin() } else { rebalance.stop() }
        }
        self.ordered.notify_one();
    }

    pub(super) fn view(&self) -> RebalanceView {
        let status = self.rebalance.lock().status();
        let seen = *self.seen.lock();
        RebalanceView {
            shedding: status.shedding,
            connections: seen.map_or(0, |seen| seen.here),
            share: seen.map_or(0, FleetConnections::share),
            closed: status.shed,
            came_back: status.came_back,
            rate: status.rate,
            ended: status.end.map(|end| end.as_str()),
        }
    }

    /// Rebalances whenever it is ordered or due, until the node drains.
    pub(super) async fn run(self: Arc<Self>, parts: RebalanceParts) {
        let RebalanceParts { edge, sessions, fleet, drain } = parts;
        let (mut shedding, mut steps) = (false, 0);
        while drain.phase() == DrainPhase::Serving {
            let (now, seen) = (clock::now(), connections(&edge, &fleet));
            *self.seen.lock() = Some(seen);
            let (step, status) = {
                let mut rebalance = self.rebalance.lock();
                (rebalance.next(seen, now), rebalance.status())
            };
            if status.shedding && !std::mem::replace(&mut shedding, status.shedding) {
                RebalanceBegun { connections: seen.here, share: seen.share() }.emit();
            }
            shedding = status.shedding;
            match step {
                RebalanceStep::Wait(until) => {
                    RebalanceMeasured { shedding }.emit();
                    let wait = until.saturating_duration_since(now);
                    let _ = timeout(wait, self.ordered.notified()).await;
                }
                RebalanceStep::Census => {
                    self.rebalance.lock().line_up(sessions.here(rand::random), now);
                }
                RebalanceStep::Close(uid) => {
                    let outcome = sessions.drain_agent(uid, true);
                    self.rebalance.lock().closed(uid, outcome, now);
                    AgentShed { outcome }.emit();
                }
                RebalanceStep::Look(uid) => {
                    self.rebalance.lock().looked(is_connected(&sessions, uid));
                }
                RebalanceStep::Over(end) => {
                    let RebalanceView { closed, came_back, .. } = self.view();
                    RebalanceEnded { end, closed, came_back }.emit();
                }
            }
            steps += 1;
            if steps % STEPS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        RebalanceMeasured { shedding: false }.emit();
    }
}
