//! What an operator sees of the fleet: this node's view of it, and what the nodes say of themselves, this one
//! included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::GatewayView;
use crate::admin::View as _;
use crate::admin::cluster::{
    AgentsHere, ClusterView, LeaseFigures, LeaseView, NodeReport, NodeView, ShardsHere, ShareView,
    StoreView,
};
use crate::core::ownership::{
    HoldReason, Lease, MemberOutline, NodeIncarnation, NodeOutline, NodePhase, SHARDS, Standing,
};
use crate::fleet::{Inquiry, NoAnswer, NodeAnswers};
use crate::sessions::Ways as _;
use crate::telemetry::Label as _;
use crate::telemetry::events::fleet::StandingLabel;

/// How long another node has to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

impl GatewayView {
    /// The fleet as this node sees it, and what each node says of itself.
    pub(super) fn fleet_view(&self) -> ClusterView {
        let outline = self.fleet.outline();
        let me = self.fleet.incarnation();
        let own = self.report(&outline);
        let members = outline.members.iter().map(|member| member.head.incarnation);
        let mut answers = self.ask_all(members.filter(|member| *member != me).collect());
        answers.insert(me, Ok(own));
        let mut nodes: Vec<NodeView> = Vec::new();
        for member in &outline.members {
            let (report, silence) = said(answers.remove(&member.head.incarnation));
            nodes.push(NodeView {
                name: member.head.name.to_string(),
                incarnation: member.head.incarnation.to_string(),
                is_asked: member.head.incarnation == me,
                lease: Some(self.lease(member)),
                shards: member.shards as u64,
                report,
                silence,
            });
        }
        // This node, if it is no member yet, or no longer.
        if let Some(own) = answers.remove(&me) {
            let (report, silence) = said(Some(own));
            let (name, incarnation) = (self.fleet.name().to_string(), me.to_string());
            let node = NodeView {
                name,
                incarnation,
                is_asked: true,
                report,
                silence,
                ..NodeView::default()
            };
            nodes.push(node);
        }
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let sending = |node: &NodeView| node.report.as_ref().map_or(0, |it| it.shards.sending);
        ClusterView {
            asked: self.fleet.name().to_string(),
            attention: Vec::new(),
            map_version: outline.version.0,
            shards: u64::from(SHARDS),
            homeless_shards: outline.homeless as u64,
            moving_shards: nodes.iter().map(sending).sum(),
            nodes,
        }
        .with_attention()
    }

    /// What this node says of itself.
    fn report(&self, outline: &NodeOutline) -> NodeReport {
        let me = self.fleet.incarnation();
        let links = self.fleet.linked();
        let others = outline.members.iter().filter(|member| member.head.incarnation != me);
        let (linked, unlinked): (Vec<_>, Vec<_>) =
            others.partition(|member| links.contains(&member.head.incarnation));
        let names = |members: Vec<&MemberOutline>| {
            members.iter().map(|member| member.head.name.to_string()).collect()
        };
        let own = outline.members.iter().find(|member| member.head.incarnation == me);
        let agents = self.sessions.agents().counts();
        let count = |agents: i64| u64::try_from(agents).unwrap_or(0);
        NodeReport {
            software: env!("CARGO_PKG_VERSION").to_owned(),
            phase: phase(outline.phase).to_owned(),
            unready: self.readiness().reasons,
            may_speak: outline.standing.is_ok(),
            standing: StandingLabel::of(outline.standing).as_str().to_owned(),
            why: why(outline.standing).to_owned(),
            map_version: outline.version.0,
            linked: names(linked),
            unlinked: names(unlinked),
            agents: AgentsHere {
                as_front: count(agents.as_front),
                as_home: count(agents.as_home),
                absent: count(agents.absent),
            },
            shards: ShardsHere {
                held: own.map_or(0, |own| own.shards as u64),
                sending: outline.sending as u64,
                receiving: outline.receiving as u64,
            },
            admission: self.share(),
            store: self.store(outline),
        }
    }

    fn share(&self) -> Option<ShareView> {
        let edge = self.edge.get()?;
        let figures = edge.figures();
        let fleet_rate = edge.fleet_rate().filter(|_| self.fleet.is_shared());
        Some(ShareView {
            rate: figures.rate,
            need: figures.need,
            waiting: u64::from(figures.waiting),
            fleet_rate: fleet_rate.map(std::num::NonZeroU32::get),
        })
    }

