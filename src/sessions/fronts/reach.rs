//! Homes that change, come into reach or go out of it: every connection of their shards is told. Connections attach at
//! a pace, so that a node that takes 10,000 agents over does not get them as one burst. An agent that speaks meanwhile
//! attaches at once.
//!
//! ```text
//!   home changed ──► the shard's round waits ──► every connection was told ──► a while later: "all are here"
//!       ▲                    │                        │
//!       └────────────────────┴────────────────────────┘  another change: from the beginning
//! ```
//!
//! A home that has yet to read the map puts attaches off. "All are here" waits for those, too, or the home would take
//! their connections for lost.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{FrontSide, Fronts};
use crate::clock;
use crate::core::bucket::Bucket;
use crate::core::node_link::{Handle, ToHome};
use crate::core::ownership::{Home, NodeIncarnation, SHARDS, ShardId};
use crate::ident::InstanceUid;

/// Attaches in a second, beside those of agents that speak.
const ATTACHES_EACH_SECOND: NonZeroU32 = NonZeroU32::new(2_000).expect("it is above zero");
/// What may be saved up: a sweep comes this often.
const PACE_DEPTH: Duration = Duration::from_millis(250);
/// Connections looked at under one lock, and in one call.
const CHUNK: usize = 64;
const LOOKED_AT_MAX: usize = 20_000;
/// "All are here" takes one stream of the link, attaches take all of them: they have this long to arrive before.
const NAMED_AFTER: Duration = Duration::from_millis(500);
/// How long "all are here" waits for attaches that the home puts off.
const PUT_OFF_MAX: Duration = Duration::from_secs(60);
/// Of no agent's: its stream takes what is said of a whole shard.
const NO_AGENT: InstanceUid = InstanceUid::from_bytes([0; 16]);

/// See the module's text. Bounded by the number of shards.
#[derive(Debug, Default)]
pub(super) struct HomesInReach(Mutex<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    waiting: VecDeque<ShardRound>,
    /// Shards whose connections all know of the last change.
    told: VecDeque<ShardTold>,
    pace: Option<Bucket>,
}

/// A shard whose connections must hear of the last change.
#[derive(Debug)]
struct ShardRound {
    shard: ShardId,
    change: u32,
    /// The last connection that knows.
    last: Option<Handle>,
}

#[derive(Debug)]
struct ShardTold {
    at: Instant,
    /// "All are here" is not put off any further.
    until: Instant,
    shard: ShardId,
    change: u32,
}

impl Fronts {
    /// The shard's home has changed, or its reach: its round begins.
    fn note_change(&self, rounds: &mut Rounds, shard: ShardId, home: Option<Home>) {
        self.table.set_home(shard, home);
        let change = self.table.change(shard);
        rounds.told.retain(|told| told.shard != shard);
        match rounds.waiting.iter_mut().find(|round| round.shard == shard) {
            Some(round) => (round.change, round.last) = (change, None),
            None => rounds.waiting.push_back(ShardRound { shard, change, last: None }),
        }
        debug_assert!(rounds.waiting.len() + rounds.told.len() <= usize::from(SHARDS));
    }
}

