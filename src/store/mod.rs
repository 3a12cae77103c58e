//! The content store: what agents report, once for each content, within a budget of bytes.
//!
//! Ten thousand collectors with one configuration store it once. Who holds a [`Content`] is a user of it;
//! with its last user a content is gone. Over budget, the bytes least recently used go first: handles stay
//! valid and read as nothing, which only means that the agent is asked, and whoever supplies the same
//! bytes again supplies them to all users.
//!
//! Bytes are shared between agents only if they are equal, and that is found by comparing them, never on
//! the word of a digest that an agent could have prepared. Evicted bytes cannot be compared: of them a
//! SHA-256 is kept. Components are the exception that the specification makes, since their agents give
//! them a hash of their own: they are given out by it within one identity's [`Scope`].
//!
//! Small contents are kept compressed, see `references`; what is compared, hashed and given out are their
//! bytes as they were put.
//!
//! Sharded: an operation takes one lock at a time, briefly, in constant time; comparing, copying, compressing,
//! hashing evicted bytes and deallocation happen outside of it (but that two threads put the same new content
//! at one moment is found by comparing what they are about to store). Memory: a handle is 16 bytes, in a set
//! 4; an entry, beside its bytes and some 30 that counting their users and the allocator add, a slot of 64
//! bytes and 6 to 12 in the index. Knows nothing of sessions, sockets or metrics' names.

mod address;
mod body;
mod figures;
mod handle;
mod ledger;
mod reference;
mod references;
mod shard;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use address::Scope;
use address::{Address, Sharing, sha256};
pub use figures::ContentFigures;
use handle::Shards;
pub use handle::{Content, ContentSet};

use crate::opamp::digest::{Digest, DigestKey, RawHash};
use ledger::Ledger;
use references::References;
use shard::Shard;
use slots::Fingerprint;

/// Limits of the store, already validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreParams {
    /// Bytes of contents as they are kept, all together; what is behind them takes memory of its own (see the
    /// module).
    pub bytes_max: usize,
    /// Contents that may have users at one time, with their bytes or without.
    pub entries_max: usize,
    /// How many locks there are; rounded up to a power of two, at most 1,024.
    pub shards: usize,
}

impl Default for StoreParams {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, entries_max: 8_000_000, shards: 64 }
    }
}

/// The store. Cheap to share behind an `Arc`; see the module.
#[derive(Debug)]
pub struct ContentStore {
    shards: Arc<Shards>,
    references: References,
    ledger: Arc<Ledger>,
    params: StoreParams,
    /// Of this store alone, so that nobody can fill one place of the index.
    key: DigestKey,
}

/// More would leave too few bits to number what is in them.
const SHARDS_MAX: usize = 1 << 10;

impl ContentStore {
    /// An empty store.
    pub fn new(params: StoreParams) -> Self {
        let ledger = Arc::new(Ledger::default());
        let count = params.shards.clamp(1, SHARDS_MAX).next_power_of_two();
        let shards = Arc::new(Shards::new(count, || Shard::new(Arc::clone(&ledger))));
        let references = References::new(params.bytes_max, Arc::clone(&ledger));
        let random: [u8; 32] = rand::random();
        Self { shards, references, ledger, params, key: DigestKey::derive(&random) }
    }

    /// Keeps bytes that have this digest, or shares those that are there and equal.
    ///
    /// Nothing if there is no room for them at all (they alone are over the budget, or there are too many
    /// entries): then they are not kept, as if they had been evicted at once.
    pub fn put(&self, scope: Scope, digest: Digest, bytes: &[u8]) -> Option<Content> {
        let mut scoped = [0; 32];
        scoped[..16].copy_from_slice(&scope.0);
        scoped[16..].copy_from_slice(&digest.0);
        let key = RawHash::of(&self.key, &scoped).0.to_le_bytes();
        let hash = low(RawHash::of(&self.key, bytes)) ^ low(RawHash::of(&self.key, &key));
        self.store(Address { key, hash, sharing: Sharing::Equal }, bytes)
    }

    /// Keeps components under the hash that their agent gives them; those that are there under it stay.
    /// Nothing as in [`ContentStore::put`].
    pub fn put_components(&self, scope: Scope, hash: &[u8], bytes: &[u8]) -> Option<Content> {
        self.store(self.components_address(scope, hash), bytes)
    }

    /// Components that an agent of the same scope has reported under this hash, if they are there.
    pub fn find_components(&self, scope: Scope, hash: &[u8]) -> Option<Content> {
        let address = self.components_address(scope, hash);
        let number = self.shards.number_for(address.hash);
        let slot = self.shards.get(number).find(&address)?;
        Some(Content::new(&self.shards, number, slot))
    }

    /// A set for contents of this store.
    pub fn set<const N: usize>(&self) -> ContentSet<N> {
        ContentSet::new(&self.shards)
    }

    /// What the store holds and has done.
    pub fn figures(&self) -> ContentFigures {
        let mut figures = ContentFigures {
            bytes: self.ledger.bytes.load(Ordering::Relaxed),
            memory: size_of::<Self>() + self.ledger.references_memory.load(Ordering::Relaxed),
            refused: self.ledger.refused.load(Ordering::Relaxed),
            ..ContentFigures::default()
        };
        self.shards.iter().for_each(|shard| figures.add(&shard.figures()));
        figures
    }

    fn components_address(&self, scope: Scope, hash: &[u8]) -> Address {
        let key = sha256(&[&scope.0, hash]);
        Address { key, hash: low(RawHash::of(&self.key, &key)), sharing: Sharing::Named }
    }

    fn store(&self, address: Address, bytes: &[u8]) -> Option<Content> {
        let number = self.shards.number_for(address.hash);
        let shard = self.shards.get(number);
        let handle = |slot| Some(Content::new(&self.shards, number, slot));
        let evicted = match shard.share(&address, bytes) {
            shard::Shared::Slot(slot) => return handle(slot),
            shard::Shared::Evicted => true,
            shard::Shared::Unknown => false,
        };
        // Were all entries in one shard, it would still have numbers for them.
        let entries_max = self.params.entries_max.min(self.shards.slots_max());
        let full = self.ledger.entries.load(Ordering::Relaxed) >= entries_max;
        if bytes.len() > self.params.bytes_max || full && !evicted {
            self.ledger.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let body = self.references.pack(bytes);
        self.reserve(body.len());
        let fingerprint = evicted.then(|| Fingerprint::of(bytes));
        handle(shard.insert(&address, body, fingerprint))
    }

    /// Takes `bytes` from the budget; others go while that is more than there is.
    fn reserve(&self, bytes: usize) {
        let mut used = self.ledger.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while used > self.params.bytes_max {
            let now = self.ledger.now();
            let age = |shard: &&Shard| shard.oldest().map(|used| now.wrapping_sub(used));
            let Some(oldest) = self.shards.iter().filter(|s| s.oldest().is_some()).max_by_key(age)
            else {
                // The rest is what other threads are about to insert.
                return;
            };
            oldest.evict();
            used = self.ledger.bytes.load(Ordering::Relaxed);
        }
    }
}

fn low(RawHash(hash): RawHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
