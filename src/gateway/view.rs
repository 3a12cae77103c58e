//! What an operator sees: the gateway's parts, in administration's words. Must not know how a question
//! came.

mod cluster;
mod sessions;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::drain::NodeDrain;
use super::rebalance::NodeRebalance;
use crate::admin::cluster::ClusterView;
use crate::admin::{
    AdmissionView, AdmittedView, DrainView, ListedAgent, Readiness, RebalanceView, ServerView,
    SessionAnswer, SourceView, StormView, View,
};
use crate::clock;
use crate::core::admission::SourceCount;
use crate::core::drain::DrainPhase;
use crate::edge::{Edge, Limit, NamedSource, SlotSeries, StormRecord};
use crate::fleet::{Fleet, Progress};
use crate::ident::InstanceUid;
use crate::sessions::Sessions;
use crate::telemetry::Label as _;
use crate::telemetry::events::room::remedy;
use crate::upstream::{ServerStatus, Upstream};

/// Where in its life the gateway is. Only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Startup {
    /// Agents are admitted later: links are being dialled.
    Starting,
    /// Agents are served, or the node drains: the drain knows its phase.
    Serving,
}

/// What administration sees of the gateway.
pub(super) struct GatewayView {
    sessions: Arc<Sessions>,
    upstream: Arc<Upstream>,
    drain: Arc<NodeDrain>,
    rebalance: Arc<NodeRebalance>,
    fleet: Arc<Fleet>,
    /// Set when agents are admitted.
    edge: OnceLock<Arc<Edge>>,
    phase: AtomicU8,
}

impl GatewayView {
    pub(super) fn new(
        sessions: &Arc<Sessions>,
        upstream: &Arc<Upstream>,
        (drain, rebalance): (&Arc<NodeDrain>, &Arc<NodeRebalance>),
        fleet: &Arc<Fleet>,
    ) -> Arc<Self> {
        let phase = AtomicU8::new(Startup::Starting as u8);
        let (sessions, upstream) = (Arc::clone(sessions), Arc::clone(upstream));
        let (drain, fleet) = (Arc::clone(drain), Arc::clone(fleet));
        let edge = OnceLock::new();
        let rebalance = Arc::clone(rebalance);
        Arc::new(Self { sessions, upstream, drain, rebalance, fleet, edge, phase })
    }

    /// From now on agents are admitted.
    pub(super) fn serve(&self, edge: &Arc<Edge>) {
        let _ = self.edge.set(Arc::clone(edge));
    }

    pub(super) fn enter(&self, phase: Startup) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// Why the balancer must send agents elsewhere; the list is empty while the node is ready.
///
/// `links_rest`: the node holds still towards servers. It serves its agents meanwhile, and all nodes may hold still at one
/// time: a balancer that sent agents to none of them would make an outage of it.
fn reasons(
    phase: u8,
    progress: &Progress,
    drain: DrainPhase,
    (servers, links_rest): (&[ServerStatus], bool),
) -> Vec<String> {
    let mut reasons = Vec::new();
    match progress {
        Progress::Starting(waiting) => reasons.push(waiting.to_string()),
        _ if phase == Startup::Starting as u8 => {
            reasons.push("starting: agents are admitted in a moment".to_owned());
        }
        _ => {}
    }
    match drain {
        DrainPhase::Serving => {}
        DrainPhase::Drained => reasons.push("drained: agents are refused".to_owned()),
        _ => reasons.push("draining: agents go to other nodes".to_owned()),
    }
    // One server is enough: the agents of a server that is down move to the next.
    if !links_rest && !servers.iter().any(|server| server.reachable) {
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        reasons.push(format!("no server is reached: {}", names.join(", ")));
    }
    reasons
}

impl View for GatewayView {
    fn readiness(&self) -> Readiness {
        let status = self.upstream.status();
        let mut reasons = reasons(
            self.phase.load(Ordering::Relaxed),
            &self.fleet.progress(),
            self.drain.phase(),
            (&status, self.fleet.is_shared() && self.fleet.standing().is_err()),
        );
        let waits = self.fleet.progress() == Progress::Starting(crate::fleet::Waiting::Membership);
        if let Some(failing) = self.fleet.store_figures().failing.filter(|_| waits) {
            reasons.push(format!("its last call to the store failed: {failing}"));
        }
        if self.fleet.is_deaf() {
            reasons.push(
                "it cannot listen for other nodes yet: the address of node links is in use"
                    .to_owned(),
            );
        }
        let server = |server: ServerStatus| ServerView {
            name: server.name,
            reachable: server.reachable,
            available: server.available,
            resync_sessions: server.backlog,
        };
        let full = self.edge.get().and_then(|edge| edge.full());
        Readiness {
            reasons,
            servers: status.into_iter().map(server).collect(),
            full: full.is_some(),
            full_reason: full.map(full_reason),
        }
    }

    fn sessions(&self, after: Option<InstanceUid>, limit: usize) -> Vec<ListedAgent> {
        self.agents(after, limit)
    }

    fn session(&self, uid: InstanceUid) -> SessionAnswer {
        self.session_anywhere(uid)
    }

    fn cluster(&self) -> ClusterView {
        self.fleet_view()
    }