impl FrontSide<'_> {
    /// The map, or what is in reach of it, may have changed.
    pub(in crate::sessions) fn homes_changed(self) {
        let mut rounds = self.joined.fronts.reach.0.lock();
        for shard in ShardId::all() {
            let home = self.joined.ways.home(shard);
            if self.joined.fronts.table.home(shard).0 != home {
                self.joined.fronts.note_change(&mut rounds, shard, home);
            }
        }
        drop(rounds);
        self.go_round(clock::now());
    }

    /// The link to a node is up. Called after [`Ways::home`](crate::sessions::Ways::home) names it.
    pub(in crate::sessions) fn home_reached(self, node: NodeIncarnation) {
        let rounds = &mut self.joined.fronts.reach.0.lock();
        for shard in ShardId::all() {
            let home = self.joined.ways.home(shard);
            if home.is_some_and(|home| home.node == node) {
                self.joined.fronts.note_change(rounds, shard, home);
            }
        }
    }

    /// The link to a node is down, and with it what was under way.
    pub(in crate::sessions) fn home_lost(self, node: NodeIncarnation) {
        let rounds = &mut self.joined.fronts.reach.0.lock();
        for shard in ShardId::all() {
            let home = self.joined.fronts.table.home(shard).0;
            if home.is_some_and(|home| home.node == node) {
                self.joined.fronts.note_change(rounds, shard, None);
            }
        }
    }

    /// Goes on with the rounds, as far as the pace allows. `true`: there is more to do now.
    pub(super) fn go_round(self, now: Instant) -> bool {
        let mut looked_at = 0;
        while looked_at < LOOKED_AT_MAX {
            // One thread at a time; another one would do the same.
            let Some(mut rounds) = self.joined.fronts.reach.0.try_lock() else { return false };
            let pace = || Bucket::with_depth(ATTACHES_EACH_SECOND, PACE_DEPTH, now);
            rounds.pace.get_or_insert_with(pace);
            let step = self.round_step(&mut rounds, now);
            drop(rounds);
            match step {
                RoundStep::Told(uids) => {
                    looked_at += uids.len().max(1);
                    uids.into_iter().for_each(|uid| self.handle_loopback(uid));
                }
                RoundStep::Waits => return false,
            }
        }
        true
    }

    /// Tells some connections of the first shard that waits.
    fn round_step(self, rounds: &mut MutexGuard<'_, Rounds>, now: Instant) -> RoundStep {
        if let Some(uid) = self.name_shard(rounds, now) {
            return RoundStep::Told(vec![uid]);
        }
        let Rounds { waiting, told, pace } = &mut **rounds;
        let (Some(round), Some(pace)) = (waiting.front_mut(), pace) else {
            return RoundStep::Waits;
        };
        let entries = self.joined.fronts.table.after(round.shard, round.last, CHUNK);
        if entries.is_empty() {
            let ShardRound { shard, change, .. } = *round;
            waiting.pop_front();
            let (at, until) = (now + NAMED_AFTER, now + PUT_OFF_MAX);
            told.push_back(ShardTold { at, until, shard, change });
            return RoundStep::Told(Vec::new());
        }
        let (home, _) = self.joined.fronts.table.home(round.shard);
        let mut uids = Vec::new();
        for entry in entries {
            let mut state = entry.lock();
            if state.change != round.change {
                if home.is_some() && pace.take(now).is_err() {
                    drop(state);
                    break;
                }
                self.catch_up((&entry, &mut state));
            }
            drop(state);
            round.last = Some(entry.handle);
            uids.push(entry.handle.uid);
        }
        if uids.is_empty() { RoundStep::Waits } else { RoundStep::Told(uids) }
    }

    /// Tells a home that it has heard of every connection of a shard.
    fn name_shard(self, rounds: &mut MutexGuard<'_, Rounds>, now: Instant) -> Option<InstanceUid> {
        if rounds.told.front()?.at > now {
            return None;
        }
        let told = rounds.told.pop_front()?;
        let ShardTold { shard, change, until, .. } = told;
        if now < until && self.has_unattached(shard) {
            rounds.told.push_back(ShardTold { at: now + NAMED_AFTER, ..told });
            return Some(NO_AGENT);
        }
        let (home, present) = self.joined.fronts.table.home(shard);
        if let Some(home) = home.filter(|_| change == present) {
            self.joined.to_home(home.node, NO_AGENT, &mut |out| ToHome::AllHere(shard).encode(out));
        }
        Some(NO_AGENT)
    }
}

impl FrontSide<'_> {
    /// Whether the home of a shard has yet to hear of one of its connections.
    fn has_unattached(self, shard: ShardId) -> bool {
        let mut last = None;
        loop {
            let entries = self.joined.fronts.table.after(shard, last, CHUNK);
            if entries.iter().any(|entry| entry.lock().front.is_yet_to_attach()) {
                return true;
            }
            match entries.last() {
                Some(entry) => last = Some(entry.handle),
                None => return false,
            }
        }
    }
}

/// What one step of a round came to.
enum RoundStep {
    /// These agents' connections know.
    Told(Vec<InstanceUid>),
    /// The pace says that it is enough for now, or nothing waits.
    Waits,
}
