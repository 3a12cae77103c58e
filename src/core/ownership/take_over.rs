//! The changes that a node makes: it hands over what is ready, ends its membership, takes over from the dead, and
//! gives homes to shards without one.
//!
//! A member counts as dead if all of these hold:
//! - its counter has stood still for a lease time, and the change carries it as it stood;
//! - this node has confirmed it to speak a lease time ago or earlier, and from now on confirms it no more;
//! - what that node holds true of the membership includes this one, so that it needs this node's confirmation.
//!   Otherwise it may speak for `autonomy`, and counts as dead a lease time after that.
//!
//! What a node takes may belong to one that has gone unseen: so every other member must know the taker.

use std::collections::{BTreeMap, BTreeSet};

use super::balance::{Heir, assign};
use super::calls::{Change, HomeChange};
use super::clock_reading::ClockReading;
use super::events::HandOverAttempt;
use super::ids::{Counter, Epoch, NodeIncarnation};
use super::lease::LeaseHead;
use super::node::Node;
use super::shard::{Home, ShardId};
use super::view::ShardKnown;
use crate::mutation::{Breach, is_on};

/// A node at one moment, as it judges the others.
pub(super) struct Judge<'a> {
    pub(super) node: &'a Node,
    pub(super) now: ClockReading,
}

