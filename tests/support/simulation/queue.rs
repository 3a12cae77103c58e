//! What is yet to happen, in its order: the soonest first, and of two events of one moment the one that was noted
//! first. Events name things by their numbers, because a thing may have gone by the time its event comes; the event
//! then has no effect.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events of type `E`, each at a moment of type `T`.
#[derive(Debug)]
pub(crate) struct Queue<T, E> {
    entries: BinaryHeap<Entry<T, E>>,
    noted: u64,
}

#[derive(Debug)]
struct Entry<T, E> {
    at: T,
    /// Tells two events of one moment apart.
    order: u64,
    event: E,
}

impl<T: Ord + Copy, E> Queue<T, E> {
    pub(crate) fn new() -> Self {
        Self { entries: BinaryHeap::new(), noted: 0 }
    }

    pub(crate) fn push(&mut self, at: T, event: E) {
        let order = self.noted;
        self.noted += 1;
        self.entries.push(Entry { at, order, event });
    }

    /// The next event, with its moment.
    pub(crate) fn pop(&mut self) -> Option<(T, E)> {
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<T: Ord, E> PartialEq for Entry<T, E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord, E> Eq for Entry<T, E> {}

impl<T: Ord, E> PartialOrd for Entry<T, E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord, E> Ord for Entry<T, E> {
    /// The soonest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.at, other.order).cmp(&(&self.at, self.order))
    }
}
