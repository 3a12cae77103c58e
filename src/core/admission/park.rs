//! One line of the park: arrivals that have been accepted and stay unanswered, first in, first out.
//!
//! A list threaded through a slab. An agent that goes away frees its place at once, wherever in the line it
//! stands, and the next arrival uses that place: memory follows the most that ever waited at one time. Which
//! arrivals may be parked is decided elsewhere.

use std::time::Instant;

use super::arrival::{Arrival, Ticket};

/// The index that means "there is none".
const NONE: u32 = u32::MAX;

/// An emptied park with a greater capacity than this gives its memory back: storms are rare.
const RETAINED_CAPACITY: usize = 1024;

/// A parked arrival, or a place that is free.
#[derive(Debug, Clone, Copy)]
struct ParkPlace {
    arrival: Arrival,
    until: Instant,
    before: u32,
    /// Of a free place: the next free one.
    behind: u32,
    serial: u32,
    taken: bool,
}

/// Parked arrivals, in the order in which they came.
#[derive(Debug)]
pub(super) struct Park {
    places: Vec<ParkPlace>,
    front: u32,
    back: u32,
    free: u32,
    len: usize,
    serial: u32,
}

impl Default for Park {
    fn default() -> Self {
        Self { places: Vec::new(), front: NONE, back: NONE, free: NONE, len: 0, serial: 0 }
    }
}

impl Park {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Adds `arrival` at the end. Empty: the numbers for places are used up.
    pub(super) fn push(&mut self, arrival: Arrival, until: Instant) -> Option<Ticket> {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let (before, behind) = (self.back, NONE);
        let place = ParkPlace { arrival, until, before, behind, serial, taken: true };
        let index = if self.free == NONE {
            let index = u32::try_from(self.places.len()).ok().filter(|index| *index != NONE)?;
            self.places.push(place);
            index
        } else {
            let index = self.free;
            let reused = self.at(index);
            let free = reused.behind;
            *reused = place;
            self.free = free;
            index
        };
        match self.back {
            NONE => self.front = index,
            back => self.at(back).behind = index,
        }
        self.back = index;
        self.len += 1;
        Some(Ticket { index, serial, line: 0 })
    }

    /// The first arrival, and until when it waits.
    pub(super) fn front(&self) -> Option<(Arrival, Instant)> {
        self.places.get(self.front as usize).map(|place| (place.arrival, place.until))
    }

    pub(super) fn pop_front(&mut self) -> Option<(Ticket, Arrival)> {
        let serial = self.places.get(self.front as usize)?.serial;
        let ticket = Ticket { index: self.front, serial, line: 0 };
        self.remove(ticket).map(|arrival| (ticket, arrival))
    }

    /// Takes one out, wherever it stands. Empty: the ticket is stale.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Arrival> {
        let place = *self.places.get(ticket.index as usize)?;
        if !place.taken || place.serial != ticket.serial {
            return None;
        }
        match place.before {
            NONE => self.front = place.behind,
            before => self.at(before).behind = place.behind,
        }
        match place.behind {
            NONE => self.back = place.before,
            behind => self.at(behind).before = place.before,
        }
        let free = self.free;
        let freed = self.at(ticket.index);
        freed.taken = false;
        freed.behind = free;
        self.free = ticket.index;
        self.len -= 1;
        if self.len == 0 && self.places.capacity() > RETAINED_CAPACITY {
            *self = Self { serial: self.serial, ..Self::default() };
        }
        Some(place.arrival)
    }

    /// A place that the list itself points to.
    fn at(&mut self, index: u32) -> &mut ParkPlace {
        &mut self.places[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::core::admission::arrival::Identity;

    fn arrival(n: u64) -> Arrival {
        Arrival { identity: Some(Identity::new(n)), ..Arrival::default() }
    }

    #[test]
    fn memory_is_given_back_when_the_storm_is_over() {
        let now = crate::clock::now();
        let mut park = Park::default();
        let first = park.push(arrival(0), now).unwrap();
        for n in 1..5_000 {
            park.push(arrival(n), now).unwrap();
        }
        while park.pop_front().is_some() {}
        assert_eq!(park.places.capacity(), 0);
        let again = park.push(arrival(7), now).unwrap();
        assert_eq!(park.remove(first), None, "the place's earlier user");
        assert_eq!(park.remove(again), Some(arrival(7)));
        assert_eq!(park.remove(again), None);
    }

    #[test]
    fn a_place_is_small() {
        assert!(size_of::<ParkPlace>() <= 72, "{} bytes", size_of::<ParkPlace>());
    }

    proptest! {
        #[test]
        fn is_a_line(steps in proptest::collection::vec((0..4_u8, any::<prop::sample::Index>()), 1..400)) {
            let now = crate::clock::now();
            let mut park = Park::default();
            let mut oracle = VecDeque::new();
            let mut gone = Vec::new();
            let mut most = 0;
            for (n, (step, which)) in (0_u64..).zip(steps) {
                match step {
                    0 | 1 => oracle.push_back((park.push(arrival(n), now).unwrap(), n)),
                    2 => {
                        let first = oracle.pop_front();
                        prop_assert_eq!(park.pop_front(), first.map(|(t, n)| (t, arrival(n))));
                        gone.extend(first);
                    }
                    _ if oracle.is_empty() => {}
                    _ => {
                        let (ticket, n) = oracle.remove(which.index(oracle.len())).unwrap();
                        prop_assert_eq!(park.remove(ticket), Some(arrival(n)));
                        gone.push((ticket, n));
                    }
                }
                most = most.max(oracle.len());
                prop_assert_eq!(park.len(), oracle.len());
                prop_assert_eq!(park.front().is_some(), !oracle.is_empty());
                prop_assert!(gone.iter().all(|(ticket, _)| park.remove(*ticket).is_none()));
            }
            prop_assert!(park.places.len() <= most, "as many places as ever were taken at once");
        }
    }
}
