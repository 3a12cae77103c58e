//! A node that has no room for another agent: when that is said, and how long agents are told to stay away.
//!
//! ```text
//!            a limit is reached
//!   Room ───────────────────────────► Full
//!     ▲                                │
//!     └────────────────────────────────┘
//!            room for five seconds in a row
//! ```
//!
//! One agent that leaves makes room for the next, and a line of the log for each would hide the rest.

use std::time::{Duration, Instant};

/// There is room again once there was some for this long.
const ROOM_FOR: Duration = Duration::from_secs(5);
/// The longest time that lack of room keeps an agent away: a place that is free must not stay so for long.
const AWAY_MAX: Duration = Duration::from_mins(2);
/// An agent comes again later than it was told, by its clock and its way here.
const MARGIN: Duration = Duration::from_secs(10);

/// Which limit a node has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Limit {
    /// Connections, which the limit on open files or `edge.connections_max` bounds.
    Connections,
    /// The table of sessions, `sessions.sessions_max`.
    Sessions,
    /// Memory, or the bytes of incomplete messages.
    Memory,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Sessions, Self::Memory];
}

/// The node has become full, or has room again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomChange {
    /// By this limit.
    Full(Limit),
    /// It was full for this long.
    Room(Duration),
}

/// Whether the node is full. See the module's text.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoomWatch {
    /// By which limit, and since when.
    full: Option<(Limit, Instant)>,
    /// When a limit was last reached.
    reached: Option<Instant>,
}

impl RoomWatch {
    /// Takes note of whether a limit is reached, a few times a second.
    pub fn observe(&mut self, reached: Option<Limit>, now: Instant) -> Option<RoomChange> {
        match (reached, self.full) {
            (Some(limit), None) => {
                self.full = Some((limit, now));
                self.reached = Some(now);
                Some(RoomChange::Full(limit))
            }
            (Some(limit), Some((_, since))) => {
                self.full = Some((limit, since));
                self.reached = Some(now);
                None
            }
            (None, Some((_, since))) => {
                let reached = self.reached.unwrap_or(since);
                if now.saturating_duration_since(reached) < ROOM_FOR {
                    return None;
                }
                self.full = None;
                Some(RoomChange::Room(reached.saturating_duration_since(since)))
            }
            (None, None) => None,
        }
    }

    /// The limit that makes the node full; empty while there is room.
    pub fn full(&self) -> Option<Limit> {
        self.full.map(|(limit, _)| limit)
    }
}

/// How long agents that found no room stay away: the longer there is none, the longer. Their number says nothing of
/// when there will be, and each try costs a dial.
#[derive(Debug)]
pub(super) struct Crowding {
    /// When the first of them was refused, and until when the others may come again.
    since: Option<(Instant, Instant)>,
}

impl Crowding {
    pub(super) const fn new() -> Self {
        Self { since: None }
    }

    /// One more is refused. `chance` in 0..1 spreads them.
    pub(super) fn refused(&mut self, chance: f64, now: Instant) -> Duration {
        let (since, until) = self.since.filter(|(_, until)| *until >= now).unwrap_or((now, now));
        let half = now.saturating_duration_since(since) / 2;
        let away = half.min(AWAY_MAX).mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
        self.since = Some((since, until.max(now + away + MARGIN)));
        away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_node_that_is_full_says_so_once_and_once_when_it_is_not() {
        let start = crate::clock::now();
        let mut watch = RoomWatch::default();
        assert_eq!((watch.observe(None, start), watch.full()), (None, None));
        let full = Some(Limit::Connections);
        let mut changes = Vec::new();
        // One leaves each second, and the next takes its place.
        for second in 0..20 {
            let now = start + SECOND * second;
            changes.extend(watch.observe(full, now));
            changes.extend(watch.observe(None, now + SECOND / 2));
            assert_eq!(watch.full(), full);
        }
        assert_eq!(changes, [RoomChange::Full(Limit::Connections)]);
        let end = start + SECOND * 24;
        assert_eq!(watch.observe(None, end), Some(RoomChange::Room(SECOND * 19)));
        assert_eq!((watch.observe(None, end), watch.full()), (None, None));
    }

    #[test]
    fn agents_stay_away_longer_while_there_is_no_room_and_as_briefly_as_before_afterwards() {
        let start = crate::clock::now();
        let mut crowding = Crowding::new();
        let mut told = |second: u32| crowding.refused(0.5, start + SECOND * second);
        assert_eq!(told(0), Duration::ZERO);
        assert_eq!([told(4), told(16), told(30)], [SECOND * 2, SECOND * 8, SECOND * 15]);
        // Each comes when it was told, and the next time is later still.
        let mut at = 30;
        while at < 1_000 {
            at += u32::try_from(told(at).as_secs()).unwrap();
        }
        assert_eq!(told(at), AWAY_MAX);
        assert_eq!(told(at + 200), Duration::ZERO, "all have come, and found room");
    }
}
