//! One node of a fleet: the state machine that decides which shards it is home of and whether it may speak. The
//! folder's text has the rules; the parts are in files of their own.
//!
//! # How to drive it
//! 1. [`Node::new`] with a random incarnation at each start, and after each `TakeNewIncarnation`.
//! 2. [`Node::handle`] for each event, with the time on both clocks; [`super::NodeEvent::Tick`] several times a second.
//!    Carry the effects out in the order given, before the next event.
//! 3. [`Node::may_speak`] before each message to a server that concerns an agent of the shard. A machine that was
//!    stopped is found out by the first of both calls.

use std::num::NonZeroU32;
use std::time::Duration;

use super::absence::{AbsenceBegan, AbsenceEnd, ToldElsewhere};
use super::calls::Snapshot;
use super::clock_reading::ClockReading;
use super::confirmations::Confirmations;
use super::demand::Demand;
use super::events::{HoldReason, Standing};
use super::hand_over::HandOvers;
use super::ids::{NodeIncarnation, NodeName, Secret};
use super::lease::{Figures, Lease};
use super::open_call::StoreCalls;
use super::own_lease::OwnLease;
use super::params::NodeParams;
use super::patience::Patience;
use super::peers::Peers;
use super::shard::{Home, ShardId};
use super::view::{MembershipView, ViewDigest};
use super::watch::CounterWatch;
use super::went_back::WentBack;
use crate::core::admission::FleetShare;
use crate::mutation::{Breach, is_on};

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePhase {
    /// It has yet to become a member.
    Joining,
    /// It is a member.
    Member,
    /// It hands its shards over, and then ends its membership.
    Leaving,
    /// It is a member no longer.
    Gone,
}

/// See the module's text.
#[derive(Debug)]
pub struct Node {
    /// What the next renewal says of it.
    pub(super) lease: Lease,
    pub(super) params: NodeParams,
    pub(super) phase: NodePhase,
    pub(super) own: OwnLease,
    pub(super) watch: CounterWatch,
    pub(super) view: MembershipView,
    pub(super) confirmations: Confirmations,
    pub(super) peers: Peers,
    pub(super) store: WentBack,
    pub(super) calls: StoreCalls,
    pub(super) moves: HandOvers,
    pub(super) waits: Patience,
    pub(super) demand: Demand,
    pub(super) told: ToldElsewhere,
    pub(super) reported: Result<Standing, HoldReason>,
}

impl Node {
    /// A node that starts. `lease` says who it is; its counter and what it has read are set here.
    /// `spare_secret` is random.
    pub fn new(lease: Lease, params: NodeParams, spare_secret: Secret) -> Self {
        Self {
            view: MembershipView::new(lease.incarnation, params.shards),
            lease: Lease { lone_speaks: params.lone_speaks, ..lease },
            params,
            phase: NodePhase::Joining,
            own: OwnLease::default(),
            watch: CounterWatch::default(),
            confirmations: Confirmations::default(),
            peers: Peers::default(),
            store: WentBack::default(),
            calls: StoreCalls::new(),
            moves: HandOvers::default(),
            waits: Patience::new(spare_secret),
            demand: Demand::new(params.lease),
            told: ToldElsewhere::default(),
            reported: Err(HoldReason::NoMember),
        }
    }

    /// This node's incarnation.
    pub const fn incarnation(&self) -> NodeIncarnation {
        self.lease.incarnation
    }

    /// How far it is.
    pub const fn phase(&self) -> NodePhase {
        self.phase
    }

    /// Whether it was told to hand everything over. What takes its place after it was taken over must be told so, too.
    pub const fn hands_over(&self) -> bool {
        self.lease.leaving
    }

    /// The members that this node knows of.
    pub fn members(&self) -> impl Iterator<Item = NodeIncarnation> {
        self.view.heads().keys().copied()
    }

    /// The name of a member.
    pub fn name_of(&self, node: NodeIncarnation) -> Option<&NodeName> {
        self.view.heads().get(&node).map(|head| &head.name)
    }

    /// All that the store held when it was read last, with the leases of the last renewal.
    pub const fn content(&self) -> &Snapshot {
        self.view.content()
    }

    /// Changes whenever members or homes do, as far as this node knows.
    pub const fn view_digest(&self) -> ViewDigest {
        self.view.digest()
    }

