//! One part of the store behind one lock: an index, slots, and who uses them.
//!
//! ```text
//!            put               over budget                  taken
//! (none) ─────────▶ Body ────────────────▶ being hashed ───────────▶ Fingerprint
//!                     ▲                                                   │
//!                     └─────────── the same bytes are put again ──────────┘
//! ```
//! From each state the end of the last use leads back to (none). Must not know how bytes are compressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::address::{Address, Sharing};
use super::body::Body;
use super::figures::ContentFigures;
use super::ledger::Ledger;
use super::slots::{Fingerprint, Slot, SlotContent, Slots};

/// What there is at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// The content; a use of it has been counted.
    Slot(u32),
    /// Evicted bytes that may be the content.
    Evicted,
    /// The address is empty.
    Unknown,
}

/// Every entry's bytes are evicted.
const NOTHING_USED: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<ShardState>,
    /// When the oldest bytes were used last, so that the store finds the oldest of all by atomics alone.
    oldest: AtomicU64,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Default)]
struct ShardState {
    index: HashTable<u32>,
    slots: Slots,
    figures: ContentFigures,
}

impl Shard {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { state: Mutex::default(), oldest: AtomicU64::new(NOTHING_USED), ledger }
    }

    /// When the least recently used bytes were used, if any are there.
    pub(super) fn oldest(&self) -> Option<u32> {
        u32::try_from(self.oldest.load(Ordering::Relaxed)).ok()
    }

    pub(super) fn figures(&self) -> ContentFigures {
        let state = self.state.lock();
        let memory = state.slots.memory() + state.index.allocation_size() + size_of::<Self>();
        ContentFigures { memory, ..state.figures }
    }

    /// Adds a use of the content at an address, if it is there and has its bytes.
    ///
    /// Compares bytes outside of the lock. The use is counted before and holds the slot: meanwhile its bytes
    /// can be evicted, but only the same bytes revive them, so the slot stays the same content's.
    pub(super) fn share(&self, address: &Address, bytes: &[u8]) -> Shared {
        let mut state = self.state.lock();
        let Some(slot) = state.find_stored(address) else { return state.evicted(address) };
        self.note_use(&mut state, slot);
        state.figures.shared += 1;
        state.add_user(slot);
        let body = state.body(slot);
        drop(state);
        if address.sharing == Sharing::Named || body.is_some_and(|body| body.is(bytes)) {
            return Shared::Slot(slot);
        }
        // Two contents have one hash, by chance alone: `insert` looks through all of them.
        self.state.lock().figures.shared -= 1;
        self.remove_user(slot);
        self.state.lock().evicted(address)
    }

    /// Adds a use of what has been named at an address.
    pub(super) fn find(&self, address: &Address) -> Option<u32> {
        let mut state = self.state.lock();
        let Some(slot) = state.find_stored(address) else {
            state.figures.misses += 1;
            return None;
        };
        state.figures.hits += 1;
        self.note_use(&mut state, slot);
        state.add_user(slot);
        Some(slot)
    }

    /// Adds a content whose bytes are accounted for, or revives the one that has the fingerprint, or shares
    /// what another thread has inserted meanwhile. Counts a use of it.
    pub(super) fn insert(
        &self,
        address: &Address,
        body: Body,
        fingerprint: Option<Fingerprint>,
    ) -> u32 {
        let mut state = self.state.lock();
        let same = state.find(address, |slot| match &slot.content {
            SlotContent::Body(own) => address.sharing == Sharing::Named || own.is_same(&body),
            SlotContent::Fingerprint(_) => false,
        });
        if let Some(slot) = same {
            self.ledger.bytes.fetch_sub(body.len(), Ordering::Relaxed);
            state.figures.shared += 1;
            self.note_use(&mut state, slot);
            state.add_user(slot);
            return slot;
        }
        let revived = state.find(address, |slot| match (&slot.content, address.sharing) {
            (SlotContent::Fingerprint(Some(own)), Sharing::Equal) => {
                fingerprint.as_ref() == Some(&**own)
            }
            (SlotContent::Fingerprint(Some(_)), Sharing::Named) => true,
            _ => false,
        });
        let slot = if let Some(slot) = revived {
            state.figures.revived += 1;
            state.figures.entries_evicted -= 1;
            slot
        } else {
            state.figures.stored += 1;
            self.ledger.entries.fetch_add(1, Ordering::Relaxed);
            state.add(address)
        };
        let old = state.slots.supply(slot, body, self.ledger.tick());
        self.publish(&state);
        state.add_user(slot);
        drop(state);
        drop(old);
        slot
    }

    /// Evicts the oldest bytes. Takes their fingerprint outside of the lock, because they may be large; they
    /// can be revived once it is there.
    pub(super) fn evict(&self) {
        let mut state = self.state.lock();
        let Some(slot) = state.slots.oldest() else { return };
        let SlotContent::Body(body) = state.slots.take(slot) else { return };
        let evicted_at = self.ledger.tick();
        state.slots.get_mut(slot).used_at = evicted_at;
        state.figures.evictions += 1;
        state.figures.entries_evicted += 1;
        self.publish(&state);
        drop(state);
        self.ledger.bytes.fetch_sub(body.len(), Ordering::Relaxed);
        let Some(fingerprint) = body.read(|bytes| Box::new(Fingerprint::of(bytes))) else { return };
        let mut state = self.state.lock();
        let entry = state.slots.get_mut(slot);
        // By now the slot can be another content's, which was evicted at another moment, if at all.
        let is_same = entry.users > 0 && entry.used_at == evicted_at;
        if is_same && matches!(entry.content, SlotContent::Fingerprint(None)) {
            state.slots.note(slot, fingerprint);
        }
    }

    /// A content's bytes, to be read after the lock is released; this counts as a use of them.
    pub(super) fn read(&self, slot: u32) -> Option<Body> {
        let mut state = self.state.lock();
        let Some(body) = state.body(slot) else {
            state.figures.misses += 1;
            return None;
        };
        state.figures.hits += 1;
        self.note_use(&mut state, slot);
        Some(body)
    }

    /// Whether a slot has its bytes. Looking leaves the order of use as it is.
    pub(super) fn is_stored(&self, slot: u32) -> bool {
        matches!(self.state.lock().slots.get(slot).content, SlotContent::Body(_))
    }

    pub(super) fn add_user(&self, slot: u32) {
        self.state.lock().add_user(slot);
    }

    /// Ends a use; the last one ends the content.
    pub(super) fn remove_user(&self, slot: u32) {
        let mut state = self.state.lock();
        state.figures.handles -= 1;
        let entry = state.slots.get_mut(slot);
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let content = state.remove(slot);
        self.publish(&state);
        drop(state);
        self.ledger.entries.fetch_sub(1, Ordering::Relaxed);
        if let SlotContent::Body(body) = content {
            self.ledger.bytes.fetch_sub(body.len(), Ordering::Relaxed);
        }
    }

    fn note_use(&self, state: &mut ShardState, slot: u32) {
        state.slots.note_use(slot, self.ledger.tick());
        self.publish(state);
    }

    fn publish(&self, state: &ShardState) {
        let oldest = state.slots.oldest().map(|slot| u64::from(state.slots.get(slot).used_at));
        self.oldest.store(oldest.unwrap_or(NOTHING_USED), Ordering::Relaxed);
    }
}

