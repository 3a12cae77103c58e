//! Which shards a node hands over, and to whom: all of them when it leaves, some when another has less than its
//! share.

use std::collections::BTreeMap;

use super::balance::{Heir, assign, to_ask_for};
use super::events::{NodeEffect, PeerMessage};
use super::hand_over::MOVES_MAX;
use super::ids::{Epoch, NodeIncarnation};
use super::moment::Moment;
use super::node::{Node, NodePhase};
use super::shard::ShardId;
use crate::mutation::{Breach, is_on};

impl Node {
    /// Ends what takes too long, and begins what is to move.
    pub(super) fn move_shards(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let view = &self.view;
        let late = self.moves.give_up_late(now.monotonic, |node| view.is_member(node));
        for (shard, to, epoch) in late {
            out.push(NodeEffect::Unfreeze(shard));
            out.push(NodeEffect::Say(to, Box::new(PeerMessage::Cancel(shard, epoch))));
        }
        let is_current = |shard, _, epoch: Epoch| {
            view.home(shard).is_none_or(|home| !home.epoch.newer_than(epoch))
        };
        let void = self.moves.discard_late(now.monotonic, is_current);
        out.extend(void.into_iter().map(NodeEffect::Discard));
        if !self.lease_counts(now) || self.moves.outgoing() >= MOVES_MAX {
            return;
        }
        match self.phase {
            NodePhase::Leaving => self.hand_all_over(now, out),
            NodePhase::Member => self.ask_for_share(now, out),
            NodePhase::Joining | NodePhase::Gone => {}
        }
    }

    /// Members that renew and do not leave: they may get shards. Each with its load.
    pub(super) fn heirs(&self, now: Moment) -> Vec<Heir> {
        let loads = self.view.loads();
        let lives = |node: NodeIncarnation| {
            let stillness = self.watch.stillness(node, now.monotonic);
            stillness.is_some_and(|(_, still)| still < self.params.lease)
        };
        let heads = self.view.heads().values();
        let me = self.lease.incarnation;
        let stays = heads.filter(|head| {
            let node = head.incarnation;
            let leaves = if node == me { self.lease.leaving } else { self.view.is_leaving(node) };
            !leaves && (node == me || lives(node))
        });
        let heir = |head: &super::lease::LeaseHead| Heir {
            node: head.incarnation,
            name: head.name.clone(),
            load: loads.get(&head.incarnation).copied().unwrap_or(0),
        };
        stays.map(heir).collect()
    }

    fn hand_all_over(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let refused = |at| now.monotonic.saturating_duration_since(at) < self.params.retry_after();
        if self.waits.refused_at.is_some_and(refused) {
            return;
        }
        let staying: Vec<ShardId> =
            self.moves.held().iter().copied().filter(|s| self.moves.is_in_use(*s)).collect();
        if staying.is_empty() {
            return;
        }
        let heirs = self.heirs(now);
        let homes = assign(staying.into_iter(), heirs, usize::from(self.params.shards));
        for (shard, to) in homes {
            self.offer(shard, to, now, out);
        }
    }

    fn offer(
        &mut self,
        shard: ShardId,
        to: NodeIncarnation,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        let known = self.view.known(shard);
        // What the store shows differently is restored first.
        let Some(epoch) = known.epoch.filter(|epoch| Some(*epoch) == known.stored) else { return };
        if self.moves.offer(shard, to, epoch, now.monotonic) {
            out.push(NodeEffect::Freeze { shard, to });
            out.push(NodeEffect::Say(to, Box::new(PeerMessage::Offer(shard, epoch))));
        }
    }

    /// A node with less than its share asks those with more, one step at a time.
    fn ask_for_share(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let interval = self.params.ask_every();
        let early = |at| now.monotonic.saturating_duration_since(at) < interval;
        if self.moves.receives_any() || self.waits.wanted_at.is_some_and(early) {
            return;
        }
        if is_on(Breach::OwnershipNeverBalances) {
            return;
        }
        let heirs = self.heirs(now);
        let loads: BTreeMap<_, _> = heirs.iter().map(|heir| (heir.node, heir.load)).collect();
        let me = self.lease.incarnation;
        let share = usize::from(self.params.shards) / heirs.len().max(1);
        let load = loads.get(&me).copied().unwrap_or(0);
        if load >= share {
            return;
        }
        let homes = self.view.shards().filter_map(|(shard, known)| {
            let home = known.node.filter(|node| *node != me)?;
            Some((shard, home, *loads.get(&home)?))
        });
        let asked = to_ask_for(&self.lease.name, load, share, homes, MOVES_MAX);
        self.waits.wanted_at = Some(now.monotonic);
        for (home, shards) in asked {
            out.push(NodeEffect::Say(home, Box::new(PeerMessage::Want(shards))));
        }
    }

    /// A member asks for some of this node's shards. It gets what this node has beyond its own share.
    pub(super) fn wanted_by(
        &mut self,
        from: NodeIncarnation,
        shards: &[ShardId],
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        let heirs = self.heirs(now);
        let is_heir = heirs.iter().any(|heir| heir.node == from);
        if !is_heir || self.phase != NodePhase::Member || !self.lease_counts(now) {
            return;
        }
        let share = usize::from(self.params.shards) / heirs.len().max(1);
        for shard in shards {
            let stay = self.moves.held().len().saturating_sub(self.moves.outgoing());
            if stay > share {
                self.offer(*shard, from, now, out);
            }
        }
    }

    /// A member offers a shard.
    pub(super) fn offered(
        &mut self,
        from: NodeIncarnation,
        (shard, epoch): (ShardId, Epoch),
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        let able = self.phase == NodePhase::Member && self.lease_counts(now);
        if able && self.moves.receive(shard, from, epoch, now.monotonic) {
            out.push(NodeEffect::Receive { shard, from });
        } else {
            out.push(NodeEffect::Say(from, Box::new(PeerMessage::Decline(shard, epoch))));
        }
    }

    /// The data plane has all records of a shard.
    pub(super) fn records_received(&mut self, shard: ShardId, out: &mut Vec<NodeEffect>) {
        if let Some((from, epoch)) = self.moves.received(shard) {
            out.push(NodeEffect::Say(from, Box::new(PeerMessage::Ready(shard, epoch))));
        }
    }
}
