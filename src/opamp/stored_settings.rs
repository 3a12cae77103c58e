//! Offers of connection settings, stored for later. The first stays as it came. With a second it is taken apart, and
//! both are merged one level down, and their map of other connections by key. Most agents are offered one.
//!
//! ```text
//!   Whole ── another offer ──► Merged ◄── another offer ──┐
//!                                 └───────────────────────┘
//! ```

use super::fields::{Field, ScanError, WireType, fields};
use super::stored_fields::{OVERHEAD_BYTES, StoredFields, map_key};

/// `ConnectionSettingsOffers.other_connections`, the one map among its fields.
const OTHER_CONNECTIONS: u32 = 6;

/// See the module's text. An offer may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoredSettings {
    /// One offer.
    Whole {
        /// Which message it came with.
        generation: u32,
        /// The encoded `ConnectionSettingsOffers`.
        value: Box<[u8]>,
        /// What it counts as: at least as much as merged, so that merging exceeds no bound.
        bytes: usize,
    },
    /// Several offers.
    Merged(StoredFields),
}

impl StoredSettings {
    /// Stores the first offer.
    ///
    /// # Errors
    /// If the offer is malformed inside: the server's fault.
    pub(super) fn new(value: &[u8], generation: u32) -> Result<Self, ScanError> {
        let bytes = bytes_apart(value)?;
        Ok(Self::Whole { generation, value: value.into(), bytes })
    }

    /// Adds a later offer of the message `generation`.
    ///
    /// # Errors
    /// If the offer is malformed inside: the server's fault. What was stored stays as it is.
    pub(super) fn merge(&mut self, value: &[u8], generation: u32) -> Result<(), ScanError> {
        bytes_apart(value)?;
        match self {
            Self::Whole { generation: first, value: whole, .. } => {
                let mut merged = StoredFields::default();
                put_each(&mut merged, whole, *first)?;
                put_each(&mut merged, value, generation)?;
                *self = Self::Merged(merged);
                Ok(())
            }
            Self::Merged(merged) => put_each(merged, value, generation),
        }
    }

    /// Whether anything came with the message `generation`.
    pub(super) fn any_of(&self, generation: u32) -> bool {
        match self {
            Self::Whole { generation: only, .. } => *only == generation,
            Self::Merged(merged) => merged.any_of(generation),
        }
    }

    /// Whether everything came with the message `generation`.
    pub(super) fn all_of(&self, generation: u32) -> bool {
        match self {
            Self::Whole { generation: only, .. } => *only == generation,
            Self::Merged(merged) => merged.all_of(generation),
        }
    }

    /// Bytes written by [`StoredSettings::write`].
    pub(super) fn written_bytes(&self) -> usize {
        match self {
            Self::Whole { value, .. } => value.len(),
            Self::Merged(merged) => merged.written_bytes(),
        }
    }

    /// Appends the fields of a `ConnectionSettingsOffers`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole { value, .. } => out.extend_from_slice(value),
            Self::Merged(merged) => merged.write(out),
        }
    }

    /// Bytes held, overhead included.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Whole { bytes, .. } => *bytes,
            Self::Merged(merged) => merged.bytes(),
        }
    }
}

/// Bytes that an offer holds at most once it is taken apart; an error if it cannot be.
fn bytes_apart(value: &[u8]) -> Result<usize, ScanError> {
    let mut bytes = 0;
    for field in fields(value) {
        let field = field?;
        bytes += OVERHEAD_BYTES + key_of(&field, value)?.len() + field.whole.len();
    }
    Ok(bytes)
}

fn put_each(stored: &mut StoredFields, value: &[u8], generation: u32) -> Result<(), ScanError> {
    for field in fields(value) {
        let field = field?;
        stored.put(field.number, key_of(&field, value)?, generation, &value[field.whole]);
    }
    Ok(())
}

/// The map key of an entry of other connections; empty for the other fields.
fn key_of<'a>(field: &Field, value: &'a [u8]) -> Result<&'a [u8], ScanError> {
    if field.number != OTHER_CONNECTIONS {
        return Ok(&[]);
    }
    field.expect(WireType::Len)?;
    map_key(&value[field.value.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of other connections under this key, with this value.
    fn other(key: u8, value: u8) -> Vec<u8> {
        vec![0x32, 6, 0x0a, 1, key, 0x12, 1, value]
    }

    fn written(settings: &StoredSettings) -> Vec<u8> {
        let mut out = Vec::new();
        settings.write(&mut out);
        assert_eq!(out.len(), settings.written_bytes());
        out
    }

    #[test]
    fn one_offer_stays_as_it_came_and_two_are_merged_by_key() {
        let mut settings =
            StoredSettings::new(&[other(b'b', 1), other(b'a', 2)].concat(), 1).unwrap();
        assert_eq!(written(&settings), [other(b'b', 1), other(b'a', 2)].concat());
        assert!(settings.all_of(1) && !settings.any_of(2));
        settings.merge(&other(b'b', 3), 2).unwrap();
        assert_eq!(written(&settings), [other(b'a', 2), other(b'b', 3)].concat());
        assert!(settings.any_of(1) && settings.any_of(2) && !settings.all_of(2));
    }

    #[test]
    fn an_offer_counts_as_much_whole_as_merged() {
        let offer = [other(b'b', 1), other(b'a', 2), vec![0x08, 1]].concat();
        let whole = StoredSettings::new(&offer, 1).unwrap();
        let mut merged = StoredSettings::new(&offer, 0).unwrap();
        merged.merge(&offer, 1).unwrap();
        assert_eq!(whole.bytes(), merged.bytes());
        assert_eq!(StoredSettings::new(&[], 1).unwrap().bytes(), 0);
    }

    #[test]
    fn two_occurrences_in_one_message_stay_together() {
        let mut settings = StoredSettings::new(&[0x08, 1], 1).unwrap();
        settings.merge(&[0x08, 2], 1).unwrap();
        assert_eq!(written(&settings), [0x08, 1, 0x08, 2]);
    }

    #[test]
    fn a_malformed_offer_leaves_what_is_stored() {
        assert!(StoredSettings::new(&[0x32, 1], 1).is_err());
        let mut settings = StoredSettings::new(&other(b'a', 1), 1).unwrap();
        let before = settings.clone();
        assert!(settings.merge(&[0x30, 1], 2).is_err(), "a map entry that is a number");
        assert_eq!(settings, before);
    }
}
