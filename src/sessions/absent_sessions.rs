//! Which sessions of agents that are away may give way (`room`): sessions with stored offers, the longest stored first,
//! and sessions whose agents went away last. Kept up to date by each entry's lock.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::ident::InstanceUid;

/// Agents that went away last, of whom some may give way. One that is not among them goes by itself in time.
const LATELY_ABSENT_MAX: usize = 65_536;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct AbsentSessions {
    stored: Mutex<ByAge>,
    lately: Mutex<ByAge>,
}

/// Agents in the order in which they came here, each once.
#[derive(Debug, Default)]
struct ByAge {
    by_age: BTreeMap<u64, InstanceUid>,
    ages: HashMap<InstanceUid, u64>,
    next: u64,
}

impl ByAge {
    fn insert(&mut self, uid: InstanceUid) {
        self.remove(uid);
        self.ages.insert(uid, self.next);
        self.by_age.insert(self.next, uid);
        self.next += 1;
    }

    fn remove(&mut self, uid: InstanceUid) {
        if let Some(age) = self.ages.remove(&uid) {
            self.by_age.remove(&age);
        }
    }

    fn first(&self) -> Option<InstanceUid> {
        self.by_age.first_key_value().map(|(_, uid)| *uid)
    }

    fn pop(&mut self) -> Option<InstanceUid> {
        let (_, uid) = self.by_age.pop_first()?;
        self.ages.remove(&uid);
        Some(uid)
    }
}

impl AbsentSessions {
    /// The agent went away.
    pub(super) fn went_away(&self, uid: InstanceUid) {
        let mut lately = self.lately.lock();
        if lately.ages.len() >= LATELY_ABSENT_MAX {
            lately.pop();
        }
        lately.insert(uid);
    }

    /// The agent is back, or its session is over.
    pub(super) fn is_no_longer_away(&self, uid: InstanceUid) {
        self.lately.lock().remove(uid);
    }

    /// Offers are stored for the agent while it is away, or no longer.
    pub(super) fn stores_offers(&self, uid: InstanceUid, stores: bool) {
        let mut stored = self.stored.lock();
        if stores {
            stored.insert(uid);
        } else {
            stored.remove(uid);
        }
    }

    pub(super) fn longest_stored(&self) -> Option<InstanceUid> {
        self.stored.lock().first()
    }

    pub(super) fn longest_away(&self) -> Option<InstanceUid> {
        self.lately.lock().pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: usize) -> InstanceUid {
        InstanceUid::from_bytes(u128::try_from(number).unwrap().to_be_bytes())
    }

    #[test]
    fn the_one_that_is_away_longest_gives_way_first_and_one_that_is_back_does_not() {
        let absent = AbsentSessions::default();
        for number in [1, 2, 3, 4] {
            absent.went_away(uid(number));
        }
        absent.is_no_longer_away(uid(2));
        // Back and away again: the last of all.
        absent.is_no_longer_away(uid(1));
        absent.went_away(uid(1));
        let order: Vec<_> = std::iter::from_fn(|| absent.longest_away()).collect();
        assert_eq!(order, [uid(3), uid(4), uid(1)]);
    }

    #[test]
    fn no_more_than_its_bound_are_known_and_the_oldest_are_forgotten() {
        let absent = AbsentSessions::default();
        for number in 0..LATELY_ABSENT_MAX + 2 {
            absent.went_away(uid(number));
        }
        assert_eq!(absent.longest_away(), Some(uid(2)));
        let left = std::iter::from_fn(|| absent.longest_away()).count();
        assert_eq!(left, LATELY_ABSENT_MAX - 1);
    }

    #[test]
    fn the_longest_stored_offers_are_named_until_they_are_gone() {
        let absent = AbsentSessions::default();
        for number in [1, 2] {
            absent.stores_offers(uid(number), true);
        }
        assert_eq!(absent.longest_stored(), Some(uid(1)));
        assert_eq!(absent.longest_stored(), Some(uid(1)), "naming it takes nothing away");
        // Newer offers for the same agent count from now on.
        absent.stores_offers(uid(1), true);
        assert_eq!(absent.longest_stored(), Some(uid(2)));
        absent.stores_offers(uid(2), false);
        absent.stores_offers(uid(1), false);
        assert_eq!(absent.longest_stored(), None);
        assert_eq!(absent.longest_away(), None, "the two lists are apart");
    }
}
