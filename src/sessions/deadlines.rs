//! When to look at sessions whose agents are away. One entry a session at most, so the list is
//! bounded by the table.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::ident::InstanceUid;

/// Deadlines, soonest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: Mutex<BinaryHeap<Reverse<(Instant, InstanceUid)>>>,
}

impl Deadlines {
    pub(super) fn push(&self, at: Instant, uid: InstanceUid) {
        self.heap.lock().push(Reverse((at, uid)));
    }

    /// Takes what is due, at most `max` sessions.
    pub(super) fn due(&self, now: Instant, max: usize) -> Vec<InstanceUid> {
        let mut heap = self.heap.lock();
        let mut due = Vec::new();
        while due.len() < max && heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(heap.pop().map(|Reverse((_, uid))| uid));
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
        let uid = |n: u8| InstanceUid::from_bytes([n; 16]);
        let deadlines = Deadlines::default();
        for n in [3, 1, 2, 9] {
            deadlines.push(start + Duration::from_secs(u64::from(n)), uid(n));
        }
        let later = start + Duration::from_secs(5);
        assert_eq!(deadlines.due(start, 10), []);
        assert_eq!(deadlines.due(later, 2), [uid(1), uid(2)]);
        assert_eq!(deadlines.due(later, 2), [uid(3)]);
    }
}
