//! What of the table of sessions is random: the order of its entries, and the secret of its digests.
//! A simulation must come out the same each time, and so has neither.

use std::sync::Arc;

use dashmap::DashMap;

use super::slot::Slot;
use crate::ident::InstanceUid;

#[cfg(not(feature = "simulation"))]
type Hasher = std::hash::RandomState;
#[cfg(feature = "simulation")]
type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

pub(super) type Table = DashMap<InstanceUid, Arc<Slot>, Hasher>;

#[cfg(not(feature = "simulation"))]
pub(super) fn empty() -> Table {
    DashMap::default()
}

/// Without a word on the number of shards it would be the machine's number of cores.
#[cfg(feature = "simulation")]
pub(super) fn empty() -> Table {
    DashMap::with_hasher_and_shard_amount(Hasher::default(), 4)
}

/// Some other agent.
pub(super) fn another(table: &Table, than: InstanceUid) -> Option<InstanceUid> {
    table.iter().map(|entry| *entry.key()).find(|uid| *uid != than)
}

/// What digests are keyed with. One node: nobody else reads them, and nobody else can know it.
#[cfg(not(feature = "simulation"))]
pub(super) fn secret() -> [u8; 32] {
    rand::random()
}

#[cfg(feature = "simulation")]
pub(super) const fn secret() -> [u8; 32] {
    [7; 32]
}
