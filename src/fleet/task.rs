//! The one task that gives events to the state machine and carries its effects out, each before the next event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::data_plane::DataPlane;
use super::former::MayLink;
use super::hand_over::{SessionsOut, ShardDeparture};
use super::life::Life;
use super::map::MapCopy;
use super::moves::MovesUnderWay;
use super::params::{FleetError, FleetParams};
use super::progress::{Progress, Waiting, waits_for};
use super::shared::Fleet;
use crate::clock;
use crate::cluster::Member;
use crate::core::ownership::{
    CallId, HoldReason, Node, NodeEffect, NodeEvent, NodeIncarnation, NodeName, ShardId, Standing,
    StoreAnswer, StoreCall,
};
use crate::ownership::{Store, StoreError};
use crate::telemetry::events::fleet::{self as events, ShardStep, StoreCallKind, StoreCallResult};

/// The shortest time from one look at the clock to the next; the usual one is a fortieth of a lease time.
const TICK_MIN: Duration = Duration::from_millis(50);

/// See the module's text.
pub struct FleetTask {
    fleet: Arc<Fleet>,
    life: Life,
    inbox: mpsc::Receiver<NodeEvent>,
    calls: JoinSet<CallEnded>,
    store_failed: bool,
    /// What is sent of shards that are handed over.
    sessions_out: SessionsOut,
    moves: MovesUnderWay,
    /// Shards that the data plane holds.
    held: BTreeSet<ShardId>,
    /// Of these, those taken over with the event at hand.
    taken_over: usize,
    members: BTreeSet<NodeIncarnation>,
    may_link: MayLink,
    differing: Vec<NodeName>,
    /// Since when all but links is as a node that starts needs it.
    whole_since: Option<Instant>,
    /// Since when the node holds still, as far as it is counted, and why.
    silent_since: Option<(Instant, HoldReason)>,
}

/// A call to the store has come to its end.
struct CallEnded {
    id: CallId,
    kind: StoreCallKind,
    took: Duration,
    answer: Result<StoreAnswer, StoreError>,
}

/// What follows once all effects of an event are carried out.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    BeginAnew,
    End,
}

