//! What a session holds of contents: uses of them, counted as long as they live. Must not know how a shard
//! finds a content.

use std::fmt;
use std::sync::Arc;

#[cfg(test)]
use bytes::Bytes;

use super::shard::Shard;

/// All shards, and how a content's place is made of the numbers of its shard and slot.
#[derive(Debug)]
pub(super) struct Shards {
    all: Box<[Shard]>,
    /// A place's lowest bits say which shard it is in.
    shard_bits: u32,
}

/// Where a content is: 4 bytes, because a session has one for each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentPlace(u32);

impl ContentPlace {
    const NONE: Self = Self(u32::MAX);
}

impl Shards {
    /// `count` shards, a power of two of at most 2^16.
    pub(super) fn new(count: usize, shard: impl Fn() -> Shard) -> Self {
        let all = (0..count).map(|_| shard()).collect();
        Self { all, shard_bits: count.trailing_zeros() }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Shard> {
        self.all.iter()
    }

    /// The number of the shard of an address with this hash.
    pub(super) fn number_for(&self, hash: u64) -> usize {
        // The index itself uses the highest and the lowest bits.
        let bits = usize::try_from(hash >> 32 & 0xffff).expect("16 bits");
        bits & (self.all.len() - 1)
    }

    pub(super) fn get(&self, number: usize) -> &Shard {
        &self.all[number]
    }

    /// Slots that a shard may number, less a margin for slots that other threads add meanwhile.
    pub(super) fn slots_max(&self) -> usize {
        /// More than the threads that put contents at one moment.
        const MARGIN: u32 = 1 << 12;
        ((u32::MAX >> self.shard_bits) - MARGIN) as usize
    }

    fn place(&self, number: usize, slot: u32) -> ContentPlace {
        let number = u32::try_from(number).expect("few shards");
        ContentPlace(slot << self.shard_bits | number)
    }

    fn at(&self, ContentPlace(place): ContentPlace) -> (&Shard, u32) {
        let number = place & !(u32::MAX << self.shard_bits);
        (&self.all[number as usize], place >> self.shard_bits)
    }

    fn append(&self, place: ContentPlace, out: &mut Vec<u8>) -> bool {
        let (shard, slot) = self.at(place);
        let body = shard.read(slot);
        body.and_then(|body| body.read(|bytes| out.extend_from_slice(bytes))).is_some()
    }

    fn release(&self, place: ContentPlace) {
        if place != ContentPlace::NONE {
            let (shard, slot) = self.at(place);
            shard.remove_user(slot);
        }
    }
}

/// One use of a content. Cloning is another use; the content goes with its last.
pub struct Content {
    shards: Arc<Shards>,
    place: ContentPlace,
}

impl Content {
    /// The handle of a use that the shard of this number has already counted.
    pub(super) fn new(shards: &Arc<Shards>, number: usize, slot: u32) -> Self {
        Self { place: shards.place(number, slot), shards: Arc::clone(shards) }
    }

    /// Appends the bytes to a message; `false` if they were evicted. For callers that copy the bytes anyway:
    /// this saves the memory of sharing them.
    pub fn append_to(&self, out: &mut Vec<u8>) -> bool {
        self.shards.append(self.place, out)
    }

    /// Ends this handle, while the use itself goes on.
    fn into_place(mut self) -> ContentPlace {
        std::mem::replace(&mut self.place, ContentPlace::NONE)
    }
}

/// What tests ask of a content.
#[cfg(test)]
impl Content {
    /// The bytes as they were put; `None` if they were evicted.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        let (shard, slot) = self.shards.at(self.place);
        shard.read(slot)?.read(Bytes::copy_from_slice)
    }

    /// Whether the bytes are there at present. Looking leaves the order of use as it is.
    pub(super) fn is_stored(&self) -> bool {
        let (shard, slot) = self.shards.at(self.place);
        shard.is_stored(slot)
    }

    /// Whether both are uses of one content, which is then in memory once.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shards, &other.shards) && self.place == other.place
    }
}

impl Clone for Content {
    fn clone(&self) -> Self {
        let (shard, slot) = self.shards.at(self.place);
        shard.add_user(slot);
        Self { shards: Arc::clone(&self.shards), place: self.place }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.shards.release(self.place);
    }
}

/// Uses of up to `N` contents of one store, in 4 bytes each, where a [`Content`] takes 16.
#[derive(Debug)]
pub struct ContentSet<const N: usize> {
    shards: Arc<Shards>,
    places: [ContentPlace; N],
}

impl<const N: usize> ContentSet<N> {
    /// An empty set.
    pub(super) fn new(shards: &Arc<Shards>) -> Self {
        Self { shards: Arc::clone(shards), places: [ContentPlace::NONE; N] }
    }

    /// Puts a content of the same store at `index`, in place of the one that was there.
    pub fn set(&mut self, index: usize, content: Option<Content>) {
        debug_assert!(content.as_ref().is_none_or(|own| Arc::ptr_eq(&own.shards, &self.shards)));
        let place = content.map_or(ContentPlace::NONE, Content::into_place);
        self.shards.release(std::mem::replace(&mut self.places[index], place));
    }

    /// Whether the content at `index` has its bytes at present.
    pub fn is_stored(&self, index: usize) -> bool {
        let place = self.places[index];
        place != ContentPlace::NONE && {
            let (shard, slot) = self.shards.at(place);
            shard.is_stored(slot)
        }
    }

    /// Appends the bytes of the content at `index` to a message; `false` if the place is empty, or the bytes
    /// were evicted.
    pub fn append_to(&self, index: usize, out: &mut Vec<u8>) -> bool {
        let place = self.places[index];
        place != ContentPlace::NONE && self.shards.append(place, out)
    }
}

impl<const N: usize> Drop for ContentSet<N> {
    fn drop(&mut self) {
        self.places.iter().for_each(|place| self.shards.release(*place));
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("place", &self.place).finish_non_exhaustive()
    }
}
