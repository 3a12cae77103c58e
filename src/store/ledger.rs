//! The store's sums over all shards: bytes, entries, and the clock of use. Atomics alone, so that a shard
//! and a reference report to it while they hold their own lock or none. Must not know shards.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// What all shards share.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Bytes kept, and about to be kept.
    pub(super) bytes: AtomicUsize,
    /// Memory of references, which belong to no shard.
    pub(super) references_memory: AtomicUsize,
    pub(super) entries: AtomicUsize,
    pub(super) refused: AtomicU64,
    /// Moves with each use. Wraps; a content would have to be left alone for 2^32 uses of others to pass
    /// for a new one, and would then only be evicted later.
    clock: AtomicU32,
}

impl Ledger {
    pub(super) fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&self) -> u32 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}
