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
//! Before the change a failure leaves the shard where it was; after it the map decides. Attempts are numbered: a shard
//! that stayed goes on, so that the records of an earlier attempt are old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::events::HandOverAttempt;
use super::ids::{Epoch, MoveNumber, NodeIncarnation};
use super::shard::ShardId;
use crate::mutation::{Breach, is_on};

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
    attempt: HandOverAttempt,
    since: Instant,
    stage: HandOverStage,
}

#[derive(Debug, Clone, Copy)]
struct ShardComing {
    from: NodeIncarnation,
    attempt: HandOverAttempt,
    since: Instant,
    prepared: bool,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct HandOvers {
    held: BTreeSet<ShardId>,
    outgoing: BTreeMap<ShardId, ShardLeaving>,
    incoming: BTreeMap<ShardId, ShardComing>,
    /// The number of this node's last attempt.
    last: MoveNumber,
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

    /// The map makes this node the shard's home. Returns the attempt whose records count: the map tells that their
    /// home has handed the shard over, and that was by the last attempt that it was told to be ready.
    pub(super) fn install(&mut self, shard: ShardId, epoch: Epoch) -> Option<MoveNumber> {
        self.held.insert(shard);
        let incoming = self.incoming.remove(&shard)?;
        let ShardComing { from, attempt, prepared, .. } = incoming;
        let handed_over = Epoch { number: attempt.epoch.number + 1, taker: from };
        let counts = epoch == handed_over || is_on(Breach::OwnershipTakesOldAttempt);
        (prepared && counts).then_some(attempt.number)
    }

    /// The map makes another node the shard's home.
    pub(super) fn release(&mut self, shard: ShardId) {
        self.held.remove(&shard);
        self.outgoing.remove(&shard);
    }

    /// Offers a shard. `None`: it moves already, or too many do at once.
    pub(super) fn offer(
        &mut self,
        shard: ShardId,
        to: NodeIncarnation,
        epoch: Epoch,
        now: Instant,
    ) -> Option<HandOverAttempt> {
        if !self.is_in_use(shard) || self.outgoing.len() >= MOVES_MAX {
            return None;
        }
        self.last.0 += 1;
        let attempt = HandOverAttempt { shard, epoch, number: self.last };
        let stage = HandOverStage::Offered;
        self.outgoing.insert(shard, ShardLeaving { to, attempt, since: now, stage });
        Some(attempt)
    }

    /// The new home has the records.
    pub(super) fn ready(&mut self, from: NodeIncarnation, attempt: HandOverAttempt) {
        if let Some(outgoing) = self.outgoing.get_mut(&attempt.shard)
            && (outgoing.to, outgoing.attempt) == (from, attempt)
            && outgoing.stage == HandOverStage::Offered
        {
            outgoing.stage = HandOverStage::Ready;
        }
    }

    /// The new home cannot take it. Returns whether the shard stays.
    pub(super) fn declined(&mut self, from: NodeIncarnation, attempt: HandOverAttempt) -> bool {
        let stays = self.outgoing.get(&attempt.shard).is_some_and(|outgoing| {
            let is_it = (outgoing.to, outgoing.attempt) == (from, attempt);
            is_it && outgoing.stage != HandOverStage::Asked
        });
        if stays {
            self.outgoing.remove(&attempt.shard);
        }
        stays
    }

    /// Offers that are given up, each with the node that was to take the shard.
    pub(super) fn give_up_late(
        &mut self,
        now: Instant,
        is_member: impl Fn(NodeIncarnation) -> bool,
    ) -> Vec<(NodeIncarnation, HandOverAttempt)> {
        let late = |outgoing: &ShardLeaving| {
            let passed = now.saturating_duration_since(outgoing.since);
            outgoing.stage != HandOverStage::Asked
                && (passed >= READY_PATIENCE || !is_member(outgoing.to))
        };
        let taken = self.outgoing.extract_if(.., |_, outgoing| late(outgoing));
        taken.map(|(_, outgoing)| (outgoing.to, outgoing.attempt)).collect()
    }

    /// Shards whose new homes are ready, each with the home.
    pub(super) fn that_are_ready(&self) -> Vec<(NodeIncarnation, HandOverAttempt)> {
        let ready = self.outgoing.values().filter(|it| it.stage == HandOverStage::Ready);
        ready.map(|outgoing| (outgoing.to, outgoing.attempt)).collect()
    }

    /// The change is sent.
    pub(super) fn asked(&mut self) {
        let ready =
            self.outgoing.values_mut().filter(|outgoing| outgoing.stage == HandOverStage::Ready);
        ready.for_each(|outgoing| outgoing.stage = HandOverStage::Asked);
    }

    /// The map was read after the change's fate was known. Returns the attempts that came to nothing, with the nodes
    /// that were to take the shards.
    pub(super) fn settled(&mut self) -> Vec<(NodeIncarnation, HandOverAttempt)> {
        let asked =
            self.outgoing.extract_if(.., |_, outgoing| outgoing.stage == HandOverStage::Asked);
        asked.map(|(_, outgoing)| (outgoing.to, outgoing.attempt)).collect()
    }

    /// A member offers a shard. Returns whether it is taken: there is room for it, and it has not been offered
    /// anew since.
    pub(super) fn receive(
        &mut self,
        from: NodeIncarnation,
        attempt: HandOverAttempt,
        now: Instant,
    ) -> bool {
        let takes = match self.incoming.get(&attempt.shard) {
            Some(known) => known.from != from || known.attempt.number < attempt.number,
            None => self.incoming.len() < MOVES_MAX,
        };
        let takes = takes && !self.held.contains(&attempt.shard);
        if takes {
            let coming = ShardComing { from, attempt, since: now, prepared: false };
            self.incoming.insert(attempt.shard, coming);
        }
        takes
    }

    /// All records of an attempt are here. Returns the node to tell.
    pub(super) fn received(
        &mut self,
        shard: ShardId,
        number: MoveNumber,
    ) -> Option<(NodeIncarnation, HandOverAttempt)> {
        let incoming = self.incoming.get_mut(&shard)?;
        if incoming.attempt.number != number {
            return None;
        }
        incoming.prepared = true;
        Some((incoming.from, incoming.attempt))
    }

    /// The old home keeps the shard. Returns whether its records are void.
    pub(super) fn cancelled(&mut self, from: NodeIncarnation, attempt: HandOverAttempt) -> bool {
        let known = self.incoming.get(&attempt.shard);
        let found = known.is_some_and(|known| (known.from, known.attempt) == (from, attempt));
        if found {
            self.incoming.remove(&attempt.shard);
        }
        found
    }

    /// Shards whose records are void: the map has given them to another node, or stays silent for too long.
    pub(super) fn discard_late(
        &mut self,
        now: Instant,
        is_current: impl Fn(HandOverAttempt) -> bool,
    ) -> Vec<ShardId> {
        let late = |incoming: &ShardComing| {
            let passed = now.saturating_duration_since(incoming.since);
            passed >= MAP_PATIENCE || !is_current(incoming.attempt)
        };
        let taken = self.incoming.extract_if(.., |_, incoming| late(incoming));
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

    /// Offers a shard of the tenure 3 of node 1.
    fn offer(old: &mut HandOvers, number: u16, to: u64, now: Instant) -> HandOverAttempt {
        old.offer(shard(number), node(to), epoch(3, 1), now).unwrap()
    }

    #[test]
    fn a_shard_is_frozen_from_the_offer_until_the_map_is_read() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        old.install(shard(1), epoch(3, 1));
        assert!(old.is_in_use(shard(1)));
        let attempt = offer(&mut old, 1, 2, now);
        assert!(!old.is_in_use(shard(1)));
        let again = old.offer(shard(1), node(3), epoch(3, 1), now);
        assert_eq!(again, None, "one hand-over at a time");
        old.ready(node(3), attempt);
        assert!(old.that_are_ready().is_empty(), "another node's word");
        old.ready(node(2), attempt);
        assert_eq!(old.that_are_ready(), [(node(2), attempt)]);
        old.asked();
        assert!(!old.declined(node(2), attempt), "the map decides now");
        assert!(old.give_up_late(now + READY_PATIENCE, |_| false).is_empty());
        assert_eq!(old.settled(), [(node(2), attempt)]);
        assert!(old.is_in_use(shard(1)), "the map has left it here");
        offer(&mut old, 1, 2, now);
        old.release(shard(1));
        assert!(old.outgoing() == 0 && old.held().is_empty());
    }

    #[test]
    fn before_the_change_a_failure_leaves_the_shard_where_it_was() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        let attempts = [1, 2, 3].map(|number| {
            old.install(shard(number), epoch(3, 1));
            offer(&mut old, number, 2, now)
        });
        assert!(old.declined(node(2), attempts[0]) && old.is_in_use(shard(1)));
        let before = HandOverAttempt { epoch: epoch(2, 1), ..attempts[1] };
        assert!(!old.declined(node(2), before), "an offer of before");
        assert_eq!(old.give_up_late(now, |_| true), []);
        assert_eq!(old.give_up_late(now + READY_PATIENCE, |_| true).len(), 2);
        assert!(old.is_in_use(shard(3)));
    }

