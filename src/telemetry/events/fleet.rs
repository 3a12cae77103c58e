//! What happens to a node of a fleet: its right to speak, the store, shards that come and go.

use std::fmt::Display;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::room::seconds;
use crate::core::ownership::{
    HoldReason, MapVersion, NodeIncarnation, NodeName, ShardId, Standing, StoreCall,
};
use crate::telemetry::label::Label as _;
pub(crate) use crate::telemetry::labels::fleet::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::ownership";

impl StandingLabel {
    /// The word for a right to speak, or for why there is none.
    pub(crate) const fn of(standing: Result<Standing, HoldReason>) -> Self {
        match standing {
            Ok(Standing::Leased) => StandingLabel::Leased,
            Ok(Standing::Confirmed) => StandingLabel::Confirmed,
            Ok(Standing::Lone) => StandingLabel::Lone,
            Err(HoldReason::NoMember) => StandingLabel::NoMember,
            Err(HoldReason::Unconfirmed) => StandingLabel::Unconfirmed,
            Err(HoldReason::InDoubt) => StandingLabel::InDoubt,
            Err(HoldReason::Alone) => StandingLabel::Alone,
            Err(HoldReason::AutonomyOver) => StandingLabel::AutonomyOver,
        }
    }
}

/// The node may speak to servers from now on, or must hold still, or goes by another right.
pub(crate) struct StandingChanged {
    /// The right, or why there is none.
    pub standing: Result<Standing, HoldReason>,
}

impl StandingChanged {
    /// Logs it and shows it.
    pub(crate) fn emit(self) {
        let now = StandingLabel::of(self.standing);
        for other in StandingLabel::ALL {
            metrics().standing.with(*other).set(if *other == now { 1.0 } else { 0.0 });
        }
        match self.standing {
            Ok(Standing::Leased) => info!(target: TARGET, right = %now, "the lease counts"),
            Ok(_) => warn!(target: TARGET, right = %now, "no lease that counts"),
            // What follows for servers is logged where it is done.
            Err(_) => debug!(target: TARGET, reason = %now, "no right to speak to servers"),
        }
    }
}

/// The node has held still for some seconds more.
pub(crate) struct HeldStill {
    /// Why.
    pub reason: HoldReason,
    /// How many.
    pub seconds: u64,
}

impl HeldStill {
    /// Counts them.
    pub(crate) fn emit(self) {
        metrics().held_still.with(self.reason).increment(self.seconds);
    }
}

impl StoreCallKind {
    /// What a call is for.
    pub(crate) const fn of(call: &StoreCall) -> Self {
        match call {
            StoreCall::Read => StoreCallKind::Read,
            StoreCall::Renew(_) => StoreCallKind::Renew,
            StoreCall::Change(_) => StoreCallKind::Change,
        }
    }
}

/// The store has answered.
pub(crate) struct StoreAnswered {
    /// What it was called for.
    pub call: StoreCallKind,
    /// How long it took.
    pub took: Duration,
    /// It had failed before.
    pub again: bool,
}

impl StoreAnswered {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().shared_store_calls.with(self.call, StoreCallResult::Answered).increment(1);
        metrics().shared_store_seconds.record(self.took);
        if self.again {
            info!(target: TARGET, "the store answers again");
        }
    }
}

/// A call to the store came to nothing.
pub(crate) struct StoreFailed<'a> {
    /// What the store was called for.
    pub call: StoreCallKind,
    /// How.
    pub result: StoreCallResult,
    /// In words.
    pub error: &'a dyn Display,
    /// Whose fault it is.
    pub fault: &'static str,
    /// The first since it answered last is logged at the default level.
    pub first: bool,
}

impl StoreFailed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().shared_store_calls.with(self.call, self.result).increment(1);
        let Self { error, fault, .. } = self;
        if self.first {
            warn!(target: TARGET, %error, fault, "a call to the store that nodes share came to nothing");
        } else {
            debug!(target: TARGET, %error, fault, "a call to the store came to nothing");
        }
    }
}

/// Members or homes are other ones than before.
pub(crate) struct MapFollowed {
    /// The version.
    pub version: MapVersion,
    /// How many members there are.
    pub members: usize,
    /// Shards at home here.
    pub held: usize,
    /// Shards at home nowhere.
    pub vacant: usize,
}

impl MapFollowed {
    /// Logs it and shows it.
    #[allow(clippy::cast_precision_loss)] // A version is below 2^53, the others are few.
    pub(crate) fn emit(self) {
        let Self { version, members, held, vacant } = self;
        metrics().map_version.set(version.0 as f64);
        metrics().fleet_members.set(members as f64);
        metrics().shards_held.set(held as f64);
        metrics().shards_vacant.set(vacant as f64);
        debug!(target: TARGET, version = version.0, members, held, vacant, "map");
    }
}

