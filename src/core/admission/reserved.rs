//! The reservations of agents that can be recognised before they are admitted: such an agent keeps its moment
//! when it comes early.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::arrival::Identity;

/// At most this many old reservations are swept with each new one: the sweep keeps up, and its cost is
/// spread.
const SWEPT_AT_ONCE: usize = 8;

/// Reservations by identity, each until its time has come.
#[derive(Debug)]
pub(super) struct Reserved {
    started: Instant,
    reservations: HashMap<Identity, Instant>,
    /// The same by the second in which they end; an identity stands here once for each reservation that was
    /// remembered for it.
    ends: BTreeMap<u64, Vec<Identity>>,
    len: usize,
    len_max: usize,
}

impl Reserved {
    pub(super) fn new(len_max: usize, now: Instant) -> Self {
        Self { started: now, reservations: HashMap::new(), ends: BTreeMap::new(), len: 0, len_max }
    }

    /// The agent's reservation, if it lies ahead.
    pub(super) fn find(&self, identity: Identity, now: Instant) -> Option<Instant> {
        self.reservations.get(&identity).copied().filter(|at| *at > now)
    }

    /// Remembers a reservation. One above the bound is dropped: its agent gets another if it comes too
    /// early, as an agent does that cannot be recognised.
    pub(super) fn remember(&mut self, identity: Identity, at: Instant, now: Instant) {
        for _ in 0..SWEPT_AT_ONCE {
            self.sweep_one(now);
        }
        if self.len >= self.len_max {
            return;
        }
        self.len += 1;
        self.reservations.insert(identity, at);
        self.ends.entry(self.second_of(at)).or_default().push(identity);
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
            // The agent may have a later one by now.
            if self.reservations.get(&identity).is_some_and(|at| *at < over) {
                self.reservations.remove(&identity);
            }
        }
        if first.get().is_empty() {
            first.remove();
        }
        if self.len == 0 {
            self.reservations.shrink_to_fit();
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
    fn a_reservation_is_remembered_until_its_time() {
        let now = crate::clock::now();
        let mut reserved = Reserved::new(100, now);
        let identity = Identity::new(0);
        reserved.remember(identity, now + SECOND * 5, now);
        assert_eq!(reserved.find(identity, now + SECOND * 4), Some(now + SECOND * 5));
        assert_eq!(reserved.find(identity, now + SECOND * 5), None);
        assert_eq!(reserved.find(Identity::new(7), now), None);
    }

    #[test]
    fn a_reservation_outlives_the_sweep_of_the_one_it_replaced() {
        let now = crate::clock::now();
        let mut reserved = Reserved::new(100, now);
        let identity = Identity::new(1);
        reserved.remember(identity, now + SECOND * 9, now);
        reserved.remember(identity, now + SECOND * 2, now);
        reserved.remember(identity, now + SECOND * 6, now);
        while reserved.sweep_one(now + SECOND * 4) {}
        assert_eq!(reserved.find(identity, now + SECOND * 4), Some(now + SECOND * 6));
        while reserved.sweep_one(now + SECOND * 11) {}
        assert_eq!((reserved.len(), reserved.reservations.len(), reserved.ends.len()), (0, 0, 0));
    }

    #[test]
    fn bounded_and_swept() {
        let now = crate::clock::now();
        let mut reserved = Reserved::new(1_000, now);
        for n in 0..60_000_u32 {
            let now = now + SECOND / 1_000 * n;
            reserved.remember(Identity::new(u64::from(n) + 1), now + SECOND * 3, now);
            assert!(reserved.len() <= 1_000 && reserved.reservations.len() <= 1_000);
        }
        let now = now + SECOND * 70;
        (0..1_000).for_each(|_| _ = reserved.sweep_one(now));
        assert_eq!((reserved.len(), reserved.reservations.len(), reserved.ends.len()), (0, 0, 0));
    }
}
