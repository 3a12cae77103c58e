//! Which shards a node hands over, and to whom: all of them when it leaves, some when another has less than its
//! share.

use std::collections::BTreeMap;

use super::balance::{assign, to_ask_for};
use super::events::{HandOverAttempt, NodeEffect, PeerMessage};
use super::hand_over::MOVES_MAX;
use super::ids::{MoveNumber, NodeIncarnation};
use super::node::NodePhase;
use super::shard::ShardId;
use super::step::NodeStep;
use crate::mutation::{Breach, is_on};

impl NodeStep<'_> {
    /// Ends what takes too long, and begins what is to move.
    pub(super) fn move_shards(&mut self) {
        let view = &self.node.view;
        let late = self.node.moves.give_up_late(self.now.monotonic, |node| view.is_member(node));
        for (to, attempt) in late {
            self.out.push(NodeEffect::Unfreeze(attempt.shard));
            self.out.push(NodeEffect::Say(to, Box::new(PeerMessage::Cancel(attempt))));
        }
        let is_current = |of: HandOverAttempt| {
            view.home(of.shard).is_none_or(|home| !home.epoch.newer_than(of.epoch))
        };
        let void = self.node.moves.discard_late(self.now.monotonic, is_current);
        self.out.extend(void.into_iter().map(NodeEffect::Discard));
        if !self.node.lease_counts(self.now) || self.node.moves.outgoing() >= MOVES_MAX {
            return;
        }
        match self.node.phase {
            NodePhase::Leaving => self.hand_all_over(),
            NodePhase::Member => self.ask_for_share(),
            NodePhase::Joining | NodePhase::Gone => {}
        }
    }

    fn hand_all_over(&mut self) {
        let refused =
            |at| self.now.monotonic.saturating_duration_since(at) < self.node.params.retry_after();
        let keeps = is_on(Breach::OwnershipHandsNothingOver);
        if self.node.waits.refused_at.is_some_and(refused) || keeps {
            return;
        }
        let staying: Vec<ShardId> = self
            .node
            .moves
            .held()
            .iter()
            .copied()
            .filter(|s| self.node.moves.is_in_use(*s))
            .collect();
        if staying.is_empty() {
            return;
        }
        let heirs = self.judge().heirs();
        let homes = assign(staying.into_iter(), heirs, usize::from(self.node.params.shards));
        for (shard, to) in homes {
            self.offer(shard, to);
        }
    }

    fn offer(&mut self, shard: ShardId, to: NodeIncarnation) {
        let known = self.node.view.known(shard);
        // What the store shows differently is restored first.
        let Some(epoch) = known.epoch.filter(|epoch| Some(*epoch) == known.stored) else { return };
        if let Some(attempt) = self.node.moves.offer(shard, to, epoch, self.now.monotonic) {
            self.out.push(NodeEffect::Freeze { shard, to, attempt: attempt.number });
            self.out.push(NodeEffect::Say(to, Box::new(PeerMessage::Offer(attempt))));
        }
    }

    /// A node with less than its share asks those with more, one step at a time.
    fn ask_for_share(&mut self) {
        let interval = self.node.params.ask_every();
        let early = |at| self.now.monotonic.saturating_duration_since(at) < interval;
        if self.node.moves.receives_any() || self.node.waits.wanted_at.is_some_and(early) {
            return;
        }
        if is_on(Breach::OwnershipNeverBalances) {
            return;
        }
        let heirs = self.judge().heirs();
        let loads: BTreeMap<_, _> = heirs.iter().map(|heir| (heir.node, heir.load)).collect();
        let me = self.node.lease.incarnation;
        let share = usize::from(self.node.params.shards) / heirs.len().max(1);
        let load = loads.get(&me).copied().unwrap_or(0);
        if load >= share {
            return;
        }
        let homes = self.node.view.shards().filter_map(|(shard, known)| {
            let home = known.node.filter(|node| *node != me)?;
            Some((shard, home, *loads.get(&home)?))
        });
        let asked = to_ask_for(&self.node.lease.name, load, share, homes, MOVES_MAX);
        self.node.waits.wanted_at = Some(self.now.monotonic);
        for (home, shards) in asked {
            self.out.push(NodeEffect::Say(home, Box::new(PeerMessage::Want(shards))));
        }
    }

    /// A member asks for some of this node's shards. It gets what this node has beyond its own share.
    pub(super) fn wanted_by(&mut self, from: NodeIncarnation, shards: &[ShardId]) {
        let heirs = self.judge().heirs();
        let is_heir = heirs.iter().any(|heir| heir.node == from);
        if !is_heir || self.node.phase != NodePhase::Member || !self.node.lease_counts(self.now) {
            return;
        }
        let share = usize::from(self.node.params.shards) / heirs.len().max(1);
        for shard in shards {
            let stay = self.node.moves.held().len().saturating_sub(self.node.moves.outgoing());
            if stay > share {
                self.offer(*shard, from);
            }
        }
    }

    /// A member offers a shard.
    pub(super) fn offered(&mut self, from: NodeIncarnation, attempt: HandOverAttempt) {
        let able = self.node.phase == NodePhase::Member && self.node.lease_counts(self.now);
        if able && self.node.moves.receive(from, attempt, self.now.monotonic) {
            let HandOverAttempt { shard, number, .. } = attempt;
            self.out.push(NodeEffect::Receive { shard, from, attempt: number });
        } else {
            self.out.push(NodeEffect::Say(from, Box::new(PeerMessage::Decline(attempt))));
        }
    }

    /// The data plane has all records that an attempt brings.
    pub(super) fn records_received(&mut self, shard: ShardId, number: MoveNumber) {
        if let Some((from, attempt)) = self.node.moves.received(shard, number) {
            self.out.push(NodeEffect::Say(from, Box::new(PeerMessage::Ready(attempt))));
        }
    }
}