impl Judge<'_> {
    /// Members that renew and do not leave: they may get shards. Each with its load.
    pub(super) fn heirs(&self) -> Vec<Heir> {
        let loads = self.node.view.loads();
        let lives = |node: NodeIncarnation| {
            let stillness = self.node.watch.stillness(node, self.now.monotonic);
            stillness.is_some_and(|(_, still)| still < self.node.params.lease)
        };
        let heads = self.node.view.heads().values();
        let me = self.node.lease.incarnation;
        let stays = heads.filter(|head| {
            let node = head.incarnation;
            let leaves =
                if node == me { self.node.lease.leaving } else { self.node.view.is_leaving(node) };
            !leaves && (node == me || lives(node))
        });
        let heir = |head: &LeaseHead| Heir {
            node: head.incarnation,
            name: head.name.clone(),
            load: loads.get(&head.incarnation).copied().unwrap_or(0),
        };
        stays.map(heir).collect()
    }

    fn change(&self, homes: Vec<HomeChange>) -> Change {
        // A renewal sent after this change makes it void: see `open_call`.
        let me = self.node.lease.incarnation;
        let still = vec![(me, self.node.own.counter())];
        Change { by: me, still, remove: Vec::new(), add: None, homes }
    }

    const fn next_epoch(&self, epoch: Option<Epoch>) -> Epoch {
        let number = match epoch {
            Some(epoch) => epoch.number + 1,
            None => 1,
        };
        Epoch { number, taker: self.node.lease.incarnation }
    }

    /// Hands over what is ready.
    pub(super) fn hand_over(&self) -> Option<Change> {
        let ready = self.node.moves.that_are_ready();
        let homes: Vec<HomeChange> = ready
            .into_iter()
            .filter(|(to, _)| self.node.view.is_member(*to))
            .map(|(node, HandOverAttempt { shard, epoch, .. })| {
                let new = Some(Home { node, epoch: self.next_epoch(Some(epoch)) });
                HomeChange { shard, read: Some(epoch), new }
            })
            .collect();
        if homes.is_empty() {
            return None;
        }
        Some(self.change(homes))
    }

    /// Ends the membership when everything is handed over, or when there is no other node to take it.
    pub(super) fn leaving(&self) -> Option<Change> {
        let held = self.node.moves.held();
        if !held.is_empty() && !self.heirs().is_empty() {
            return None;
        }
        let me = self.node.lease.incarnation;
        let stored = self.node.view.shards().filter(|(_, known)| known.stored_node == Some(me));
        let vacant = |(shard, known): (ShardId, &ShardKnown)| HomeChange {
            shard,
            read: known.stored,
            new: None,
        };
        let mut change = self.change(stored.map(vacant).collect());
        change.remove.push(me);
        Some(change)
    }

    /// Takes over from the dead, and gives homes to shards without one. Comes with the nodes that the caller is bound
    /// towards from here on.
    pub(super) fn take_over(&self) -> Option<(Change, Vec<NodeIncarnation>)> {
        let heads = self.node.view.heads().keys().copied();
        let me = self.node.lease.incarnation;
        let dead: BTreeMap<NodeIncarnation, Counter> = heads
            .filter(|node| *node != me)
            .filter_map(|node| Some((node, self.dead_counter(node)?)))
            .collect();
        let gone: BTreeSet<NodeIncarnation> =
            self.node.waits.missing_homes().filter(|home| self.is_gone(*home)).collect();
        let all = self.node.waits.first_wait_is_over(self.now.monotonic, &self.node.params);
        let left = |known: &ShardKnown| match known.node {
            None => all,
            Some(home) => {
                dead.contains_key(&home) || gone.contains(&home) || self.is_outlived(known)
            }
        };
        let stored_left =
            |known: &ShardKnown| known.stored_node.is_some_and(|home| dead.contains_key(&home));
        let known_by_all = |node| dead.contains_key(&node) || self.node.view.knows_me(node);
        let stranger = is_on(Breach::OwnershipTakesAsStranger);
        if !self.node.view.others().all(known_by_all) && !stranger {
            return None;
        }
        let shards: Vec<(ShardId, ShardKnown)> = self
            .node
            .view
            .shards()
            .filter(|(_, known)| left(known) || stored_left(known))
            .map(|(shard, known)| (shard, *known))
            .collect();
        if dead.is_empty() && shards.is_empty() {
            return None;
        }
        let homes = self.new_homes(&shards, &dead, &left);
        let mut change = self.change(homes);
        if !is_on(Breach::OwnershipTakesWithoutCounter) {
            change.still.extend(dead.iter().map(|(node, counter)| (*node, *counter)));
        }
        change.remove.extend(dead.keys());
        let outlived = shards.iter().filter(|(_, known)| self.is_outlived(known));
        let outlived = outlived.filter_map(|(_, known)| known.node);
        let asked = dead.keys().chain(&gone).copied().chain(outlived).collect();
        Some((change, asked))
    }

    /// Where shards without a living home go. One whose home is alive, though the store shows a dead one, is
    /// written as its home has it; one that the store shows with a living home stays there, with a newer epoch.
    fn new_homes(
        &self,
        shards: &[(ShardId, ShardKnown)],
        dead: &BTreeMap<NodeIncarnation, Counter>,
        left: &dyn Fn(&ShardKnown) -> bool,
    ) -> Vec<HomeChange> {
        let lives =
            |node: NodeIncarnation| self.node.view.is_member(node) && !dead.contains_key(&node);
        let keeps = |known: &ShardKnown| match (known.node, known.stored_node) {
            (Some(node), _) if !left(known) => Some(node),
            (_, Some(node)) if lives(node) => Some(node),
            _ => None,
        };
        let mut heirs = self.heirs();
        heirs.retain(|heir| lives(heir.node));
        let open = shards.iter().filter(|(_, known)| keeps(known).is_none());
        let total = usize::from(self.node.params.shards);
        let homes = assign(open.map(|(shard, _)| *shard), heirs, total);
        let change = |(shard, known): &(ShardId, ShardKnown)| {
            let node = keeps(known).or_else(|| homes.get(shard).copied())?;
            let epoch = match known.epoch {
                Some(epoch) if !left(known) => epoch,
                epoch => self.next_epoch(epoch),
            };
            let new = Some(Home { node, epoch });
            Some(HomeChange { shard: *shard, read: known.stored, new })
        };
        shards.iter().filter_map(change).collect()
    }

    /// Where a member's counter stands, if the member counts as dead.
    fn dead_counter(&self, node: NodeIncarnation) -> Option<Counter> {
        let (counter, still) = self.node.watch.stillness(node, self.now.monotonic)?;
        let known = self.node.view.heads().get(&node)?;
        let same_name = known.name == self.node.lease.name;
        let free = self.node.confirmations.is_free_of(node, self.now.monotonic, &self.node.params);
        let needs_me = same_name || self.is_needed_by(node);
        let wait = if needs_me { self.node.params.lease } else { self.node.params.stranger_wait() };
        (free && still >= wait).then_some(counter)
    }

    /// Whether the store, which went back, gives the shard to a member, while the newer home that this node
    /// remembers is no member any more, and no confirmation of this node lets it speak. Whatever else that one may
    /// do, the member speaks already: it gets a newer epoch, so that all members hold the same view again.
    fn is_outlived(&self, known: &ShardKnown) -> bool {
        let number = |epoch: Option<Epoch>| epoch.map(|epoch| epoch.number);
        let (now, params) = (self.now.monotonic, &self.node.params);
        let gone = |home| {
            !self.node.view.is_member(home) && self.node.confirmations.is_free_of(home, now, params)
        };
        known.stored_node.is_some_and(|home| self.node.view.is_member(home))
            && known.node.is_some_and(gone)
            && number(known.epoch) > number(known.stored)
    }

    /// Whether a home that is no member can speak no more.
    fn is_gone(&self, home: NodeIncarnation) -> bool {
        let wait = if self.is_needed_by(home) {
            self.node.params.lease
        } else {
            self.node.params.stranger_wait()
        };
        let passed = self.node.waits.missing_for(home, self.now.monotonic);
        passed.is_some_and(|passed| passed >= wait)
            && self.node.confirmations.is_free_of(home, self.now.monotonic, &self.node.params)
    }

    /// Whether that node can speak without its lease only if this one confirms it.
    fn is_needed_by(&self, node: NodeIncarnation) -> bool {
        let knows = self.node.view.knows_me(node) || self.node.waits.alone.contains(&node);
        knows || is_on(Breach::OwnershipTakesAsStranger)
    }
}
