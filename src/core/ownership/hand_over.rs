//! Shards that move between two living nodes, as each of them sees it. The data plane carries the records; here
//! stands which step comes when.
//!
//! ```text
//!  old home   Held ── offers ──► Offered ── "ready" ──► Ready ── change sent ──► Asked ── map is read ──► gone
//!               ▲  frozen from here on  │ declined, too late                       │ map is read: still here
//!               └───────────────────────┴──────────────────────────────────────────┘
//!
//!  new home   (none) ── offered ──► Receiving ── all records are here ──► Prepared ── map is read ──► Held
//!                ▲                      │ cancelled, too late                  │
//!                └──────────────────────┴──────────────────────────────────────┘
//! ```
//!
//! Before the change a failure leaves the shard where it was; after it the map decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::ids::{Epoch, NodeIncarnation};
use super::shard::ShardId;

/// Shards that a node hands over, or takes, at once.
pub(super) const MOVES_MAX: usize = 64;
/// How long a shard stays frozen for a new home that is not ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a new home keeps records of a shard that the map does not give it.
const MAP_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOverStage {
    Offered,
    Ready,
    Asked,
}

#[derive(Debug, Clone, Copy)]
struct ShardLeaving {
    to: NodeIncarnation,
    epoch: Epoch,
    since: Instant,
    stage: HandOverStage,
}

#[derive(Debug, Clone, Copy)]
struct ShardComing {
    from: NodeIncarnation,
    epoch: Epoch,
    since: Instant,
    prepared: bool,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct HandOvers {
    held: BTreeSet<ShardId>,
    outgoing: BTreeMap<ShardId, ShardLeaving>,
    incoming: BTreeMap<ShardId, ShardComing>,
}

impl HandOvers {
    /// The shards that the data plane holds.
    pub(super) const fn held(&self) -> &BTreeSet<ShardId> {
        &self.held
    }

    /// Whether the data plane holds the shard and is not told to freeze it.
    pub(super) fn is_in_use(&self, shard: ShardId) -> bool {
        self.held.contains(&shard) && !self.outgoing.contains_key(&shard)
    }

