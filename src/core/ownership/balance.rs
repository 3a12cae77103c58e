//! Which shards go to which node. Shards that need a home are spread by rendezvous among the nodes that have room;
//! a node that has less than its share asks those that have more. Every other shard stays where it is.

use std::collections::BTreeMap;

use super::ids::{NodeIncarnation, NodeName};
use super::shard::ShardId;
use crate::core::placement::{Seed, weight};
use crate::ident::InstanceUid;

/// A node that may get shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heir {
    pub(super) node: NodeIncarnation,
    pub(super) name: NodeName,
    /// The shards that it has.
    pub(super) load: usize,
}

/// The weight of a node for a shard: the highest wins. It depends on the node's name, so that a node that starts
/// again gets much of what it had.
fn rendezvous(shard: ShardId, name: &NodeName) -> u64 {
    let mut bytes = [0; 16];
    bytes[14..].copy_from_slice(&shard.get().to_be_bytes());
    weight(InstanceUid::from_bytes(bytes), Seed::of_name(name.as_str()))
}

/// Gives each of these shards to an heir, and no heir more than its part of `total`. Empty without an heir.
pub(super) fn assign(
    shards: impl Iterator<Item = ShardId>,
    mut heirs: Vec<Heir>,
    total: usize,
) -> BTreeMap<ShardId, NodeIncarnation> {
    let mut homes = BTreeMap::new();
    let most = total.div_ceil(heirs.len().max(1));
    for shard in shards {
        let by_weight = |heir: &&mut Heir| (heir.load < most, rendezvous(shard, &heir.name));
        let Some(heir) = heirs.iter_mut().max_by_key(by_weight) else { break };
        heir.load += 1;
        homes.insert(shard, heir.node);
    }
    homes
}

/// What a node with this load asks for: at most `most` shards, of nodes that have more than their part. `homes`
/// are the shards of nodes that can give, with their home's load.
pub(super) fn to_ask_for(
    name: &NodeName,
    load: usize,
    share: usize,
    homes: impl Iterator<Item = (ShardId, NodeIncarnation, usize)>,
    most: usize,
) -> BTreeMap<NodeIncarnation, Vec<ShardId>> {
    let missing = share.saturating_sub(load).min(most);
    let mut offered: Vec<(ShardId, NodeIncarnation, usize)> = homes.collect();
    offered.sort_by_key(|(shard, ..)| std::cmp::Reverse(rendezvous(*shard, name)));
    let mut left: BTreeMap<NodeIncarnation, usize> =
        offered.iter().map(|(_, home, load)| (*home, load.saturating_sub(share))).collect();
    let mut asked: BTreeMap<NodeIncarnation, Vec<ShardId>> = BTreeMap::new();
    let mut count = 0;
    for (shard, home, _) in offered {
        let Some(spare) = left.get_mut(&home).filter(|spare| **spare > 0) else { continue };
        if count == missing {
            break;
        }
        *spare -= 1;
        count += 1;
        asked.entry(home).or_default().push(shard);
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::super::kit::{node, shard};
    use super::*;

    fn heir(number: u64, load: usize) -> Heir {
        Heir { node: node(number), name: name(number), load }
    }

    fn name(number: u64) -> NodeName {
        NodeName::try_new(&format!("node-{number}")).unwrap()
    }

    fn shards(numbers: std::ops::Range<u16>) -> impl Iterator<Item = ShardId> {
        numbers.map(shard)
    }

    #[test]
    fn shards_of_the_dead_are_spread_among_the_living() {
        let heirs = vec![heir(1, 341), heir(2, 341)];
        let homes = assign(shards(0..342), heirs, 1024);
        let of_first = homes.values().filter(|home| **home == node(1)).count();
        assert_eq!((homes.len(), of_first), (342, 171));
        assert!(assign(shards(0..3), Vec::new(), 12).is_empty());
    }

    #[test]
    fn a_returning_node_gets_much_of_what_it_had() {
        let all = |numbers: &[u64]| {
            let heirs = numbers.iter().map(|number| heir(*number, 0)).collect();
            assign(shards(0..1024), heirs, 1024)
        };
        let (before, after) = (all(&[1, 2, 3]), all(&[3, 1, 2]));
        assert_eq!(before, after, "in whatever order they are listed");
        let without = all(&[1, 2]);
        let moved =
            before.iter().filter(|(shard, home)| **home != node(3) && without[*shard] != **home);
        assert!(moved.count() < 150, "the bound moves a few of the others");
    }

    #[test]
    fn a_joiner_asks_for_its_share_and_leaves_the_others_theirs() {
        let homes = || shards(0..12).map(|shard| (shard, node(1 + u64::from(shard.get() % 2)), 6));
        let asked = to_ask_for(&name(3), 0, 4, homes(), 64);
        assert_eq!(asked.values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert!(to_ask_for(&name(3), 4, 4, homes(), 64).is_empty(), "it has its share");
        let few = to_ask_for(&name(3), 0, 4, homes(), 1);
        assert_eq!(few.values().map(Vec::len).sum::<usize>(), 1, "one step at a time");
    }
}