    /// What the other nodes that take agents say of themselves.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Figures> {
        let me = self.lease.incarnation;
        let others = self.view.content().leases.iter();
        others.filter(move |lease| lease.incarnation != me && !lease.leaving).map(|l| &l.figures)
    }

    /// The shard's home, as far as this node knows.
    pub fn home(&self, shard: ShardId) -> Option<Home> {
        self.view.home(shard)
    }

    /// Whether this node may say something to servers for an agent of this shard.
    pub fn may_speak(&self, shard: ShardId, now: ClockReading) -> bool {
        self.is_home_of(shard) && self.standing(now).is_ok()
    }

    /// Whether this node holds the shard and is not about to hand it over.
    pub fn is_home_of(&self, shard: ShardId) -> bool {
        if is_on(Breach::OwnershipInstallsUnread) && self.moves.is_prepared(shard) {
            return true;
        }
        self.moves.is_in_use(shard)
    }

    /// By what right this node may speak to servers, or why it must hold still.
    ///
    /// # Errors
    /// Says what the right to speak is waiting for.
    pub fn standing(&self, now: ClockReading) -> Result<Standing, HoldReason> {
        if !matches!(self.phase, NodePhase::Member | NodePhase::Leaving) {
            return Err(HoldReason::NoMember);
        }
        // A shard that it asked to leave without a home may have another one already.
        if self.calls.may_have_left() && !self.moves.held().is_empty() {
            return Err(HoldReason::NoMember);
        }
        if self.lease_counts(now) {
            return Ok(Standing::Leased);
        }
        if self.is_in_doubt(now) {
            return Err(HoldReason::InDoubt);
        }
        if !self.own.is_autonomous(now, &self.params) {
            return Err(HoldReason::AutonomyOver);
        }
        if self.view.others().next().is_none() {
            let lone = self.params.lone_speaks || is_on(Breach::OwnershipLoneSpeaks);
            return if lone && self.knows_of_the_store(now) {
                Ok(Standing::Lone)
            } else {
                Err(HoldReason::Alone)
            };
        }
        if self.confirmations.come_from_all(self.view.others(), now, &self.params) {
            return Ok(Standing::Confirmed);
        }
        Err(HoldReason::Unconfirmed)
    }

    /// What this node may take of the fleet's admission rate, as the operator has set it; empty while that is
    /// unknown. Without a rate each node follows its machine, and nothing is shared.
    pub fn admission_share(
        &mut self,
        rate: Option<NonZeroU32>,
        now: ClockReading,
    ) -> Option<FleetShare> {
        self.demand.set_rate(rate.map_or(0, NonZeroU32::get));
        self.demand.share(now.monotonic)
    }

    /// When the absence of an agent at home here may end, if the agent has `grace` to come back.
    pub fn absence_end(
        &self,
        began: AbsenceBegan,
        grace: Duration,
        now: ClockReading,
    ) -> AbsenceEnd {
        self.told.end(began, grace, now.monotonic, self.params.lease)
    }

    /// Whether this node has heard of late how the store is: it has written a renewal, or has not answered. A node
    /// that was stopped asks it first, because another may have come meanwhile.
    fn knows_of_the_store(&self, now: ClockReading) -> bool {
        self.own.is_written(now, &self.params) || self.calls.is_silent(now, &self.params)
    }

    /// Whether the store's word counts, and gives this node a valid lease: the map of this run is read, and the
    /// node need not fear that it was taken over unnoticed.
    pub(super) fn lease_counts(&self, now: ClockReading) -> bool {
        let away = self.store.is_away(now.monotonic, &self.params);
        let trusts = is_on(Breach::OwnershipTrustsStoreThatWentBack);
        let read = self.store.run() == Some(self.view.content().run) && !self.store.is_unread();
        let read = read || trusts;
        !away && read && self.own.is_valid(now, &self.params) && !self.is_in_doubt(now)
    }

    /// Whether the others may have taken this node over while it was silent. Or the store has forgotten it and has
    /// other members.
    fn is_in_doubt(&self, now: ClockReading) -> bool {
        self.store.strangers.may_have_shards()
            || self.store.doubt.is_open(now.monotonic, &self.params)
    }
}