    fn store(&self, outline: &NodeOutline) -> StoreView {
        let (place, figures) = (self.fleet.store_place(), self.fleet.store_figures());
        let run = outline.run.filter(|_| self.fleet.is_shared());
        StoreView {
            kind: place.kind.to_owned(),
            addresses: place.addresses,
            connected: place.connected,
            run: run.map(|run| format!("{:032x}", run.0)),
            is_away: outline.store_is_away,
            calls: figures.calls,
            failures: figures.failures,
            failing: figures.failing,
        }
    }

    fn lease(&self, member: &MemberOutline) -> LeaseView {
        let MemberOutline { head, lease, still, .. } = member;
        let lease = lease.as_ref();
        let figures = lease.map(|lease| lease.figures).unwrap_or_default();
        LeaseView {
            counter: head.counter.0,
            still_seconds: still.map(|still| still.as_secs_f64()),
            read_version: head.read.0,
            address: lease.and_then(|lease| lease.address).map(|address| address.to_string()),
            software: lease.map(|lease| lease.software.to_string()),
            is_leaving: lease.is_some_and(|lease| lease.leaving),
            settings_differ: lease.is_some_and(|lease| self.settings_differ(lease)),
            figures: LeaseFigures {
                connected: figures.connected,
                absent: figures.absent,
                waiting: figures.waiting,
                rate: figures.rate,
                need: figures.need,
            },
        }
    }

    fn settings_differ(&self, lease: &Lease) -> bool {
        lease.incarnation != self.fleet.incarnation() && self.fleet.differs(lease)
    }

    /// Asks all of them at once.
    fn ask_all(
        &self,
        nodes: Vec<NodeIncarnation>,
    ) -> BTreeMap<NodeIncarnation, Result<NodeReport, String>> {
        let mut asks = JoinSet::new();
        let runtime = Handle::current();
        for node in nodes {
            let fleet = Arc::clone(&self.fleet);
            let ask = async move { (node, fleet.ask(node, Inquiry::Node, PATIENCE).await) };
            asks.spawn_on(ask, &runtime);
        }
        let answers = runtime.block_on(asks.join_all());
        answers.into_iter().map(|(node, answer)| (node, read(answer))).collect()
    }
}

/// A node's answer, or its silence.
fn said(answer: Option<Result<NodeReport, String>>) -> (Option<NodeReport>, Option<String>) {
    match answer {
        Some(Ok(report)) => (Some(report), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Result<Vec<u8>, NoAnswer>) -> Result<T, String> {
    let answer = answer.map_err(|why| why.to_string())?;
    serde_json::from_slice(&answer).map_err(|error| format!("its answer cannot be read: {error}"))
}

const fn phase(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Joining => "joining",
        NodePhase::Member => "member",
        NodePhase::Leaving => "leaving",
        NodePhase::Gone => "gone",
    }
}

/// By what right a node speaks to servers, or why it holds still, in a sentence.
const fn why(standing: Result<Standing, HoldReason>) -> &'static str {
    match standing {
        Ok(Standing::Leased) => "its lease is valid",
        Ok(Standing::Confirmed) => "every other node confirms it",
        Ok(Standing::Lone) => "as the only node it may go on (ownership.lone)",
        Err(HoldReason::NoMember) => "it is no member of the fleet",
        Err(HoldReason::Unconfirmed) => {
            "its lease does not count, and some other node does not confirm it"
        }
        Err(HoldReason::InDoubt) => {
            "the store may have gone back while this node was silent, so that another node may have its shards"
        }
        Err(HoldReason::Alone) => {
            "its lease does not count, and the only node must wait for the store (ownership.lone)"
        }
        Err(HoldReason::AutonomyOver) => {
            "it has gone on without the store for as long as it may (ownership.autonomy)"
        }
    }
}

/// What other nodes ask this one.
impl NodeAnswers for GatewayView {
    fn answer(&self, inquiry: Inquiry) -> Vec<u8> {
        let answer = match inquiry {
            Inquiry::Node => serde_json::to_vec(&self.report(&self.fleet.outline())),
            Inquiry::Session(uid) => serde_json::to_vec(&self.session_at_home(uid)),
        };
        // Without an answer the other node says that this one does not know the inquiry.
        answer.unwrap_or_default()
    }
}