    fn drain(&self) -> DrainView {
        self.drain.view()
    }

    fn begin_drain(&self) {
        self.drain.begin();
    }

    fn rebalance(&self) -> Option<RebalanceView> {
        self.fleet.is_shared().then(|| self.rebalance.view())
    }

    fn order_rebalance(&self, begin: bool) {
        self.rebalance.order(begin);
    }

    fn admission(&self) -> Option<AdmissionView> {
        self.edge.get().map(|edge| {
            let fleet_rate = edge.fleet_rate().filter(|_| self.fleet.is_shared());
            describe_admission(edge, fleet_rate)
        })
    }

    fn admitted(&self) -> Option<AdmittedView> {
        self.edge.get().map(|edge| describe_admitted(edge.admitted(), clock::wall()))
    }

    fn set_admission_rate(&self, rate: Option<NonZeroU32>) {
        if let Some(edge) = self.edge.get() {
            edge.set_admission_rate(rate);
        }
    }
}

/// Why there is no room, and what to do about it.
fn full_reason(limit: Limit) -> String {
    format!("no room for another agent, by the limit on {}: {}", limit.as_str(), remedy(limit))
}

fn describe_storm(record: StormRecord) -> StormView {
    let StormRecord { length, dials, admitted, refused, longest_parked, longest_told } = record;
    StormView {
        seconds: length.as_secs_f64(),
        dials,
        admitted,
        refused,
        longest_parked_seconds: longest_parked.as_secs_f64(),
        longest_told_seconds: longest_told.as_secs_f64(),
    }
}

fn describe_sources(sources: Vec<(NamedSource, SourceCount)>) -> Vec<SourceView> {
    let describe = |(source, count): (NamedSource, SourceCount)| SourceView {
        source: source.to_string(),
        arrivals: count.arrivals,
        over_share: count.over_share,
    };
    sources.into_iter().map(describe).collect()
}

fn describe_admission(edge: &Edge, fleet_rate: Option<NonZeroU32>) -> AdmissionView {
    let (status, storms, sources) = (edge.admission(), edge.storms(), edge.top_sources());
    AdmissionView {
        automatic: status.automatic,
        rate: status.rate.get(),
        parked: status.parked,
        park_places: status.park_places,
        held: status.held,
        disconnected: status.disconnected,
        last_in_seconds: status.last_in.map(|time| time.as_secs_f64()),
        fleet_rate: fleet_rate.map(NonZeroU32::get),
        storm: storms.now.map(describe_storm),
        last_storm: storms.last.map(describe_storm),
        top_addresses: describe_sources(sources.addresses),
        top_credentials: describe_sources(sources.credentials),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn describe_admitted(series: SlotSeries, now: SystemTime) -> AdmittedView {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    AdmittedView {
        first_unix_ms: ms(now.saturating_sub(series.began)),
        slot_ms: ms(SlotSeries::SLOT),
        admitted: series.counts.into_iter().map(|count| count as u32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Waiting;

    fn server(name: &str, reachable: bool) -> ServerStatus {
        ServerStatus { name: name.to_owned(), reachable, available: reachable, backlog: 0 }
    }

    #[test]
    fn one_server_is_enough_to_be_ready() {
        let (up, down) = (server("a", true), server("b", false));
        let of = |phase: Startup, progress: Progress, drain, servers: &[ServerStatus]| {
            reasons(phase as u8, &progress, drain, (servers, false))
        };
        let (serving, none) = (Startup::Serving, DrainPhase::Serving);
        assert_eq!(of(serving, Progress::Ready, none, &[up.clone(), down.clone()]), [""; 0]);
        let only_down = of(serving, Progress::Ready, none, std::slice::from_ref(&down));
        assert_eq!(only_down, ["no server is reached: b"]);
        let holds_still = reasons(serving as u8, &Progress::Ready, none, (&[down], true));
        assert_eq!(holds_still, [""; 0], "it serves its agents");
        let up = std::slice::from_ref(&up);
        assert_eq!(of(Startup::Starting, Progress::Ready, none, up).len(), 1);
        assert_eq!(of(serving, Progress::Ready, DrainPhase::Closing, up).len(), 1);
        assert_eq!(of(serving, Progress::Ready, DrainPhase::Drained, up).len(), 1);
    }

    #[test]
    fn admissions_are_told_by_the_wall_clock() {
        let series = SlotSeries { began: Duration::from_millis(120), counts: vec![3.0, -1.0] };
        let shown = describe_admitted(series, SystemTime::UNIX_EPOCH + Duration::from_secs(9));
        let expected = AdmittedView { first_unix_ms: 8_880, slot_ms: 50, admitted: vec![3, 0] };
        assert_eq!(shown, expected, "an entry that was given back later counts as none");
    }

    #[test]
    fn a_node_that_starts_says_what_it_waits_for() {
        let starting = Progress::Starting(Waiting::Homes(7));
        let up = server("a", true);
        let phase = Startup::Starting as u8;
        let said = reasons(phase, &starting, DrainPhase::Serving, (&[up], false));
        assert_eq!(said, ["starting: 7 of 1024 shards have no home yet"]);
    }
}
