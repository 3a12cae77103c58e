//! Shards: fixed shares of all instance uids, each with at most one home.
//!
//! Every node, in every version, must put a uid into the same shard: the hash is spelt out here and held
//! by golden values.

use crate::core::placement::mix;
use crate::ident::InstanceUid;

use super::ids::{Epoch, NodeIncarnation};

/// How many shards there are. It never changes: a node of another number would be of another fleet.
pub const SHARDS: u16 = 1024;

/// A shard, from 0 to [`SHARDS`] - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard of this number; `None` if there is none.
    pub const fn new(number: u16) -> Option<Self> {
        if number < SHARDS { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Its number, as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All shards, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

/// The node that holds a shard's sessions and speaks to servers for them, and its tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Home {
    /// The node.
    pub node: NodeIncarnation,
    /// Its tenure.
    pub epoch: Epoch,
}

/// The shard of an agent, by the 128 bits of its uid: both forms of a uid are in the same shard.
pub fn shard_of(uid: InstanceUid) -> ShardId {
    /// Keeps the choice of shard independent of the choice of server and link.
    const SEED: u64 = 0x7365_6177_616c_6c31;
    let (high, low) = uid.as_bytes().split_at(8);
    let number = |half: &[u8]| half.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    let mixed = mix(mix(number(high) ^ SEED).wrapping_add(number(low)));
    // The highest ten bits.
    #[allow(clippy::cast_possible_truncation)]
    ShardId((mixed >> 54) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> InstanceUid {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }

    #[test]
    fn the_same_on_every_node_and_version() {
        let shards = [0, 1, 2, 3, 1_000_000].map(|n| shard_of(uid(n)).get());
        assert_eq!(shards, [579, 682, 611, 919, 116]);
        let ulid = InstanceUid::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let binary = InstanceUid::from_bytes(*ulid.as_bytes());
        assert_eq!(shard_of(ulid), shard_of(binary));
    }

    #[test]
    fn agents_are_spread_evenly() {
        let mut counts = vec![0_u32; usize::from(SHARDS)];
        for n in 0..102_400 {
            counts[shard_of(uid(n)).index()] += 1;
        }
        assert!(counts.iter().all(|n| (50..160).contains(n)), "{counts:?}");
    }

    #[test]
    fn there_is_no_shard_beyond_the_last() {
        assert_eq!(ShardId::all().count(), usize::from(SHARDS));
        assert_eq!(ShardId::new(SHARDS - 1).map(ShardId::get), Some(SHARDS - 1));
        assert_eq!(ShardId::new(SHARDS), None);
    }
}