impl ShardState {
    fn find(&self, address: &Address, is_it: impl Fn(&Slot) -> bool) -> Option<u32> {
        let found = self.index.find(address.hash, |index| {
            let slot = self.slots.get(*index);
            slot.hash == address.hash && slot.key == address.key && is_it(slot)
        });
        found.copied()
    }

    /// A content at an address that has its bytes.
    fn find_stored(&self, address: &Address) -> Option<u32> {
        self.find(address, |slot| matches!(slot.content, SlotContent::Body(_)))
    }

    fn body(&self, slot: u32) -> Option<Body> {
        match &self.slots.get(slot).content {
            SlotContent::Body(body) => Some(body.clone()),
            SlotContent::Fingerprint(_) => None,
        }
    }

    /// What to say of an address whose bytes are gone.
    fn evicted(&self, address: &Address) -> Shared {
        let is_it = |slot: &Slot| matches!(slot.content, SlotContent::Fingerprint(Some(_)));
        self.find(address, is_it).map_or(Shared::Unknown, |_| Shared::Evicted)
    }

    fn add(&mut self, address: &Address) -> u32 {
        let slot = self.slots.add(address.hash, address.key);
        let slots = &self.slots;
        self.index.insert_unique(address.hash, slot, |slot| slots.get(*slot).hash);
        self.figures.entries += 1;
        slot
    }

    fn remove(&mut self, slot: u32) -> SlotContent {
        let hash = self.slots.get(slot).hash;
        if let Ok(entry) = self.index.find_entry(hash, |own| *own == slot) {
            entry.remove();
        }
        let content = self.slots.remove(slot);
        self.figures.entries -= 1;
        if !matches!(content, SlotContent::Body(_)) {
            self.figures.entries_evicted -= 1;
        }
        content
    }

    fn add_user(&mut self, slot: u32) {
        let entry = self.slots.get_mut(slot);
        entry.users = entry.users.checked_add(1).expect("fewer handles than fit in memory");
        self.figures.handles += 1;
    }
}