    /// Shards that this node hands over now.
    pub(super) fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Shards that this node receives now.
    pub(super) fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// Whether this node receives a shard now.
    pub(super) fn receives_any(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// The map makes this node the shard's home. Returns whether its records are here.
    pub(super) fn install(&mut self, shard: ShardId) -> bool {
        self.held.insert(shard);
        self.incoming.remove(&shard).is_some_and(|incoming| incoming.prepared)
    }

    /// The map makes another node the shard's home.
    pub(super) fn release(&mut self, shard: ShardId) {
        self.held.remove(&shard);
        self.outgoing.remove(&shard);
    }

    /// Offers a shard. Returns whether it moves: one that moves already, or too many at once, wait.
    pub(super) fn offer(
        &mut self,
        shard: ShardId,
        to: NodeIncarnation,
        epoch: Epoch,
        now: Instant,
    ) -> bool {
        let moves = self.is_in_use(shard) && self.outgoing.len() < MOVES_MAX;
        if moves {
            self.outgoing.insert(
                shard,
                ShardLeaving { to, epoch, since: now, stage: HandOverStage::Offered },
            );
        }
        moves
    }

    /// The new home has the records.
    pub(super) fn ready(&mut self, shard: ShardId, from: NodeIncarnation, epoch: Epoch) {
        if let Some(outgoing) = self.outgoing.get_mut(&shard)
            && outgoing.to == from
            && outgoing.epoch == epoch
            && outgoing.stage == HandOverStage::Offered
        {
            outgoing.stage = HandOverStage::Ready;
        }
    }

    /// The new home cannot take it. Returns whether the shard stays.
    pub(super) fn declined(&mut self, shard: ShardId, from: NodeIncarnation, epoch: Epoch) -> bool {
        let stays = self.outgoing.get(&shard).is_some_and(|outgoing| {
            outgoing.to == from && outgoing.epoch == epoch && outgoing.stage != HandOverStage::Asked
        });
        if stays {
            self.outgoing.remove(&shard);
        }
        stays
    }

    /// Offers that are given up, each with the node that was to take it and its epoch.
    pub(super) fn give_up_late(
        &mut self,
        now: Instant,
        is_member: impl Fn(NodeIncarnation) -> bool,
    ) -> Vec<(ShardId, NodeIncarnation, Epoch)> {
        let late = |outgoing: &ShardLeaving| {
            let passed = now.saturating_duration_since(outgoing.since);
            outgoing.stage != HandOverStage::Asked
                && (passed >= READY_PATIENCE || !is_member(outgoing.to))
        };
        let taken = self.outgoing.extract_if(.., |_, outgoing| late(outgoing));
        taken.map(|(shard, outgoing)| (shard, outgoing.to, outgoing.epoch)).collect()
    }

    /// Shards whose new homes are ready, each with the home and the epoch that is handed over.
    pub(super) fn that_are_ready(&self) -> Vec<(ShardId, NodeIncarnation, Epoch)> {
        let ready =
            self.outgoing.iter().filter(|(_, outgoing)| outgoing.stage == HandOverStage::Ready);
        ready.map(|(shard, outgoing)| (*shard, outgoing.to, outgoing.epoch)).collect()
    }

    /// The change is sent.
    pub(super) fn asked(&mut self) {
        let ready =
            self.outgoing.values_mut().filter(|outgoing| outgoing.stage == HandOverStage::Ready);
        ready.for_each(|outgoing| outgoing.stage = HandOverStage::Asked);
    }

    /// The map was read after the change's fate was known. Returns the shards that stay, with the nodes that were
    /// to take them.
    pub(super) fn settled(&mut self) -> Vec<(ShardId, NodeIncarnation, Epoch)> {
        let asked =
            self.outgoing.extract_if(.., |_, outgoing| outgoing.stage == HandOverStage::Asked);
        asked.map(|(shard, outgoing)| (shard, outgoing.to, outgoing.epoch)).collect()
    }

    /// A member offers a shard. Returns whether there is room for it.
    pub(super) fn receive(
        &mut self,
        shard: ShardId,
        from: NodeIncarnation,
        epoch: Epoch,
        now: Instant,
    ) -> bool {
        let known = self.incoming.contains_key(&shard) || self.incoming.len() < MOVES_MAX;
        let takes = known && !self.held.contains(&shard);
        if takes {
            self.incoming.insert(shard, ShardComing { from, epoch, since: now, prepared: false });
        }
        takes
    }

    /// All records of a shard are here. Returns the node to tell, and the epoch that it hands over.
    pub(super) fn received(&mut self, shard: ShardId) -> Option<(NodeIncarnation, Epoch)> {
        let incoming = self.incoming.get_mut(&shard)?;
        incoming.prepared = true;
        Some((incoming.from, incoming.epoch))
    }

    /// The old home keeps the shard. Returns whether its records are void.
    pub(super) fn cancelled(
        &mut self,
        shard: ShardId,
        from: NodeIncarnation,
        epoch: Epoch,
    ) -> bool {
        let of = |incoming: &mut ShardComing| incoming.from == from && incoming.epoch == epoch;
        let found = self.incoming.get_mut(&shard).is_some_and(of);
        if found {
            self.incoming.remove(&shard);
        }
        found
    }

    /// Shards whose records are void: the map has given them to another node, or stays silent for too long.
    pub(super) fn discard_late(
        &mut self,
        now: Instant,
        is_current: impl Fn(ShardId, NodeIncarnation, Epoch) -> bool,
    ) -> Vec<ShardId> {
        let late = |shard: ShardId, incoming: &ShardComing| {
            let passed = now.saturating_duration_since(incoming.since);
            passed >= MAP_PATIENCE || !is_current(shard, incoming.from, incoming.epoch)
        };
        let taken = self.incoming.extract_if(.., |shard, incoming| late(*shard, incoming));
        taken.map(|(shard, _)| shard).collect()
    }

    /// Whether the records of a shard are here that the map has not given to this node yet.
    pub(super) fn is_prepared(&self, shard: ShardId) -> bool {
        self.incoming.get(&shard).is_some_and(|incoming| incoming.prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{epoch, node, shard};
    use super::*;

    #[test]
    fn a_shard_is_frozen_from_the_offer_until_the_map_is_read() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        old.install(shard(1));
        assert!(old.is_in_use(shard(1)));
        assert!(old.offer(shard(1), node(2), epoch(3, 1), now));
        assert!(!old.is_in_use(shard(1)));
        assert!(!old.offer(shard(1), node(3), epoch(3, 1), now), "one hand-over at a time");
        old.ready(shard(1), node(3), epoch(3, 1));
        assert!(old.that_are_ready().is_empty(), "another node's word");
        old.ready(shard(1), node(2), epoch(3, 1));
        assert_eq!(old.that_are_ready(), [(shard(1), node(2), epoch(3, 1))]);
        old.asked();
        assert!(!old.declined(shard(1), node(2), epoch(3, 1)), "the map decides now");
        assert!(old.give_up_late(now + READY_PATIENCE, |_| false).is_empty());
        assert_eq!(old.settled(), [(shard(1), node(2), epoch(3, 1))]);
        assert!(old.is_in_use(shard(1)), "the map has left it here");
        old.offer(shard(1), node(2), epoch(3, 1), now);
        old.release(shard(1));
        assert!(old.outgoing() == 0 && old.held().is_empty());
    }

    #[test]
    fn before_the_change_a_failure_leaves_the_shard_where_it_was() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        for number in 1..4 {
            old.install(shard(number));
            old.offer(shard(number), node(2), epoch(3, 1), now);
        }
        assert!(old.declined(shard(1), node(2), epoch(3, 1)) && old.is_in_use(shard(1)));
        assert!(!old.declined(shard(2), node(2), epoch(2, 1)), "an offer of before");
        assert_eq!(old.give_up_late(now, |_| true), []);
        assert_eq!(old.give_up_late(now + READY_PATIENCE, |_| true).len(), 2);
        assert!(old.is_in_use(shard(3)));
    }

    #[test]
    fn records_count_if_the_map_gives_the_shard() {
        let now = crate::clock::now();
        let mut new = HandOvers::default();
        assert!(new.receive(shard(1), node(1), epoch(3, 1), now));
        assert!(!new.is_prepared(shard(1)));
        assert_eq!(new.received(shard(1)), Some((node(1), epoch(3, 1))));
        assert!(new.is_prepared(shard(1)) && new.install(shard(1)));
        assert!(!new.receive(shard(1), node(1), epoch(3, 1), now), "it is here");
        new.receive(shard(2), node(1), epoch(3, 1), now);
        assert!(!new.install(shard(2)), "the old home died first");
        new.receive(shard(3), node(1), epoch(3, 1), now);
        assert!(!new.cancelled(shard(3), node(1), epoch(2, 1)));
        assert!(new.cancelled(shard(3), node(1), epoch(3, 1)) && !new.receives_any());
        new.receive(shard(4), node(1), epoch(3, 1), now);
        assert!(new.discard_late(now, |_, _, _| true).is_empty());
        assert_eq!(new.discard_late(now, |_, _, _| false), [shard(4)]);
    }

    #[test]
    fn few_shards_move_at_once() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        let moved = (0..100).filter(|number| {
            old.install(shard(*number));
            old.offer(shard(*number), node(2), epoch(1, 1), now)
        });
        assert_eq!(moved.count(), MOVES_MAX);
    }
}
