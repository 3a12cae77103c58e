//! References: contents against which others of their kind are compressed.
//!
//! Descriptions and health of a fleet differ from agent to agent in a few bytes only. So a small content is
//! compressed (LZ4 with a dictionary) against an earlier one of its kind. Its kind is its field, which its
//! first byte tells. A few references of each kind are known, the one that served last first. A content
//! that all of them serve badly becomes a reference itself if a place is free, or if such contents prevail.
//!
//! ```text
//!  a content is served badly, and       one that served last              its last content
//!  a place is free or such prevail      longest ago makes room            has left or gone
//! ────────────────────────────────▶ known ─────────────────▶ forgotten ─────────────────▶ gone
//!                                     └──────────────────────────────────────────────────▶
//! ```
//!
//! Bound: a reference lives as long as a content that was compressed against it, and its bytes count once in
//! the store's budget, as a content's do. So references are at most as many as contents that have bytes
//! (plus the ones that threads work with at the moment), they stay within the budget, and evicting contents
//! ends references. At worst each content has a reference of its own, and takes little more than it would
//! whole. An agent that crowds out others' references does so for a while only: forgotten ones give up
//! their place, so a new one always finds one. A bad reference in front costs time alone, because the others
//! are tried as well.
//!
//! Must not know agents, slots or the meaning of fields.

use std::sync::{Arc, Weak};

use lz4_flex::block::{compress_into_with_dict, get_maximum_output_size};
use parking_lot::Mutex;

use super::body::Body;
use super::ledger::Ledger;
use super::reference::{Reference, SMALL_BYTES_MAX};

/// Smaller ones take less than their slot, so compressing them would save little.
const SMALL_BYTES_MIN: usize = 96;
/// In a small budget a content is small only up to this part of it, so that it finds room beside a reference
/// of its own.
const BUDGET_PARTS: usize = 16;
/// References known of each kind: this many sorts of agents are served well at one time.
const KNOWN_MAX: usize = 4;
/// Kinds: the field number in the first byte. All fields above 15 are one.
const KINDS: usize = 17;
/// What a badly served content adds to its kind's balance. A well served one takes 1 off, so badly served
/// ones prevail when they are more than a quarter.
const BADLY_SERVED: u8 = 3;
/// At this balance a known reference is forgotten for a new one: after 32 of them in a row.
const BALANCE_MAX: u8 = 96;

/// The longest that compression makes of a small content.
const PACKED_BYTES_MAX: usize = get_maximum_output_size(SMALL_BYTES_MAX);

/// What is known of one kind.
#[derive(Debug, Default)]
struct ContentKind {
    /// The one that served last comes first. Their contents keep them alive; a dead one leaves its place.
    known: [Weak<Reference>; KNOWN_MAX],
    /// How far badly served contents prevail.
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

    /// A content was served badly. Whether it becomes a reference.
    fn wants_another(&mut self, made: u32) -> bool {
        self.balance = self.balance.saturating_add(BADLY_SERVED);
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

/// A compressed content.
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

    /// Makes the stored form of a content. A reference that is made for it is taken from the budget here; the
    /// caller takes the body itself.
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

/// Whether compression saves half of it, at least.
fn is_served_well(bytes: &[u8], packed: &Packed) -> bool {
    packed.bytes.len() <= bytes.len() / 2
}

/// The first that serves well, or the best of all.
fn best(kind: &Mutex<ContentKind>, bytes: &[u8]) -> Option<Packed> {
    let mut best: Option<Packed> = None;
    for place in 0..KNOWN_MAX {
        // One by one: mostly the first is enough.
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

/// The compressed bytes if they save a quarter, at least: less is too little for the cost of unpacking.
fn compress(bytes: &[u8], reference: &Arc<Reference>) -> Option<Packed> {
    let mut space = [0; PACKED_BYTES_MAX];
    let length = compress_into_with_dict(bytes, &mut space, reference.bytes()).ok()?;
    let packed = space.get(..length).filter(|packed| packed.len() <= bytes.len() / 4 * 3)?;
    Some(Packed { bytes: Arc::from(packed), reference: Arc::clone(reference) })
}
