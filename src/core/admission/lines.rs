//! The lines of the park: one for each length of patience, so that the arrival whose patience ends next is always at the
//! front of one. Of one queue the earliest arrival goes first, whichever line it stands in.

use std::time::{Duration, Instant};

use super::arrival::{Arrival, Ticket};
use super::park::Park;

/// Which of the lines: they are decided by different means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    /// Within the park's horizon, for entries of the rate.
    Park,
    /// Beside it, for the same entries.
    Patient,
    /// Agents that have sessions, for the machine's share.
    Session,
}

#[derive(Debug)]
struct Line {
    kind: LineKind,
    /// For how long its arrivals wait.
    ttl: Duration,
    park: Park,
}

/// See the module's text. There are as many as there are different patiences, which the table of clients bounds.
#[derive(Debug, Default)]
pub(super) struct ParkLines(Vec<Line>);

impl ParkLines {
    /// Arrivals that wait, of all kinds.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|line| line.park.len()).sum()
    }

    /// Arrivals that wait, of one kind.
    pub(super) fn len_of(&self, kind: LineKind) -> usize {
        self.of(kind).map(|line| line.park.len()).sum()
    }

    fn of(&self, kind: LineKind) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(move |line| line.kind == kind)
    }

    /// Adds an arrival that waits for `ttl` at most. Empty: the numbers for places are used up.
    pub(super) fn push(
        &mut self,
        kind: LineKind,
        arrival: Arrival,
        (ttl, now): (Duration, Instant),
    ) -> Option<Ticket> {
        let found = self.0.iter().position(|line| line.kind == kind && line.ttl == ttl);
        let index = found.unwrap_or(self.0.len());
        let line = u16::try_from(index).ok()?;
        if found.is_none() {
            self.0.push(Line { kind, ttl, park: Park::default() });
        }
        let ticket = self.0.get_mut(index)?.park.push(arrival, now + ttl)?;
        Some(Ticket { line, ..ticket })
    }

    /// The earliest arrival of this kind.
    pub(super) fn front(&self, kind: LineKind) -> Option<Arrival> {
        self.front_of(kind).map(|(_, arrival)| arrival)
    }

    fn front_of(&self, kind: LineKind) -> Option<(u16, Arrival)> {
        let fronts = (0_u16..).zip(&self.0).filter(|(_, line)| line.kind == kind);
        let fronts = fronts.filter_map(|(index, line)| {
            let (arrival, until) = line.park.front()?;
            Some((until.checked_sub(line.ttl), (index, arrival)))
        });
        fronts.min_by_key(|(came, _)| *came).map(|(_, front)| front)
    }

    pub(super) fn pop_front(&mut self, kind: LineKind) -> Option<(Ticket, Arrival)> {
        let (line, _) = self.front_of(kind)?;
        self.pop(line)
    }

    fn pop(&mut self, line: u16) -> Option<(Ticket, Arrival)> {
        let (ticket, arrival) = self.0.get_mut(usize::from(line))?.park.pop_front()?;
        Some((Ticket { line, ..ticket }, arrival))
    }

    /// Takes one out that has waited for as long as it may.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<(Ticket, Arrival)> {
        let overdue = |line: &Line| line.park.front().is_some_and(|(_, until)| until <= now);
        let line = self.0.iter().position(overdue)?;
        u16::try_from(line).ok().and_then(|line| self.pop(line))
    }

    /// When the next one has waited for as long as it may.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.iter().filter_map(|line| line.park.front().map(|(_, until)| until)).min()
    }

    /// Takes one out, wherever it stands. Empty: the ticket is stale.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Arrival> {
        self.0.get_mut(usize::from(ticket.line))?.park.remove(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::arrival::Identity;

    const SECOND: Duration = Duration::from_secs(1);

    fn arrival(n: u64) -> Arrival {
        Arrival { identity: Some(Identity::new(n)), ..Arrival::default() }
    }

    #[test]
    fn the_earliest_goes_first_and_the_least_patient_is_overdue_first() {
        let now = crate::clock::now();
        let mut lines = ParkLines::default();
        let mut push = |n: u64, ttl: u32, after: u32| {
            let at = now + SECOND * after;
            lines.push(LineKind::Park, arrival(n), (SECOND * ttl, at)).unwrap()
        };
        let tickets = [push(1, 30, 0), push(2, 8, 1), push(3, 30, 2), push(4, 8, 3)];
        lines.push(LineKind::Patient, arrival(5), (SECOND * 90, now)).unwrap();
        assert_eq!((lines.len(), lines.len_of(LineKind::Park)), (5, 4));
        assert_eq!(lines.next_due(), Some(now + SECOND * 9));
        assert_eq!(lines.pop_overdue(now + SECOND * 8), None);
        assert_eq!(lines.pop_overdue(now + SECOND * 9), Some((tickets[1], arrival(2))));
        assert_eq!(lines.remove(tickets[1]), None, "stale");
        assert_eq!(lines.front(LineKind::Park), Some(arrival(1)));
        let order: Vec<_> =
            std::iter::from_fn(|| lines.pop_front(LineKind::Park)).map(|(_, its)| its).collect();
        assert_eq!(order, [arrival(1), arrival(3), arrival(4)]);
        assert_eq!(lines.pop_front(LineKind::Session), None);
        assert_eq!(lines.pop_front(LineKind::Patient).map(|(_, its)| its), Some(arrival(5)));
    }
}