    #[test]
    fn what_is_said_of_an_earlier_attempt_counts_no_more() {
        let now = crate::clock::now();
        let (mut old, mut new) = (HandOvers::default(), HandOvers::default());
        old.install(shard(1), epoch(3, 1));
        let first = offer(&mut old, 1, 2, now);
        assert!(new.receive(node(1), first, now));
        old.give_up_late(now + READY_PATIENCE, |_| true);
        let second = offer(&mut old, 1, 2, now);
        old.ready(node(2), first);
        assert!(old.that_are_ready().is_empty() && !old.declined(node(2), first));
        assert!(new.receive(node(1), second, now) && !new.receive(node(1), first, now));
        assert_eq!(new.received(shard(1), first.number), None);
        assert!(!new.cancelled(node(1), first));
        assert_eq!(new.received(shard(1), second.number), Some((node(1), second)));
        old.ready(node(2), second);
        assert_eq!(old.that_are_ready(), [(node(2), second)]);
    }

    #[test]
    fn records_count_if_their_home_has_handed_the_shard_over() {
        let now = crate::clock::now();
        let mut new = HandOvers::default();
        let attempt = |number| HandOverAttempt {
            shard: shard(number),
            epoch: epoch(3, 1),
            number: MoveNumber(5),
        };
        assert!(new.receive(node(1), attempt(1), now));
        assert!(!new.is_prepared(shard(1)));
        assert_eq!(new.received(shard(1), MoveNumber(5)), Some((node(1), attempt(1))));
        assert!(new.is_prepared(shard(1)));
        assert_eq!(new.install(shard(1), epoch(4, 1)), Some(MoveNumber(5)));
        assert!(!new.receive(node(1), attempt(1), now), "it is here");
        new.receive(node(1), attempt(2), now);
        assert_eq!(new.install(shard(2), epoch(4, 1)), None, "the old home died first");
        new.receive(node(1), attempt(3), now);
        new.received(shard(3), MoveNumber(5));
        assert_eq!(new.install(shard(3), epoch(4, 2)), None, "it was taken over, and had gone on");
        new.receive(node(1), attempt(4), now);
        assert!(!new.cancelled(node(1), attempt(3)));
        assert!(new.cancelled(node(1), attempt(4)) && !new.receives_any());
        new.receive(node(1), attempt(5), now);
        assert!(new.discard_late(now, |_| true).is_empty());
        assert_eq!(new.discard_late(now, |_| false), [shard(5)]);
    }

    #[test]
    fn few_shards_move_at_once() {
        let now = crate::clock::now();
        let mut old = HandOvers::default();
        let moved = (0..100).filter_map(|number| {
            old.install(shard(number), epoch(1, 1));
            old.offer(shard(number), node(2), epoch(1, 1), now)
        });
        assert_eq!(moved.count(), MOVES_MAX);
    }
}
