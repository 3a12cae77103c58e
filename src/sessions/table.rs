//! The map behind the table of sessions. Its order is random, except in a simulation, which must come out
//! the same each time.

use std::sync::Arc;

use dashmap::DashMap;

use super::entry::SessionEntry;
use crate::ident::InstanceUid;

#[cfg(not(feature = "simulation"))]
type Hasher = std::hash::RandomState;
#[cfg(feature = "simulation")]
type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

pub(super) type Table = DashMap<InstanceUid, Arc<SessionEntry>, Hasher>;

#[cfg(not(feature = "simulation"))]
pub(super) fn empty() -> Table {
    DashMap::default()
}

/// The number of shards is set, for by default it follows the machine's number of cores.
#[cfg(feature = "simulation")]
pub(super) fn empty() -> Table {
    DashMap::with_hasher_and_shard_amount(Hasher::default(), 4)
}

/// Some other agent.
pub(super) fn another(table: &Table, than: InstanceUid) -> Option<InstanceUid> {
    table.iter().map(|entry| *entry.key()).find(|uid| *uid != than)
}
