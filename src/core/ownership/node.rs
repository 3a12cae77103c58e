//! One node of a fleet: the state machine that decides which shards it is home of and whether it may speak. The
//! folder's text has the rules; the parts are in files of their own.
//!
//! # How to drive it
//! 1. [`Node::new`] with a random incarnation at each start, and after each `TakeNewIncarnation`.
//! 2. [`Node::handle`] for each event, with the time on both clocks; [`NodeEvent::Tick`] several times a second.
//!    Carry the effects out in the order given, before the next event.
//! 3. [`Node::may_speak`] before each message to a server that concerns an agent of the shard. A machine that was
//!    stopped is found out by the first of both calls.

use std::time::Duration;

use super::absence::{AbsenceBegan, AbsenceEnd, ToldElsewhere};
use super::calls::StoreAnswer;
use super::confirmations::Confirmations;
use super::demand::Demand;
use super::events::{CallId, HoldReason, NodeEffect, NodeEvent, Standing};
use super::hand_over::HandOvers;
use super::ids::{NodeIncarnation, RunId, Secret};
use super::lease::Lease;
use super::moment::Moment;
use super::open_call::StoreCalls;
use super::own_lease::OwnLease;
use super::params::NodeParams;
use super::patience::Patience;
use super::peers::Peers;
use super::shard::{Home, ShardId};
use super::view::MembershipView;
use super::watch::CounterWatch;
use super::went_back::WentBack;
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
            demand: Demand::default(),
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

    /// The members that this node knows of.
    pub fn members(&self) -> impl Iterator<Item = NodeIncarnation> {
        self.view.heads().keys().copied()
    }

    /// The shard's home, as far as this node knows.
    pub fn home(&self, shard: ShardId) -> Option<Home> {
        self.view.home(shard)
    }

    /// Whether this node may say something to servers for an agent of this shard.
    pub fn may_speak(&self, shard: ShardId, now: Moment) -> bool {
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
    pub fn standing(&self, now: Moment) -> Result<Standing, HoldReason> {
        if !matches!(self.phase, NodePhase::Member | NodePhase::Leaving) {
            return Err(HoldReason::NoMember);
        }
        if self.lease_counts(now) {
            return Ok(Standing::Leased);
        }
        if self.is_in_doubt() {
            return Err(HoldReason::InDoubt);
        }
        if !self.own.is_autonomous(now, &self.params) {
            return Err(HoldReason::AutonomyOver);
        }
        if self.view.others().next().is_none() {
            let lone = self.params.lone_speaks || is_on(Breach::OwnershipLoneSpeaks);
            return if lone { Ok(Standing::Lone) } else { Err(HoldReason::Alone) };
        }
        if self.confirmations.come_from_all(self.view.others(), now, &self.params) {
            return Ok(Standing::Confirmed);
        }
        Err(HoldReason::Unconfirmed)
    }

    /// Admissions a second that this node may take of the fleet's `rate`.
    pub fn admission_share(&self, rate: u32, now: Moment) -> u32 {
        self.demand.share(rate, now.monotonic)
    }

    /// When the absence of an agent at home here may end, if the agent has `grace` to come back.
    pub fn absence_end(&self, began: AbsenceBegan, grace: Duration, now: Moment) -> AbsenceEnd {
        self.told.end(began, grace, now.monotonic, self.params.lease)
    }

    /// Whether the store's word counts, and gives this node a valid lease: the map of this run is read, and the
    /// node need not fear that it was taken over unnoticed.
    pub(super) fn lease_counts(&self, now: Moment) -> bool {
        let away = self.store.is_away(now.monotonic, &self.params);
        let trusts = is_on(Breach::OwnershipTrustsStoreThatWentBack);
        let read = self.store.run() == Some(self.view.content().run) || trusts;
        !away && read && self.own.is_valid(now, &self.params) && !self.is_in_doubt()
    }

    /// Whether the others may have taken this node over while it was silent, by a change that the store has lost
    /// since. It has another member's renewal in the store's new run to prove that they are not elsewhere; a
    /// single other one could not go on without the store.
    fn is_in_doubt(&self) -> bool {
        let renews = |other| self.watch.has_moved(other);
        self.store.is_unsure()
            && self.view.others().count() > 1
            && !self.view.others().any(renews)
            && !is_on(Breach::OwnershipIgnoresDoubt)
    }

    /// An event. Effects are added to `out`.
    pub fn handle(&mut self, event: NodeEvent, now: Moment, out: &mut Vec<NodeEffect>) {
        self.notice_lapse(now, out);
        match event {
            NodeEvent::Tick => {}
            NodeEvent::StoreAnswered(id, answer) => self.store_answered(id, *answer, now, out),
            NodeEvent::StoreSilent(id) => self.store_silent(id, now, out),
            NodeEvent::PeerSaid(from, message) => self.peer_said(from, *message, now, out),
            NodeEvent::FiguresChanged { figures, urgent } => {
                self.lease.figures = figures;
                self.own.hurries |= urgent;
            }
            NodeEvent::LeaveWanted => self.want_to_leave(out),
            NodeEvent::Received(shard) => self.records_received(shard, out),
        }
        self.act(now, out);
        self.report_standing(now, out);
    }

    /// The right to speak may have been lost since the last event: then it is lost before anything else is done.
    fn notice_lapse(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let standing = self.standing(now);
        if let (Ok(_), Err(reason)) = (self.reported, standing) {
            self.reported = Err(reason);
            out.push(NodeEffect::Standing(standing));
            if !is_on(Breach::OwnershipKeepsWhatWaits) {
                out.push(NodeEffect::DropWaiting);
            }
        }
    }

    fn report_standing(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        self.notice_lapse(now, out);
        if self.lease_counts(now) && self.phase != NodePhase::Gone {
            self.own.count();
        }
        let standing = self.standing(now);
        if standing != self.reported {
            self.reported = standing;
            out.push(NodeEffect::Standing(standing));
        }
    }

    /// What the node does of its own accord.
    fn act(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        if self.phase == NodePhase::Gone {
            return;
        }
        if let Some(late) = self.calls.expire(now, &self.params) {
            self.call_failed(late, now, out);
        }
        if self.store.has_returned(now.monotonic, &self.params) {
            self.calls.read_due = true;
        }
        if self.phase != NodePhase::Joining {
            self.ask_members(now, out);
            self.move_shards(now, out);
        }
        if self.calls.is_free(now.monotonic) {
            self.call_store(now, out);
        }
    }

    fn want_to_leave(&mut self, out: &mut Vec<NodeEffect>) {
        match self.phase {
            NodePhase::Joining => {
                self.phase = NodePhase::Gone;
                out.push(NodeEffect::Left);
            }
            NodePhase::Member => {
                self.phase = NodePhase::Leaving;
                self.lease.leaving = true;
                self.own.hurries = true;
            }
            NodePhase::Leaving | NodePhase::Gone => {}
        }
    }

    /// The store has taken this incarnation off the membership.
    pub(super) fn end_membership(&mut self, out: &mut Vec<NodeEffect>) {
        let leaves = self.phase == NodePhase::Leaving && self.waits.leave_asked;
        self.phase = NodePhase::Gone;
        out.push(if leaves { NodeEffect::Left } else { NodeEffect::TakeNewIncarnation });
    }

    /// A run of the store has answered.
    pub(super) fn heard_run(&mut self, run: RunId, now: Moment) {
        let speaks = self.reported.is_ok();
        if self.store.answered(run, speaks, now) {
            self.watch.restart();
            self.waits.restart();
        }
    }

    fn store_silent(&mut self, id: CallId, now: Moment, out: &mut Vec<NodeEffect>) {
        if let Some(call) = self.calls.close(id) {
            self.call_failed(call, now, out);
        } else {
            self.peers.end_relay(id);
        }
    }

    fn store_answered(
        &mut self,
        id: CallId,
        answer: StoreAnswer,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        if let Some((member, its_id)) = self.peers.end_relay(id) {
            let message = super::events::PeerMessage::Relayed(its_id, Box::new(answer));
            return out.push(NodeEffect::Say(member, Box::new(message)));
        }
        if let Some(call) = self.calls.close(id) {
            self.call_answered(call, answer, now, out);
        }
    }
}
