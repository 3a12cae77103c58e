//! The calendar: when an agent that is refused comes again. Each moment is a reservation.
//!
//! The calendar counts the reservations of each second ahead. A refused agent gets the first second, from the
//! end of the line on, that has room. A second's room is the rate and a surplus, because some agents will
//! stay away. Seconds are filled from the front: reservations always cover at least what the rate can admit.
//!
//! A single clock that only advances would do while the rate is constant. When the rate rises, such a clock
//! has filled all seconds up to the last reservation at the old rate. Sleeping agents cannot be called back,
//! but agents refused now fill those seconds up, where the clock would send them behind all others. If three
//! quarters of a fleet come after a fourfold rise, in a storm of ten minutes, that is 1.00 of the ideal time
//! instead of 1.05, and with the park closed 1.01 instead of 1.08. When the rate falls, seconds that hold
//! more than it are passed over.
//!
//! **Runaway guard.** An agent that disobeys takes a reservation with each of its tries and would drive the
//! calendar away from obedient agents. So a reservation lies within the time that the backlog explains; past
//! that it is drawn evenly from this time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What bounds a reservation at the moment of a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReservationBounds {
    /// Reservations that fit into one second.
    pub(super) per_second: f64,
    /// How far off the end of the line is.
    pub(super) lead: Duration,
    /// How long all agents that may be asleep take to come, at the pace of their reservations.
    pub(super) explained: Duration,
}

impl ReservationBounds {
    /// The longest wait that can be justified.
    pub(super) fn wait_max(self) -> Duration {
        self.lead + self.explained
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Calendar {
    started: Instant,
    /// How many reservations each second has, from second `first` after the start on. Its length is bounded
    /// by the longest wait.
    reserved: VecDeque<u32>,
    first: u64,
    /// All seconds from the first of these up to the second are full.
    searched: (u64, u64),
}

impl Calendar {
    pub(super) const fn new(now: Instant) -> Self {
        Self { started: now, reserved: VecDeque::new(), first: 0, searched: (0, 0) }
    }

    /// The rate has risen: seconds that were full may have room.
    pub(super) const fn look_again(&mut self) {
        self.searched = (0, 0);
    }

    /// How many reservations are still to come.
    pub(super) fn ahead(&self, now: Instant) -> u64 {
        let over = self.second_of(now).saturating_sub(self.first);
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        self.reserved.iter().skip(over).map(|count| u64::from(*count)).sum()
    }

    /// Makes a reservation; `draw` is in 0..1. The wait is between the lead and the longest that `bounds`
    /// allow.
    pub(super) fn reserve(
        &mut self,
        bounds: ReservationBounds,
        now: Instant,
        draw: f64,
    ) -> Instant {
        self.forget(now);
        let earliest = now.max(self.started) + bounds.lead;
        let second = self.first_free(self.second_of(earliest), bounds.per_second);
        let count = self.count(second);
        let within = Duration::from_secs_f64(f64::from(count) / bounds.per_second.max(1.0));
        let at = (self.started + Duration::from_secs(second) + within).max(earliest);
        if at > now + bounds.wait_max() {
            return earliest + bounds.explained.mul_f64(draw.clamp(0.0, 1.0));
        }
        let index = usize::try_from(second - self.first).unwrap_or(usize::MAX);
        if self.reserved.len() <= index {
            self.reserved.resize(index + 1, 0);
        }
        self.reserved[index] = count.saturating_add(1);
        at
    }

    /// The first second from this on that has room.
    fn first_free(&mut self, from: u64, per_second: f64) -> u64 {
        let (start, end) = self.searched;
        let mut second = if (start..end).contains(&from) { end } else { from };
        while self.count(second) >= room(second, per_second) {
            second += 1;
        }
        self.searched = (if start <= from && from <= end { start } else { from }, second);
        second
    }

    fn count(&self, second: u64) -> u32 {
        let index = second.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.reserved.get(index)).copied().unwrap_or(0)
    }

    fn second_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_secs()
    }

    /// Drops the seconds that are over.
    fn forget(&mut self, now: Instant) {
        let present = self.second_of(now);
        let over = present.saturating_sub(self.first);
        let over = usize::try_from(over).unwrap_or(usize::MAX).min(self.reserved.len());
        self.reserved.drain(..over);
        self.first = self.first.max(present);
    }
}

