//! Members that the store has forgotten. A node that starts fresh on such a store sees no one, and takes what has no
//! home; a former member that cannot reach the store cannot know of that (docs/OWNERSHIP.md, "What cannot be kept").

use std::collections::{BTreeMap, BTreeSet};

use seawall::core::ownership::{
    Epoch, HomeChange, NodeEvent, NodeIncarnation, PeerMessage, RenewAnswer, ShardId, Standing,
    StoreAnswer,
};

use crate::plan::LEASE;
use crate::process::Process;
use crate::world::Time;

/// A node that may go on alone tries the store first, by a call of a sixth of a lease time. Clocks drift.
const TRIES_FOR: Time = LEASE.checked_div(7).unwrap();

const fn tenure(shard: ShardId, epoch: Epoch) -> (ShardId, u64, NodeIncarnation) {
    (shard, epoch.number, epoch.taker)
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    /// Members that were forgotten and have yet to hear of those that have joined since: by which master, and when.
    lost: BTreeMap<NodeIncarnation, (u64, Time)>,
    /// The masters that have forgotten each member.
    forgotten: BTreeMap<NodeIncarnation, Vec<u64>>,
    /// When each node became a member.
    joined: BTreeMap<NodeIncarnation, Time>,
    /// Of the nodes that have given a shard this epoch, and those that it goes back to, the one that joined last.
    given: BTreeMap<(ShardId, u64, NodeIncarnation), NodeIncarnation>,
}

impl Forgotten {
    /// The store has another state now, in a life of this number.
    pub(crate) fn store_replaced(
        &mut self,
        before: &BTreeSet<NodeIncarnation>,
        after: &BTreeSet<NodeIncarnation>,
        number: u64,
        now: Time,
    ) {
        for node in before.difference(after) {
            self.lost.entry(*node).or_insert((number, now));
            self.forgotten.entry(*node).or_default().push(number);
        }
    }

    /// A node has become a member.
    pub(crate) fn joined(&mut self, node: NodeIncarnation, now: Time) {
        self.joined.insert(node, now);
    }

    /// The store has changed a home. One that joined before may give what a fresh node has given a newer epoch.
    pub(crate) fn changed(&mut self, change: &HomeChange) {
        let HomeChange { shard, read, new: Some(new) } = *change else { return };
        let before = read.and_then(|read| self.given.get(&tenure(shard, read)).copied());
        let latest = before.into_iter().chain([new.epoch.taker]);
        if let Some(latest) = latest.max_by_key(|node| self.joined.get(node)) {
            self.given.insert(tenure(shard, new.epoch), latest);
        }
    }

    /// Something happens to a node. Returns whether it finds out with this that the store has forgotten it.
    pub(crate) fn hears(&mut self, node: NodeIncarnation, event: &NodeEvent) -> bool {
        let answer: &StoreAnswer = match event {
            NodeEvent::StoreAnswered(_, answer) => answer,
            NodeEvent::PeerSaid(_, message) => match &**message {
                PeerMessage::Relayed(_, answer) => answer,
                _ => return false,
            },
            _ => return false,
        };
        // That it is no member does not tell who is.
        if matches!(answer, StoreAnswer::Renew(said) if matches!(**said, RenewAnswer::NotMember { .. }))
        {
            return false;
        }
        let run = answer.run().0;
        let Some((number, lost)) = self.lost.get(&node) else { return false };
        // A store that has gone back once more may have forgotten the nodes that have joined since, in its turn.
        let has_joined = |other| self.joined.get(other).is_some_and(|at| at > lost);
        let finds_out = run >= u128::from(*number) && !self.lost.keys().any(has_joined);
        if finds_out {
            self.lost.remove(&node);
        }
        finds_out
    }

    /// Whether the node goes by a map from before the store has forgotten the members that confirm each other, but for
    /// one at most. The other one was silent when the store changed, and has its lease from this store: it knows none
    /// that the store has forgotten, and counts on it that one alone cannot go on without the store.
    pub(crate) fn confirm(&self, speaks: &Process, other: &Process, now: Time) -> bool {
        let standing = |process: &Process| process.node.standing(process.moment(now));
        let leased = standing(other) == Ok(Standing::Leased);
        let confirmed = leased && standing(speaks) == Ok(Standing::Confirmed);
        let run = speaks.node.content().run.0;
        let known = other.node.content().run.0;
        let since = |node: &NodeIncarnation| {
            let mut numbers = self.forgotten.get(node).into_iter().flatten();
            numbers.any(|number| (run + 1..=known).contains(&u128::from(*number)))
        };
        let (lost, others): (Vec<_>, Vec<_>) = speaks.node.members().partition(since);
        confirmed && !lost.is_empty() && others.len() <= 1
    }

    /// Whether the former member cannot know that the other speaks for the shard: the store has forgotten it, it has
    /// had no answer since, and the shard was given by a node that has become a member after that, or goes back to such
    /// a node. One that is alone must have tried since it was last stopped.
    pub(crate) fn excuses(
        &self,
        former: &Process,
        other: &Process,
        shard: ShardId,
        now: Time,
    ) -> bool {
        let Some((_, lost)) = self.lost.get(&former.node.incarnation()) else { return false };
        let giver =
            other.node.home(shard).and_then(|home| self.given.get(&tenure(shard, home.epoch)));
        let fresh = giver.and_then(|giver| self.joined.get(giver)).is_some_and(|at| at > lost);
        let alone = former.node.standing(former.moment(now)) == Ok(Standing::Lone);
        fresh && (!alone || now >= former.resumed + TRIES_FOR)
    }
}
