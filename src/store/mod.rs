//! The content store: what agents report, once for each content, within a budget of bytes.
//!
//! Ten thousand collectors with one configuration store it once. Each holder of a [`Content`] is a user of
//! it; with its last user a content is gone. Over budget, the bytes least recently used are evicted first.
//! Handles stay valid then and read as empty, which only means that the agent is asked; an agent that
//! supplies the same bytes again supplies them to all users.
//!
//! Agents share bytes only if the bytes are equal. The store compares them, because an agent could have
//! prepared a digest. Evicted bytes are gone, so it compares their SHA-256 instead. Components are the
//! exception that the specification makes: their agents give them a hash of their own, by which the store
//! gives them out within one identity's [`Scope`].
//!
//! Small contents are stored compressed, see `references`. The store compares, hashes and gives out bytes as
//! they were put.
//!
//! Sharded: an operation takes one lock at a time, briefly, in constant time. Comparing, copying,
//! compressing, hashing of evicted bytes and deallocation happen outside of it. The one exception: when two
//! threads put the same new content at one moment, the second compares the stored forms under the lock.
//!
//! Memory: a handle is 16 bytes, in a set 4. An entry takes its bytes, some 30 more for counting its users
//! and for the allocator, a slot of 64 bytes, and 6 to 12 bytes in the index. Must not know sessions,
//! sockets or metrics' names.

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
    /// Bytes of all contents, small ones compressed; index and counts take memory of their own (see the
    /// module).
    pub bytes_max: usize,
    /// Contents that may have users at one time, those with evicted bytes included.
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
    /// Random for each store, so that an agent is unable to fill one place of the index.
    key: DigestKey,
}

/// More shards would leave too few bits for the slots in each.
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

    /// Stores bytes that have this digest, or shares equal bytes that are there.
    ///
    /// `None` if they are too large (they alone are over the budget) or the entries are used up: the caller
    /// goes on as if they had been evicted at once.
    pub fn put(&self, scope: Scope, digest: Digest, bytes: &[u8]) -> Option<Content> {
        let mut scoped = [0; 32];
        scoped[..16].copy_from_slice(&scope.0);
        scoped[16..].copy_from_slice(&digest.0);
        let key = RawHash::of(&self.key, &scoped).0.to_le_bytes();
        let hash = low(RawHash::of(&self.key, bytes)) ^ low(RawHash::of(&self.key, &key));
        self.store(Address { key, hash, sharing: Sharing::Equal }, bytes)
    }

    /// Stores components under the hash that their agent gives them; components that are there under it stay.
    /// `None` as in [`ContentStore::put`].
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
        // One shard has numbers for all entries, should they all fall into it.
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

    /// Takes `bytes` from the budget, and evicts others while the budget is overdrawn.
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
