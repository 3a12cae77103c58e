//! When to look at sessions whose agents are away, or at connections whose homes are silent. A few entries each at
//! most (`look_at`), so the list is bounded by the table; that of a session which has ended stays until it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::ident::InstanceUid;

/// Deadlines, soonest first.
#[derive(Debug)]
pub(super) struct Deadlines<K = InstanceUid> {
    heap: Mutex<BinaryHeap<Reverse<(Instant, K)>>>,
}

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self { heap: Mutex::default() }
    }
}

impl<K: Ord> Deadlines<K> {
    pub(super) fn push(&self, at: Instant, of: K) {
        self.heap.lock().push(Reverse((at, of)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.lock().len()
    }

    /// Takes what is due, at most `max` entries.
    pub(super) fn due(&self, now: Instant, max: usize) -> Vec<(Instant, K)> {
        let mut heap = self.heap.lock();
        let mut due = Vec::new();
        while due.len() < max && heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(heap.pop().map(|Reverse(entry)| entry));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn soonest_first_and_no_more_than_asked() {
        let start = crate::clock::now();
        let entry =
            |n: u8| (start + Duration::from_secs(u64::from(n)), InstanceUid::from_bytes([n; 16]));
        let deadlines = Deadlines::default();
        for (at, uid) in [3, 1, 2, 9].map(entry) {
            deadlines.push(at, uid);
        }
        let later = start + Duration::from_secs(5);
        assert_eq!(deadlines.due(start, 10), []);
        assert_eq!(deadlines.due(later, 2), [entry(1), entry(2)]);
        assert_eq!(deadlines.due(later, 2), [entry(3)]);
    }
}
