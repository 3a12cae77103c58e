//! Storms as operators are told of them: when one begins, and what it came to.
//!
//! Many dials at once are a storm whether or not they have to wait: on a machine that admits a whole fleet within a
//! second no agent waits for long, and a fleet's coming is still the event of the day. Agents that only leave are none.

use std::time::{Duration, Instant};

/// Fewer dials a second than this are no storm, unless some have to wait.
const DIALS_MIN: f64 = 100.0;
/// Dials of this part of the fleet within a second are one.
const FLEET_PART: f64 = 0.05;

/// What a storm came to, or has come to so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StormRecord {
    /// From its first dial to its last, or to the last agent that waited.
    pub length: Duration,
    /// Arrivals that owed an entry.
    pub dials: u64,
    /// How many were admitted.
    pub admitted: u64,
    /// How many were told to come again.
    pub refused: u64,
    /// The longest time for which one was parked.
    pub longest_parked: Duration,
    /// The longest time after which one was told to come again.
    pub longest_told: Duration,
}

/// A storm has begun, or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StormEvent {
    /// It has begun.
    Begun,
    /// It is over.
    Over(StormRecord),
}

/// The storms of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StormsSeen {
    /// The one under way.
    pub now: Option<StormRecord>,
    /// The last one that is over.
    pub last: Option<StormRecord>,
}

/// What there is to see at the moment of an observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct StormLook {
    /// Admission has many wait, or refuses some.
    pub(super) crowded: bool,
    /// Arrivals that owe an entry, in the last second.
    pub(super) dials: f64,
    /// How many agents there are.
    pub(super) fleet: u64,
}

/// Counts storms. See the module's text.
#[derive(Debug)]
pub(super) struct StormBook {
    /// What has happened since the storm began, or since the last observation.
    counts: StormRecord,
    /// When the present storm began.
    began: Option<Instant>,
    /// When the last observation was at which there was something to see.
    active: Instant,
    observed: Instant,
    last: Option<StormRecord>,
}

impl StormBook {
    pub(super) fn new(now: Instant) -> Self {
        let (counts, last) = (StormRecord::default(), None);
        Self { counts, began: None, active: now, observed: now, last }
    }

    pub(super) const fn dialled(&mut self) {
        self.counts.dials += 1;
    }

    pub(super) const fn admitted(&mut self) {
        self.counts.admitted += 1;
    }

    /// One was told to come again after this time.
    pub(super) fn refused(&mut self, away: Duration) {
        self.counts.refused += 1;
        self.counts.longest_told = self.counts.longest_told.max(away);
    }

    /// One was parked for this long.
    pub(super) fn parked(&mut self, time: Duration) {
        self.counts.longest_parked = self.counts.longest_parked.max(time);
    }

    /// A few times a second.
    pub(super) fn observe(&mut self, look: StormLook, now: Instant) -> Option<StormEvent> {
        let before = std::mem::replace(&mut self.observed, now);
        #[allow(clippy::cast_precision_loss)] // counts far below 2^52
        let many = DIALS_MIN.max(look.fleet as f64 * FLEET_PART);
        let Some(began) = self.began else {
            if look.crowded || look.dials >= many {
                self.began = Some(before);
                self.active = now;
                return Some(StormEvent::Begun);
            }
            self.counts = StormRecord::default();
            return None;
        };
        // What is left of a storm is less than what begins one.
        let busy = look.dials >= many / 2.0;
        if look.crowded || busy {
            self.active = now;
            return None;
        }
        let record = StormRecord {
            length: self.active.saturating_duration_since(began),
            ..std::mem::take(&mut self.counts)
        };
        (self.began, self.last) = (None, Some(record));
        Some(StormEvent::Over(record))
    }

    pub(super) fn seen(&self, now: Instant) -> StormsSeen {
        let so_far =
            |began| StormRecord { length: now.saturating_duration_since(began), ..self.counts };
        StormsSeen { now: self.began.map(so_far), last: self.last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(250);

    const fn look(crowded: bool, dials: f64, fleet: u64) -> StormLook {
        StormLook { crowded, dials, fleet }
    }

    #[test]
    fn a_fleet_that_is_in_within_a_second_was_a_storm() {
        let start = crate::clock::now();
        let mut book = StormBook::new(start);
        assert_eq!(book.observe(look(false, 0.0, 10_000), start + LOOK), None);
        for _ in 0..6_000 {
            book.dialled();
            book.admitted();
        }
        let begun = book.observe(look(false, 6_000.0, 10_000), start + LOOK * 2);
        assert_eq!(begun, Some(StormEvent::Begun));
        (0..4_000).for_each(|_| book.dialled());
        book.refused(Duration::from_secs(3));
        book.parked(Duration::from_millis(40));
        book.parked(Duration::from_millis(30));
        assert_eq!(book.observe(look(true, 10_000.0, 10_000), start + LOOK * 3), None);
        assert_eq!(book.seen(start + LOOK * 3).now.map(|so_far| so_far.dials), Some(10_000));
        let record = StormRecord {
            length: LOOK * 2,
            dials: 10_000,
            admitted: 6_000,
            refused: 1,
            longest_parked: Duration::from_millis(40),
            longest_told: Duration::from_secs(3),
        };
        let over = book.observe(look(false, 0.0, 10_000), start + LOOK * 7);
        assert_eq!(over, Some(StormEvent::Over(record)));
        assert_eq!(book.seen(start), StormsSeen { now: None, last: Some(record) });
    }

    #[test]
    fn a_few_dials_and_a_fleet_that_leaves_are_no_storm() {
        let start = crate::clock::now();
        let mut book = StormBook::new(start);
        for (step, dials) in [(1, 99.0), (2, 400.0), (3, 0.0)] {
            (0..50).for_each(|_| book.dialled());
            assert_eq!(book.observe(look(false, dials, 10_000), start + LOOK * step), None);
        }
        assert_eq!(book.seen(start), StormsSeen::default());
        let begun = book.observe(look(false, 500.0, 10_000), start + LOOK * 4);
        assert_eq!(begun, Some(StormEvent::Begun));
        assert_eq!(book.seen(start).now.map(|so_far| so_far.dials), Some(0), "its own dials alone");
    }
}
