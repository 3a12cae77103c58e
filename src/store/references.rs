//! References: contents against which others of their kind are compressed.
//!
//! Descriptions and health of a fleet differ from agent to agent, but in a few bytes only. So a small content
//! is compressed (LZ4 with a dictionary) against an earlier one of its kind: the field that it is, as its
//! first byte tells. Of a kind a few references are known, the one that served last first; a content that
//! none of them serves well becomes one itself if there is a place, or if such contents prevail.
//!
//! ```text
//!  a content is served badly, and       one that served last              its last content
//!  a place is free or such prevail      longest ago makes room            has left or gone
//! ────────────────────────────────▶ known ─────────────────▶ forgotten ─────────────────▶ gone
//!                                     └──────────────────────────────────────────────────▶
//! ```
//!
//! Bound: a reference lives only as long as a content that was compressed against it, and its bytes count once
//! in the store's budget, as a content's do. So, but for those that threads work with at the moment, there are
//! no more references than contents that have bytes, they take no more than the budget, and what evicts
//! contents ends references. At worst each content has a reference of its own, and takes little more than it
//! would whole. Nobody can crowd others' references out
//! for good: forgotten ones need no place, so that there is always room for a new one; and a bad one that
//! stands in front costs time alone, for the others are tried as well.
//!
//! Knows nothing of agents, slots or fields' meaning.

use std::sync::{Arc, Weak};

use lz4_flex::block::{compress_into_with_dict, get_maximum_output_size};
use parking_lot::Mutex;

use super::body::Body;
use super::ledger::Ledger;
use super::reference::{Reference, SMALL_BYTES_MAX};

/// Of smaller ones nothing is saved beside their slot.
const SMALL_BYTES_MIN: usize = 96;
/// In a small budget a content is small only up to this part of it, so that it finds room beside a reference
/// of its own.
const BUDGET_PARTS: usize = 16;
/// References known of each kind: so many sorts of agents are served well at one time.
const KNOWN_MAX: usize = 4;
/// Kinds: the first byte without the wire type. All fields above 15 are one.
const KINDS: usize = 17;
/// What a content that no reference serves well adds to its kind's balance, and a well served one takes off:
/// the first prevail when they are more than a quarter.
const ILL_SERVED: u8 = 3;
/// At this balance a known reference is forgotten for a new one: after 32 of them in a row.
const BALANCE_MAX: u8 = 96;

/// The longest that compression makes of a small content.
const PACKED_BYTES_MAX: usize = get_maximum_output_size(SMALL_BYTES_MAX);

/// What is known of one kind.
#[derive(Debug, Default)]
struct ContentKind {
    /// The one that served last comes first. They live by their contents; what is gone leaves its place.
    known: [Weak<Reference>; KNOWN_MAX],
    /// How far ill-served contents prevail.
    balance: u8,
    /// How many have been made; wraps. Tells whether another thread has just made one.
    made: u32,
}

impl ContentKind {
    fn served(&mut self, reference: &Arc<Reference>) {
        self.balance = self.balance.saturating_sub(1);
        let is_it = |known: &Weak<Reference>| Weak::as_ptr(known) == Arc::as_ptr(reference);
        if let Some(place) = self.known.iter().position(is_it) {
            self.known[..=place].rotate_right(1);
        }
    }

    /// A content was not served well. Whether it is to become a reference.
    fn wants_another(&mut self, made: u32) -> bool {
        self.balance = self.balance.saturating_add(ILL_SERVED);
        let has_place = self.known.iter().any(|known| known.strong_count() == 0);
        made == self.made && (has_place || self.balance >= BALANCE_MAX)
    }

    fn add(&mut self, reference: &Arc<Reference>) {
        let is_free = |known: &Weak<Reference>| known.strong_count() == 0;
        let place = self.known.iter().position(is_free).unwrap_or(KNOWN_MAX - 1);
        self.known[place] = Arc::downgrade(reference);
        self.known[..=place].rotate_right(1);
        self.balance = 0;
        self.made = self.made.wrapping_add(1);
    }
}

/// All kinds of a store.
#[derive(Debug)]
pub(super) struct References {
    kinds: [Mutex<ContentKind>; KINDS],
    small_bytes_max: usize,
    ledger: Arc<Ledger>,
}

/// What came of compressing a content.
struct Packed {
    bytes: Arc<[u8]>,
    reference: Arc<Reference>,
}

impl References {
    /// For a store with this budget.
    pub(super) fn new(bytes_max: usize, ledger: Arc<Ledger>) -> Self {
        let small_bytes_max = SMALL_BYTES_MAX.min(bytes_max / BUDGET_PARTS);
        Self { kinds: std::array::from_fn(|_| Mutex::default()), small_bytes_max, ledger }
    }

    /// Makes of a content what is to be kept of it. A reference that is made for it has been taken from the
    /// budget; the body itself has not.
    pub(super) fn pack(&self, bytes: &[u8]) -> Body {
        let is_small = (SMALL_BYTES_MIN..=self.small_bytes_max).contains(&bytes.len());
        let Some(first) = bytes.first().filter(|_| is_small) else { return Body::whole(bytes) };
        let kind = &self.kinds[usize::from(first >> 3).min(KINDS - 1)];
        let made = kind.lock().made;
        let best = best(kind, bytes);
        if let Some(best) = best.as_ref().filter(|best| is_served_well(bytes, best)) {
            kind.lock().served(&best.reference);
        } else if let Some(reference) = self.another(kind, made, bytes)
            && let Some(own) = compress(bytes, &reference)
        {
            return Body::packed(own.bytes, own.reference);
        }
        best.map_or_else(|| Body::whole(bytes), |best| Body::packed(best.bytes, best.reference))
    }

    fn another(
        &self,
        kind: &Mutex<ContentKind>,
        made: u32,
        bytes: &[u8],
    ) -> Option<Arc<Reference>> {
        let mut kind = kind.lock();
        if !kind.wants_another(made) {
            return None;
        }
        let reference = Reference::new(bytes, &self.ledger);
        kind.add(&reference);
        Some(reference)
    }
}

/// Half of it, at least, is saved.
fn is_served_well(bytes: &[u8], packed: &Packed) -> bool {
    packed.bytes.len() <= bytes.len() / 2
}

/// The first that serves well, or the best of all.
fn best(kind: &Mutex<ContentKind>, bytes: &[u8]) -> Option<Packed> {
    let mut best: Option<Packed> = None;
    for place in 0..KNOWN_MAX {
        // One by one: mostly the first is all that is needed.
        let known = kind.lock().known[place].upgrade();
        let Some(packed) = known.and_then(|reference| compress(bytes, &reference)) else {
            continue;
        };
        if best.as_ref().is_none_or(|best| packed.bytes.len() < best.bytes.len()) {
            best = Some(packed);
        }
        if best.as_ref().is_some_and(|best| is_served_well(bytes, best)) {
            break;
        }
    }
    best
}

/// Nothing if it does not save a quarter: less is not worth unpacking.
fn compress(bytes: &[u8], reference: &Arc<Reference>) -> Option<Packed> {
    let mut space = [0; PACKED_BYTES_MAX];
    let length = compress_into_with_dict(bytes, &mut space, reference.bytes()).ok()?;
    let packed = space.get(..length).filter(|packed| packed.len() <= bytes.len() / 4 * 3)?;
    Some(Packed { bytes: Arc::from(packed), reference: Arc::clone(reference) })
}
