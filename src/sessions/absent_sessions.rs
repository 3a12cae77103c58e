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
