//! The slots of those who can be recognised before they have said anything.
//!
//! Keys are opaque. Whoever makes them (from a uid's header, a certificate, a credential) hashes with a
//! secret, so that nobody can aim at somebody else's.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// One agent, recognised by its uid's header, its client certificate or a credential of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(NonZeroU64);

/// Zero stands for "none": a hash of zero is taken for one.
const fn key(hash: u64) -> NonZeroU64 {
    match NonZeroU64::new(hash) {
        Some(key) => key,
        None => NonZeroU64::MIN,
    }
}

impl Identity {
    /// From a hash.
    pub const fn new(hash: u64) -> Self {
        Self(key(hash))
    }
}

/// So many are swept with each new one: the sweep keeps up, and costs nobody much.
const SWEPT_AT_ONCE: usize = 8;

/// The slots of those who can be recognised, each until its time has come.
#[derive(Debug)]
pub(super) struct Kept {
    started: Instant,
    slots: HashMap<Identity, Instant>,
    /// The same by the second in which they end; each identity stands here once for each time that
    /// it was kept.
    ends: BTreeMap<u64, Vec<Identity>>,
    len: usize,
    len_max: usize,
}

impl Kept {
    pub(super) fn new(len_max: usize, now: Instant) -> Self {
        Self { started: now, slots: HashMap::new(), ends: BTreeMap::new(), len: 0, len_max }
    }

    /// The slot that somebody has and whose time has not come.
    pub(super) fn slot(&self, identity: Identity, now: Instant) -> Option<Instant> {
        self.slots.get(&identity).copied().filter(|slot| *slot > now)
    }

    /// Keeps a slot. One too many is not kept: its agent gets another when it comes too early, which
    /// is what happens to all who cannot be recognised.
    pub(super) fn keep(&mut self, identity: Identity, slot: Instant, now: Instant) {
        for _ in 0..SWEPT_AT_ONCE {
            self.sweep_one(now);
        }
        if self.len >= self.len_max {
            return;
        }
        self.len += 1;
        self.slots.insert(identity, slot);
        self.ends.entry(self.second_of(slot)).or_default().push(identity);
    }

    fn second_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_secs()
    }

    /// Drops one that is over, if there is one.
    pub(super) fn sweep_one(&mut self, now: Instant) -> bool {
        let present = self.second_of(now);
        let Some(mut first) = self.ends.first_entry() else { return false };
        if *first.key() >= present {
            return false;
        }
        let over = self.started + Duration::from_secs(present);
        if let Some(identity) = first.get_mut().pop() {
            self.len -= 1;
            // It may have been given a later one since.
            if self.slots.get(&identity).is_some_and(|slot| *slot < over) {
                self.slots.remove(&identity);
            }
        }
        if first.get().is_empty() {
            first.remove();
        }
        if self.len == 0 {
            self.slots.shrink_to_fit();
        }
        true
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slot_is_kept_until_its_time() {
        let now = crate::clock::now();
        let mut kept = Kept::new(100, now);
        let identity = Identity::new(0);
        kept.keep(identity, now + SECOND * 5, now);
        assert_eq!(kept.slot(identity, now + SECOND * 4), Some(now + SECOND * 5));
        assert_eq!(kept.slot(identity, now + SECOND * 5), None);
        assert_eq!(kept.slot(Identity::new(7), now), None);
    }

    #[test]
    fn a_slot_that_was_replaced_is_not_swept_with_the_old_one() {
        let now = crate::clock::now();
        let mut kept = Kept::new(100, now);
        let identity = Identity::new(1);
        kept.keep(identity, now + SECOND * 9, now);
        kept.keep(identity, now + SECOND * 2, now);
        kept.keep(identity, now + SECOND * 6, now);
        while kept.sweep_one(now + SECOND * 4) {}
        assert_eq!(kept.slot(identity, now + SECOND * 4), Some(now + SECOND * 6));
        while kept.sweep_one(now + SECOND * 11) {}
        assert_eq!((kept.len(), kept.slots.len(), kept.ends.len()), (0, 0, 0));
    }

    #[test]
    fn bounded_and_swept() {
        let now = crate::clock::now();
        let mut kept = Kept::new(1_000, now);
        for n in 0..60_000_u32 {
            let now = now + SECOND / 1_000 * n;
            kept.keep(Identity::new(u64::from(n) + 1), now + SECOND * 3, now);
            assert!(kept.len() <= 1_000 && kept.slots.len() <= 1_000);
        }
        let now = now + SECOND * 70;
        (0..1_000).for_each(|_| _ = kept.sweep_one(now));
        assert_eq!((kept.len(), kept.slots.len(), kept.ends.len()), (0, 0, 0));
    }
}