/// How many reservations fit into a second: whole numbers that are right on average.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn room(second: u64, per_second: f64) -> u32 {
    let until = |second: u64| (second as f64 * per_second).floor();
    ((until(second + 1) - until(second)) as u32).max(1)
}

/// Rounds to whole seconds, which is what the header `Retry-After` can say. It rounds up with the chance of
/// the fraction: right on average, and spread over the second. At least one. `draw` is in 0..1.
pub(super) fn whole_seconds(wait: Duration, draw: f64) -> Duration {
    let up = f64::from(wait.subsec_nanos()) / 1e9 > draw;
    Duration::from_secs((wait.as_secs() + u64::from(up)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounds(per_second: f64, lead: u64, explained: u64) -> ReservationBounds {
        let [lead, explained] = [lead, explained].map(Duration::from_secs);
        ReservationBounds { per_second, lead, explained }
    }

    fn waits(
        calendar: &mut Calendar,
        now: Instant,
        bounds: ReservationBounds,
        count: u32,
    ) -> Vec<f64> {
        (0..count).map(|_| (calendar.reserve(bounds, now, 0.5) - now).as_secs_f64()).collect()
    }

    #[test]
    fn reservations_follow_each_other_evenly_from_the_end_of_the_line() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        let found = waits(&mut calendar, now, bounds(4.0, 3, 100), 9);
        assert_eq!(found, [3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0]);
        // Part of a second may be over; its reservations are given out all the same, from now on.
        let later = now + SECOND * 6 + SECOND / 2;
        let found = waits(&mut calendar, later, bounds(4.0, 0, 100), 5);
        assert_eq!(found, [0.0, 0.0, 0.0, 0.25, 0.5]);
    }

    #[test]
    fn a_higher_rate_fills_what_was_reserved_at_the_lower_one() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        waits(&mut calendar, now, bounds(2.0, 1, 100), 10);
        calendar.look_again();
        let found = waits(&mut calendar, now, bounds(4.0, 1, 100), 11);
        assert_eq!(found[..4], [1.5, 1.75, 2.5, 2.75]);
        assert_eq!(found[9..], [5.75, 6.0]);
    }

    #[test]
    fn a_lower_rate_passes_over_what_is_reserved_beyond_it() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        waits(&mut calendar, now, bounds(4.0, 1, 100), 9);
        assert_eq!(waits(&mut calendar, now, bounds(2.0, 1, 100), 2), [3.5, 4.0]);
    }

    #[test]
    fn a_line_that_got_shorter_is_filled_first() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        assert_eq!(waits(&mut calendar, now, bounds(1.0, 10, 100), 2), [10.0, 11.0]);
        assert_eq!(waits(&mut calendar, now, bounds(1.0, 8, 100), 3), [8.0, 9.0, 12.0]);
        assert_eq!(waits(&mut calendar, now, bounds(1.0, 7, 100), 2), [7.0, 13.0]);
    }

    #[test]
    fn a_fraction_is_right_on_average() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        let found = waits(&mut calendar, now, bounds(1.15, 0, 1_000), 115);
        assert!((99.0..=100.0).contains(&found[114]), "{found:?}");
    }

    #[test]
    fn never_later_than_the_backlog_explains() {
        let now = crate::clock::now();
        let mut calendar = Calendar::new(now);
        let found = waits(&mut calendar, now, bounds(10.0, 2, 4), 100);
        assert!(found.iter().all(|wait| (2.0..=6.0).contains(wait)), "{found:?}");
        assert_eq!(found[99], 4.0, "drawn from the middle");
        assert!(calendar.reserved.len() <= 7);
    }

    #[test]
    fn whole_seconds_are_right_on_average() {
        let wait = Duration::from_millis(2_250);
        let sum: u64 = (0..100).map(|n| whole_seconds(wait, f64::from(n) / 100.0).as_secs()).sum();
        assert_eq!(sum, 225);
        assert_eq!(whole_seconds(Duration::ZERO, 0.0), SECOND);
        assert_eq!(whole_seconds(SECOND * 3, 0.0), SECOND * 3);
    }
}