/// Something happened to a shard.
pub(crate) struct ShardStepped {
    /// The shard.
    pub shard: ShardId,
    /// What.
    pub step: ShardStep,
}

impl ShardStepped {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().shard_steps.with(self.step).increment(1);
        debug!(target: TARGET, shard = self.shard.get(), step = %self.step, "shard");
    }
}

/// A shard's hand-over is over, on this node's side.
pub(crate) struct HandOverEnded {
    /// The shard.
    pub shard: ShardId,
    /// How it ended.
    pub result: HandOverResult,
    /// Since the shard was frozen, or since its sessions were expected.
    pub took: Duration,
}

impl HandOverEnded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().hand_overs.with(self.result).increment(1);
        // Of the two nodes the one whose agents waited tells how long.
        if matches!(self.result, HandOverResult::Given | HandOverResult::Stayed) {
            metrics().hand_over_seconds.record(self.took);
        }
        let (shard, result) = (self.shard.get(), self.result);
        debug!(target: TARGET, shard, %result, took_seconds = seconds(self.took), "hand-over");
    }
}

/// Shards have their home here from now on, and their former home has handed none of their sessions over.
pub(crate) struct TookOver {
    /// How many.
    pub shards: usize,
    /// Shards at home here, with them.
    pub held: usize,
}

impl TookOver {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { shards, held } = self;
        info!(
            target: TARGET,
            shards,
            held,
            "took over shards of a node that is gone: their agents are announced to servers anew"
        );
    }
}

/// The node was taken over, and begins anew.
pub(crate) struct NewIncarnation {
    /// The life that has ended.
    pub before: NodeIncarnation,
    /// The shards that it had.
    pub shards: usize,
}

impl NewIncarnation {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().new_incarnations.increment(1);
        let Self { before, shards } = self;
        warn!(
            target: TARGET,
            %before,
            shards,
            "this node was taken over while it was silent: it closes its links to servers and begins anew; \
             its agents' connections stay"
        );
    }
}

/// A node that was taken over cannot begin anew: it serves its agents without a word to servers until it is
/// started again. This machine's fault.
pub(crate) struct LifeFailed<'a> {
    /// What the system says.
    pub error: &'a dyn Display,
}

impl LifeFailed<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        tracing::error!(target: TARGET, error = %self.error, "no new incarnation: restart this node");
    }
}

/// A node that was taken over cannot listen for the others yet. It tries again until it can.
pub(crate) struct LinksFailed<'a> {
    /// What the system says.
    pub error: &'a dyn Display,
}

impl LinksFailed<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        warn!(
            target: TARGET,
            error = %self.error,
            "no node links yet: the former ones still hold the address; trying again"
        );
    }
}

/// It can.
pub(crate) struct LinksBack;

impl LinksBack {
    /// Logs it.
    pub(crate) fn emit(self) {
        info!(target: TARGET, "listening for other nodes again");
    }
}

/// Settings that must agree differ among live nodes.
pub(crate) struct SettingsDiffer<'a> {
    /// The nodes whose settings differ from this one's.
    pub nodes: &'a [NodeName],
}

impl SettingsDiffer<'_> {
    /// Logs and shows it.
    #[allow(clippy::cast_precision_loss)] // Nodes are few.
    pub(crate) fn emit(self) {
        metrics().settings_differ.set(self.nodes.len() as f64);
        if self.nodes.is_empty() {
            info!(target: TARGET, "all nodes have the same settings again");
            return;
        }
        let nodes: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        warn!(
            target: TARGET,
            nodes = nodes.join(", "),
            "nodes differ from this one where all must agree (servers, sessions.volatile, sessions.grace_period, \
             admission.rate, ownership.lease, ownership.autonomy): agents are treated by different rules"
        );
    }
}

/// A message of another node is malformed.
pub(crate) struct NodeMessageMalformed<'a> {
    /// The node's name.
    pub peer: &'a str,
    /// What it got wrong.
    pub error: &'a dyn Display,
}

impl NodeMessageMalformed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().node_messages_malformed.increment(1);
        let Self { peer, error } = self;
        warn!(target: TARGET, peer, %error, fault = "the peer", "message of a node passed over");
    }
}

/// The node is a member no longer, by its own will.
pub(crate) struct FleetLeft {
    /// Whether there can be others.
    pub(crate) is_shared: bool,
}

impl FleetLeft {
    /// Logs it.
    pub(crate) fn emit(self) {
        if self.is_shared {
            info!(target: TARGET, "left the fleet");
        }
    }
}
