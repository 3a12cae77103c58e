//! The store's sums over all shards: bytes, entries, and the clock of use. Atomics alone, so that shards and
//! references report to it with or without their own lock. Must not know shards.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The sums that all shards and references share; each is exact when the store is at rest.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Bytes stored, and about to be stored.
    pub(super) bytes: AtomicUsize,
    /// Memory of references, which all shards share.
    pub(super) references_memory: AtomicUsize,
    pub(super) entries: AtomicUsize,
    pub(super) refused: AtomicU64,
    /// Moves with each use. Wraps: a content that is left alone for 2^32 uses of others passes for a new one,
    /// and is only evicted later.
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
