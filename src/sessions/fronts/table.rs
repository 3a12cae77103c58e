//! All connections of this front, by shard; and where each shard's home is, as far as this front has been told.
//!
//! A shard's home may change, come into reach or go out of it. These changes are numbered for each shard, and each
//! connection notes the last one that it has been told of. So it hears of each once: before its agent's next message,
//! or in the round that `reach` makes, if that comes first.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::entry::FrontEntry;
use crate::core::node_link::Handle;
use crate::core::ownership::{Home, SHARDS, ShardId, shard_of};
use crate::ident::{ConnectionId, InstanceUid};

/// See the module's text.
#[derive(Debug)]
pub(super) struct FrontTable {
    shards: Box<[ShardFronts]>,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct ShardFronts {
    /// The number in [`FrontsOfShard`], to be read without its lock.
    change: AtomicU32,
    state: Mutex<FrontsOfShard>,
}

#[derive(Debug, Default)]
struct FrontsOfShard {
    home: Option<Home>,
    change: u32,
    fronts: BTreeMap<Handle, Arc<FrontEntry>>,
}

impl Default for FrontTable {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| ShardFronts::default()).collect();
        Self { shards, len: AtomicUsize::new(0) }
    }
}

impl FrontTable {
    fn shard(&self, shard: ShardId) -> &ShardFronts {
        &self.shards[shard.index()]
    }

    /// The number of the shard's last change.
    pub(super) fn change(&self, shard: ShardId) -> u32 {
        self.shard(shard).change.load(Ordering::Acquire)
    }

    /// The shard's home if it is in reach, and the number of the last change.
    pub(super) fn home(&self, shard: ShardId) -> (Option<Home>, u32) {
        let state = self.shard(shard).state.lock();
        (state.home, state.change)
    }

    /// The shard's home is this one from now on.
    pub(super) fn set_home(&self, shard: ShardId, home: Option<Home>) {
        let place = self.shard(shard);
        let mut state = place.state.lock();
        state.home = home;
        state.change = state.change.wrapping_add(1);
        place.change.store(state.change, Ordering::Release);
    }

    /// Puts a connection into the table; `make` is given where its home is.
    pub(super) fn open(
        &self,
        handle: Handle,
        make: impl FnOnce((Option<Home>, u32)) -> FrontEntry,
    ) -> Arc<FrontEntry> {
        let mut state = self.shard(shard_of(handle.uid)).state.lock();
        let entry = Arc::new(make((state.home, state.change)));
        if state.fronts.insert(handle, Arc::clone(&entry)).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        entry
    }

    pub(super) fn remove(&self, handle: Handle) {
        let removed = self.shard(shard_of(handle.uid)).state.lock().fronts.remove(&handle);
        if removed.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn find(&self, handle: Handle) -> Option<Arc<FrontEntry>> {
        self.shard(shard_of(handle.uid)).state.lock().fronts.get(&handle).cloned()
    }

    /// How many connections there are, closed ones included whose homes have yet to hear of it.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// All connections of an agent, oldest first.
    pub(super) fn of_agent(&self, uid: InstanceUid) -> Vec<Arc<FrontEntry>> {
        let handle = |connection| Handle { uid, connection: ConnectionId(connection) };
        let state = self.shard(shard_of(uid)).state.lock();
        let of_agent = state.fronts.range(handle(0)..=handle(u64::MAX));
        of_agent.map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// The latest connection of an agent.
    pub(super) fn latest(&self, uid: InstanceUid) -> Option<Arc<FrontEntry>> {
        let handle = |connection| Handle { uid, connection: ConnectionId(connection) };
        let state = self.shard(shard_of(uid)).state.lock();
        let mut of_agent = state.fronts.range(handle(0)..=handle(u64::MAX));
        of_agent.next_back().map(|(_, entry)| Arc::clone(entry))
    }

    /// Up to `max` connections of a shard, in order, behind one of them.
    pub(super) fn after(
        &self,
        shard: ShardId,
        last: Option<Handle>,
        max: usize,
    ) -> Vec<Arc<FrontEntry>> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.shard(shard).state.lock();
        let behind = state.fronts.range((from, Bound::Unbounded));
        behind.take(max).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Calls `each` for every connection.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<FrontEntry>)) {
        for shard in ShardId::all() {
            self.after(shard, None, usize::MAX).iter().for_each(&mut each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::node_link::AgentConnection;

    #[test]
    fn an_agents_latest_connection_is_found_and_a_round_goes_in_order() {
        let table = FrontTable::default();
        let uid = InstanceUid::from_bytes([7; 16]);
        let handle = |connection| Handle { uid, connection: ConnectionId(connection) };
        let open = |connection| {
            table.open(handle(connection), |place| {
                FrontEntry::new(handle(connection), AgentConnection::WebSocket, place)
            })
        };
        [3, 1, 2].into_iter().for_each(|n| drop(open(n)));
        assert_eq!(table.latest(uid).map(|entry| entry.handle), Some(handle(3)));
        let shard = shard_of(uid);
        let after = |last, max| -> Vec<_> {
            let entries = table.after(shard, last, max);
            entries.iter().map(|entry| entry.handle.connection.0).collect()
        };
        assert_eq!(after(None, 2), [1, 2]);
        assert_eq!(after(Some(handle(2)), 2), [3]);
        assert_eq!((table.of_agent(uid).len(), table.len()), (3, 3));
        table.remove(handle(3));
        table.remove(handle(3));
        assert!(table.find(handle(3)).is_none());
        assert_eq!(table.len(), 2);
        assert_eq!(table.latest(uid).map(|entry| entry.handle), Some(handle(2)));
        assert_eq!((table.change(shard), table.home(shard)), (0, (None, 0)));
        table.set_home(shard, None);
        assert_eq!((table.change(shard), table.home(shard)), (1, (None, 1)));
    }
}
