//! Slots of one shard: entries by number, and the order in which their bytes were used.
//!
//! The order is a list through the slots that have bytes, from the newest to the oldest. Links are numbers,
//! so that a slot stays small and the code stays safe. Slots are allocated some at a time, stay where they
//! are, and are used again; their memory stays allocated. Must not know the meaning of keys, or budgets.

use super::address::sha256;
use super::body::Body;
use super::figures::allocated;

/// Stands for the end of a list.
const NONE: u32 = u32::MAX;
/// Slots that are allocated at once: 2 KiB.
const PAGE_SLOTS: usize = 32;

/// How evicted bytes are recognised: their SHA-256, for which an agent is unable to prepare others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }
}

/// What a slot has of its content. Two variants, which together are as small as one.
#[derive(Debug)]
pub(super) enum SlotContent {
    Body(Body),
    /// The bytes were evicted. `None` while their fingerprint is being taken, and in a free slot.
    Fingerprint(Option<Box<Fingerprint>>),
}

impl SlotContent {
    fn memory(&self) -> usize {
        match self {
            Self::Body(body) => body.memory(),
            Self::Fingerprint(Some(fingerprint)) => allocated(size_of_val(&**fingerprint)),
            Self::Fingerprint(None) => 0,
        }
    }
}

/// One content.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) hash: u64,
    pub(super) key: [u8; 16],
    pub(super) users: u32,
    /// When the bytes were last used, or evicted, on the store's own clock.
    pub(super) used_at: u32,
    pub(super) content: SlotContent,
    newer: u32,
    /// The next in the order of use; of a free slot, the next free one.
    older: u32,
}

/// All slots of a shard.
#[derive(Debug)]
pub(super) struct Slots {
    pages: Vec<Vec<Slot>>,
    /// How many there are, free ones included.
    count: usize,
    free: u32,
    newest: u32,
    oldest: u32,
    /// Memory of their contents, in bytes.
    content_memory: usize,
}

impl Default for Slots {
    fn default() -> Self {
        let (free, newest, oldest) = (NONE, NONE, NONE);
        Self { pages: Vec::new(), count: 0, free, newest, oldest, content_memory: 0 }
    }
}

impl Slots {
    pub(super) fn get(&self, index: u32) -> &Slot {
        &self.pages[index as usize / PAGE_SLOTS][index as usize % PAGE_SLOTS]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.pages[index as usize / PAGE_SLOTS][index as usize % PAGE_SLOTS]
    }

    /// Memory of the slots and of their contents, references apart.
    pub(super) fn memory(&self) -> usize {
        let pages = self.pages.len() * allocated(PAGE_SLOTS * size_of::<Slot>());
        pages + allocated(self.pages.capacity() * size_of::<Vec<Slot>>()) + self.content_memory
    }

    /// The slot with the least recently used bytes.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// A new slot, yet to get users and bytes.
    pub(super) fn add(&mut self, hash: u64, key: [u8; 16]) -> u32 {
        let content = SlotContent::Fingerprint(None);
        let slot = Slot { hash, key, users: 0, used_at: 0, content, newer: NONE, older: NONE };
        if self.free != NONE {
            let index = self.free;
            self.free = self.get(index).older;
            *self.get_mut(index) = slot;
            return index;
        }
        if self.count.is_multiple_of(PAGE_SLOTS) {
            self.pages.push(Vec::with_capacity(PAGE_SLOTS));
        }
        let index = u32::try_from(self.count).ok().filter(|index| *index != NONE);
        self.pages[self.count / PAGE_SLOTS].push(slot);
        self.count += 1;
        index.expect("a shard's slots take more memory than there is before their numbers run out")
    }

    /// Frees a slot; returns what it had, which the caller drops after it has released the lock.
    pub(super) fn remove(&mut self, index: u32) -> SlotContent {
        let content = self.take(index);
        let free = self.free;
        self.get_mut(index).older = free;
        self.free = index;
        content
    }

    /// Gives an empty or evicted slot its bytes, as the newest. Returns what it had, like [`Slots::remove`].
    pub(super) fn supply(&mut self, index: u32, body: Body, now: u32) -> SlotContent {
        self.link(index, now);
        self.replace(index, SlotContent::Body(body))
    }

    /// Notes how the bytes evicted from a slot are recognised.
    pub(super) fn note(&mut self, index: u32, fingerprint: Box<Fingerprint>) {
        self.replace(index, SlotContent::Fingerprint(Some(fingerprint)));
    }

    /// Takes what a slot has, and takes it out of the order of use.
    pub(super) fn take(&mut self, index: u32) -> SlotContent {
        let content = self.replace(index, SlotContent::Fingerprint(None));
        if matches!(content, SlotContent::Body(_)) {
            self.unlink(index);
        }
        content
    }

    fn replace(&mut self, index: u32, content: SlotContent) -> SlotContent {
        self.content_memory += content.memory();
        let old = std::mem::replace(&mut self.get_mut(index).content, content);
        self.content_memory -= old.memory();
        old
    }

    /// A slot that has bytes becomes the newest.
    pub(super) fn note_use(&mut self, index: u32, now: u32) {
        if self.newest == index {
            self.get_mut(index).used_at = now;
        } else {
            self.unlink(index);
            self.link(index, now);
        }
    }

    fn link(&mut self, index: u32, now: u32) {
        let newest = std::mem::replace(&mut self.newest, index);
        let slot = self.get_mut(index);
        (slot.used_at, slot.newer, slot.older) = (now, NONE, newest);
        match newest {
            NONE => self.oldest = index,
            newest => self.get_mut(newest).newer = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let (newer, older) = (self.get(index).newer, self.get(index).older);
        match newer {
            NONE => self.newest = older,
            newer => self.get_mut(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.get_mut(older).newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(slots: &Slots) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = slots.newest;
        while at != NONE {
            found.push(at);
            at = slots.get(at).older;
        }
        let mut backwards = Vec::new();
        let mut at = slots.oldest;
        while at != NONE {
            backwards.push(at);
            at = slots.get(at).newer;
        }
        backwards.reverse();
        assert_eq!(found, backwards);
        found
    }

    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn the_order_is_that_of_use() {
        let mut slots = Slots::default();
        for index in 0..4 {
            assert_eq!(slots.add(0, [0; 16]), index);
            slots.supply(index, Body::whole(b"x"), index);
        }
        assert_eq!(order(&slots), [3, 2, 1, 0]);
        slots.note_use(1, 4);
        slots.note_use(1, 5);
        slots.note_use(0, 6);
        assert_eq!(order(&slots), [0, 1, 3, 2]);
        assert!(matches!(slots.take(3), SlotContent::Body(_)));
        assert_eq!((order(&slots), slots.oldest()), (vec![0, 1, 2], Some(2)));
        slots.remove(3);
        slots.remove(2);
        assert_eq!(order(&slots), [0, 1]);
        assert_eq!((slots.add(0, [0; 16]), slots.add(0, [0; 16])), (2, 3));
        assert_eq!(slots.add(0, [0; 16]), 4);
        slots.remove(0);
        slots.remove(1);
        assert_eq!((order(&slots), slots.oldest()), (vec![], None));
    }
}
