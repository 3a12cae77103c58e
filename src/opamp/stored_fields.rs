//! Fields stored for later, the latest of each number (and map key), as bytes.
//!
//! The occurrences of a field within one message stay together, as a protobuf decoder would merge them; those
//! of a later message replace them. Must not know what the fields mean.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::fields::{ScanError, WireType, fields};

/// What one stored field costs beside its bytes: its place in the map. An estimate, in bytes.
pub(super) const OVERHEAD_BYTES: usize = 64;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct StoredField {
    /// Which message it came with.
    generation: u32,
    /// Tag, length and value; several times if the message had it so.
    whole: Vec<u8>,
}

/// The latest of each field. Allocates with the first one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct StoredFields {
    /// In the order of numbers; the second half of the key is that of a map entry, or empty.
    items: BTreeMap<(u32, Box<[u8]>), StoredField>,
    bytes: usize,
}

impl StoredFields {
    /// Stores a field of the message `generation`.
    pub(super) fn put(&mut self, number: u32, map_key: &[u8], generation: u32, whole: &[u8]) {
        self.bytes += whole.len();
        match self.items.entry((number, map_key.into())) {
            Entry::Vacant(place) => {
                self.bytes += OVERHEAD_BYTES + map_key.len();
                place.insert(StoredField { generation, whole: whole.to_vec() });
            }
            Entry::Occupied(place) if place.get().generation == generation => {
                let stored = place.into_mut();
                stored.whole.reserve_exact(whole.len());
                stored.whole.extend_from_slice(whole);
            }
            Entry::Occupied(mut place) => {
                let former = place.insert(StoredField { generation, whole: whole.to_vec() });
                self.bytes -= former.whole.len();
            }
        }
    }

    /// Takes one field out.
    pub(super) fn remove(&mut self, number: u32) -> Option<Vec<u8>> {
        let stored = self.items.remove(&(number, Box::default()))?;
        self.bytes -= OVERHEAD_BYTES + stored.whole.len();
        Some(stored.whole)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.items.contains_key(&(number, Box::default()))
    }

    /// Drops what came with the message `generation`; returns how many bytes that frees and how many
    /// fields it were.
    pub(super) fn drop_generation(&mut self, generation: u32) -> (usize, u32) {
        let before = self.bytes;
        let mut dropped = 0;
        self.items.retain(|(_, map_key), stored| {
            let stays = stored.generation != generation;
            if !stays {
                self.bytes -= OVERHEAD_BYTES + map_key.len() + stored.whole.len();
                dropped += 1;
            }
            stays
        });
        (before - self.bytes, dropped)
    }

    /// Whether anything came with the message `generation`.
    pub(super) fn any_of(&self, generation: u32) -> bool {
        self.items.values().any(|stored| stored.generation == generation)
    }

    /// Whether everything came with the message `generation`.
    pub(super) fn all_of(&self, generation: u32) -> bool {
        self.items.values().all(|stored| stored.generation == generation)
    }

    /// Bytes written by [`StoredFields::write`].
    pub(super) fn written_bytes(&self) -> usize {
        self.items.values().map(|stored| stored.whole.len()).sum()
    }

    /// Appends all fields in the order of their numbers.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for stored in self.items.values() {
            out.extend_from_slice(&stored.whole);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes held, overhead included.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The key of a map entry whose keys are strings: field 1 of the entry, empty if absent.
///
/// # Errors
/// If the entry is malformed.
pub(super) fn map_key(entry: &[u8]) -> Result<&[u8], ScanError> {
    let mut key: &[u8] = &[];
    for field in fields(entry) {
        let field = field?;
        if field.number == 1 {
            field.expect(WireType::Len)?;
            key = &entry[field.value];
        }
    }
    Ok(key)
}