impl FleetTask {
    /// A node that has yet to start, and what other threads ask. `plane` is `None` for a node without others.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn new(
        params: FleetParams,
        store: Arc<dyn Store>,
        plane: Option<Arc<dyn DataPlane>>,
    ) -> Result<(Arc<Fleet>, Self), FleetError> {
        let life = Life::new(&params)?;
        let (fleet, inbox) = Fleet::with(&life, params, store, plane);
        let silent_since = fleet.plane.as_ref().map(|_| (clock::now(), HoldReason::NoMember));
        let task = Self {
            fleet: Arc::clone(&fleet),
            life,
            inbox,
            calls: JoinSet::new(),
            store_failed: false,
            sessions_out: SessionsOut::new(),
            moves: MovesUnderWay::default(),
            held: BTreeSet::new(),
            taken_over: 0,
            members: BTreeSet::new(),
            may_link: MayLink::default(),
            differing: Vec::new(),
            whole_since: None,
            silent_since,
        };
        Ok((fleet, task))
    }

    /// Begins to listen for other nodes, and to become one of them. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the address for node links is taken.
    pub fn start(mut self) -> Result<JoinHandle<()>, FleetError> {
        let (fleet, incarnation) = (Arc::clone(&self.fleet), self.fleet.incarnation());
        self.life.link(&self.fleet.params, incarnation, fleet as _)?;
        Ok(tokio::spawn(self.run()))
    }

    async fn run(mut self) {
        let mut ticks = interval((self.fleet.params.times.lease / 40).max(TICK_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stops = self.fleet.stops.subscribe();
        loop {
            let event = tokio::select! {
                _ = stops.wait_for(|stops| *stops) => break,
                Some(event) = self.inbox.recv() => event,
                Some(Ok(ended)) = self.calls.join_next() => self.call_ended(ended),
                () = self.fleet.look.notified() => match self.fleet.unread_version() {
                    Some(version) => NodeEvent::VersionSeen(version),
                    None => NodeEvent::Tick,
                },
                _ = ticks.tick() => NodeEvent::Tick,
            };
            self.listen_if_deaf();
            match self.take(event) {
                Next::GoOn => {}
                Next::BeginAnew => self.begin_anew().await,
                Next::End => break,
            }
        }
        self.life.close().await;
    }

    fn call_ended(&mut self, ended: CallEnded) -> NodeEvent {
        let CallEnded { id, kind, took, answer } = ended;
        match answer {
            Ok(answer) => {
                self.fleet.store_calls.answered();
                events::StoreAnswered { call: kind, took, again: self.store_failed }.emit();
                self.store_failed = false;
                NodeEvent::StoreAnswered(id, Box::new(answer))
            }
            Err(error) => {
                self.fleet.store_calls.failed(&error);
                let result = match error {
                    StoreError::Unknown(_) => StoreCallResult::Unknown,
                    StoreError::Unreachable(_) => StoreCallResult::Unreachable,
                    StoreError::Refused { .. } => StoreCallResult::Refused,
                    StoreError::Corrupt { .. } => StoreCallResult::Corrupt,
                };
                let (fault, first) = (error.fault().as_str(), !self.store_failed);
                events::StoreFailed { call: kind, result, error: &error, fault, first }.emit();
                self.store_failed = true;
                if error.may_apply() {
                    NodeEvent::StoreSilent(id)
                } else {
                    NodeEvent::StoreRefused(id)
                }
            }
        }
    }

    fn take(&mut self, event: NodeEvent) -> Next {
        // What had come may be void by now, or have been told too early.
        if let (NodeEvent::Received(shard, attempt), Some(plane)) = (&event, &self.fleet.plane)
            && !plane.has_received(*shard, *attempt)
        {
            return Next::GoOn;
        }
        let mut effects = Vec::new();
        self.fleet.handle(event, &mut effects);
        let mut next = Next::GoOn;
        for effect in effects {
            match effect {
                NodeEffect::TakeNewIncarnation => next = Next::BeginAnew,
                NodeEffect::Left => {
                    events::FleetLeft { is_shared: self.fleet.plane.is_some() }.emit();
                    self.fleet.progress.send_replace(Progress::Left);
                }
                NodeEffect::NameInUse(name) => {
                    self.fleet.progress.send_replace(Progress::NameInUse(name));
                    next = Next::End;
                }
                other => self.carry_out(other),
            }
        }
        match std::mem::take(&mut self.taken_over) {
            0 => {}
            shards => events::TookOver { shards, held: self.held.len() }.emit(),
        }
        self.count_silence();
        self.follow_map();
        self.see_progress();
        next
    }

    fn carry_out(&mut self, effect: NodeEffect) {
        let plane = self.fleet.plane.as_deref();
        match effect {
            NodeEffect::CallStore { id, call, deadline } => self.call_store(id, *call, deadline),
            NodeEffect::Say(to, message) => self.fleet.links.say(to, &message),
            NodeEffect::Standing(standing) => self.stand(standing),
            NodeEffect::DropWaiting => {
                if let Some(plane) = plane {
                    plane.drop_waiting();
                }
                self.fleet.dropped_waiting();
            }
            NodeEffect::UseSecret(secret) => {
                if let Some(plane) = plane {
                    plane.set_digest_key(&secret);
                }
                self.fleet.secret_id.store(secret.id, Ordering::Relaxed);
            }
            other => self.move_shard(&other),
        }
    }

    fn move_shard(&mut self, effect: &NodeEffect) {
        let Some(plane) = &self.fleet.plane else { return };
        let (shard, step) = match *effect {
            NodeEffect::Install { shard, epoch, handed_by } => {
                self.held.insert(shard);
                let is_whole = plane.install(shard, epoch, handed_by);
                let step = match epoch.number {
                    _ if is_whole => ShardStep::HandedToUs,
                    1 => ShardStep::FirstHome,
                    _ => ShardStep::TakenOver,
                };
                self.taken_over += usize::from(step == ShardStep::TakenOver);
                (shard, step)
            }
            NodeEffect::Release(shard) => {
                self.held.remove(&shard);
                self.sessions_out.end(shard);
                plane.release(shard);
                (shard, ShardStep::Released)
            }
            NodeEffect::Freeze { shard, to, attempt } => {
                plane.freeze(shard);
                let departure = ShardDeparture { shard, to, attempt };
                self.sessions_out.begin(&self.fleet, plane, departure);
                (shard, ShardStep::Frozen)
            }
            NodeEffect::Unfreeze(shard) => {
                self.sessions_out.end(shard);
                plane.unfreeze(shard);
                (shard, ShardStep::Unfrozen)
            }
            NodeEffect::Receive { shard, from, attempt } => {
                plane.receive(shard, from, attempt);
                // They may all have come before.
                self.fleet.tell(NodeEvent::Received(shard, attempt));
                (shard, ShardStep::Receiving)
            }
            NodeEffect::Discard(shard) => {
                plane.discard(shard);
                (shard, ShardStep::Discarded)
            }
            _ => return,
        };
        events::ShardStepped { shard, step }.emit();
        if let Some((result, took)) = self.moves.step(shard, step, clock::now()) {
            events::HandOverEnded { shard, result, took }.emit();
        }
    }

    fn call_store(&mut self, id: CallId, call: StoreCall, deadline: Duration) {
        let store = Arc::clone(&self.fleet.store);
        let (kind, began) = (StoreCallKind::of(&call), clock::now());
        self.calls.spawn(async move {
            let answer = store.call(call, deadline).await;
            CallEnded { id, kind, took: clock::now().saturating_duration_since(began), answer }
        });
    }

    fn stand(&mut self, standing: Result<Standing, HoldReason>) {
        // A node without others speaks in any case.
        let Some(plane) = &self.fleet.plane else { return };
        plane.hold_still(standing.err());
        self.count_silence();
        match standing {
            Ok(_) => self.silent_since = None,
            Err(why) => match &mut self.silent_since {
                Some((_, reason)) => *reason = why,
                None => self.silent_since = Some((clock::now(), why)),
            },
        }
        events::StandingChanged { standing }.emit();
    }

    /// Counts whole seconds of holding still.
    fn count_silence(&mut self) {
        if let Some((since, reason)) = &mut self.silent_since {
            let seconds = clock::now().saturating_duration_since(*since).as_secs();
            *since += Duration::from_secs(seconds);
            events::HeldStill { reason: *reason, seconds }.emit();
        }
    }

    /// Tells those that go by the map, and the node links, if it has changed.
    fn follow_map(&mut self) {
        let me = self.fleet.incarnation();
        let look = self.fleet.look_at(|node| {
            let copy = self.fleet.map.follow(node)?;
            let leases = &node.content().leases;
            let is_member = leases.iter().any(|lease| lease.incarnation == me);
            // Before it is a member the others would let it in nowhere.
            let linked: Vec<_> = leases.iter().filter(|_| is_member).map(Member::from).collect();
            Some((copy, linked, node.members().collect::<BTreeSet<_>>()))
        });
        let now = clock::now();
        self.may_link.forget(now);
        let Some((copy, linked, members)) = look else { return self.know_members() };
        self.may_link.follow(linked, now + self.fleet.params.times.lease);
        self.know_members();
        let gone = std::mem::replace(&mut self.members, members);
        let gone: Vec<_> = gone.difference(&self.members).copied().collect();
        self.show_map(&copy);
        if let Some(plane) = &self.fleet.plane {
            gone.into_iter().for_each(|node| plane.node_gone(node));
            plane.homes_changed();
        }
    }

    /// Tells the node links who may be linked, if that has changed.
    fn know_members(&self) {
        let may = self.may_link.all();
        self.life.members.send_if_modified(|known| {
            let differs = *known != may;
            *known = may;
            differs
        });
    }

    fn show_map(&mut self, copy: &MapCopy) {
        let me = self.fleet.incarnation();
        let (held, vacant) = (copy.held_by(me), copy.vacant());
        let (version, members) = (copy.version(), self.members.len());
        events::MapFollowed { version, members, held, vacant }.emit();
        let differing = self.fleet.look_at(|node| {
            let leases = node.content().leases.iter();
            let others =
                leases.filter(|lease| lease.incarnation != me && self.fleet.differs(lease));
            others.map(|lease| lease.name.clone()).collect::<Vec<_>>()
        });
        if differing != self.differing {
            events::SettingsDiffer { nodes: &differing }.emit();
            self.differing = differing;
        }
    }

    fn see_progress(&mut self) {
        if !matches!(*self.fleet.progress.borrow(), Progress::Starting(_)) {
            return;
        }
        let map = self.fleet.map.get();
        let waits = self.fleet.look_at(|node| waits_for(node, &map));
        let waits = waits.or_else(|| self.unlinked(&map));
        let now = waits.map_or(Progress::Ready, Progress::Starting);
        self.fleet.progress.send_if_modified(|progress| {
            let differs = now != *progress && matches!(progress, Progress::Starting(_));
            if differs {
                *progress = now;
            }
            differs
        });
    }

    /// Others hear of a new node with their next renewal, and let it in then.
    fn unlinked(&mut self, map: &MapCopy) -> Option<Waiting> {
        let since = *self.whole_since.get_or_insert_with(clock::now);
        let me = self.fleet.incarnation();
        let homes = map.homes().into_iter().filter(|home| *home != me);
        let count = homes.filter(|home| !self.fleet.links.has(*home)).count();
        let late = clock::now().saturating_duration_since(since) > self.fleet.params.times.lease;
        (count > 0 && !late).then_some(Waiting::Links(count))
    }

    /// What members have said to the former life is void, above all what they have confirmed. An order to leave, or
    /// to hand over, stands.
    fn forget_messages(&mut self) {
        let hands_over = self.fleet.look_at(Node::hands_over);
        let mut order = hands_over.then_some(NodeEvent::HandOverWanted);
        while let Ok(event) = self.inbox.try_recv() {
            if matches!(event, NodeEvent::LeaveWanted | NodeEvent::HandOverWanted) {
                order = Some(event);
            }
        }
        if let Some(order) = order {
            self.fleet.tell(order);
        }
    }

    /// A new life whose address was still in use tries again with each event.
    fn listen_if_deaf(&mut self) {
        if !self.life.is_deaf(&self.fleet.params) {
            return;
        }
        let (fleet, incarnation) = (Arc::clone(&self.fleet), self.fleet.incarnation());
        if self.life.link(&self.fleet.params, incarnation, fleet as _).is_ok() {
            events::LinksBack.emit();
            self.fleet.deaf.store(false, Ordering::Relaxed);
        }
    }

    /// The store has given this node's shards to others. Its agents stay connected, and find them there.
    async fn begin_anew(&mut self) {
        let before = self.fleet.incarnation();
        events::NewIncarnation { before, shards: self.held.len() }.emit();
        self.calls.abort_all();
        self.calls = JoinSet::new();
        self.sessions_out.end_all();
        self.moves.clear();
        let held = std::mem::take(&mut self.held);
        if let Some(plane) = &self.fleet.plane {
            held.into_iter().for_each(|shard| plane.release(shard));
        }
        self.life.close().await;
        self.forget_messages();
        let life = match Life::new(&self.fleet.params) {
            Ok(life) => life,
            Err(error) => return events::LifeFailed { error: &error }.emit(),
        };
        self.life = life;
        self.members.clear();
        self.may_link = MayLink::default();
        self.fleet.begin_anew(&self.life);
        let (fleet, incarnation) = (Arc::clone(&self.fleet), self.fleet.incarnation());
        let linked = self.life.link_again(&self.fleet.params, incarnation, fleet as _).await;
        // A life before this one may have ended without ever listening.
        self.fleet.deaf.store(linked.is_err(), Ordering::Relaxed);
        if let Err(error) = linked {
            events::LinksFailed { error: &error }.emit();
        }
        if let Some(plane) = &self.fleet.plane {
            plane.homes_changed();
        }
    }
}
