//! Until when an agent's absence may not end. The home alone decides; what agents were told at other nodes' gates
//! excuses them.
//!
//! An absence does not end
//! - before the latest moment that any node has told an agent to come, dead nodes included, and the grace period
//!   after that;
//! - if it began with a lost node link: before the front is heard again and says that the agent is gone;
//! - on figures that are older than a lease time.
//!
//! After [`ABSENCE_MAX`] it ends in any case.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::calls::NODES_MAX;
use super::ids::NodeIncarnation;

/// The longest absence, and how long the word of a dead node counts.
pub const ABSENCE_MAX: Duration = Duration::from_secs(30 * 60);

/// How an absence began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsenceBegan {
    /// When.
    pub at: Instant,
    /// The front with whose node link the agent was lost, until that front says that the agent is gone.
    pub lost_with: Option<NodeIncarnation>,
}

/// When an absence may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbsenceEnd {
    /// Now.
    Now,
    /// At this moment, as far as is known.
    At(Instant),
    /// When more is known: ask again, or at this moment in any case.
    WhenKnown(Instant),
}

/// What the leases have said. At most [`NODES_MAX`] nodes.
#[derive(Debug, Clone, Default)]
pub struct ToldElsewhere {
    told: BTreeMap<NodeIncarnation, (Instant, Instant)>,
    read_at: Option<Instant>,
}

impl ToldElsewhere {
    /// The leases are read: each node with the latest moment that it has told an agent, counted from its renewal;
    /// zero if no agent waits. The renewal was before `now`, so the moment is taken for later than it is.
    pub fn read(
        &mut self,
        leases: impl Iterator<Item = (NodeIncarnation, Duration)>,
        now: Instant,
    ) {
        self.read_at = Some(now);
        let recent = |seen: Instant| now.saturating_duration_since(seen) < ABSENCE_MAX;
        self.told.retain(|_, (seen, _)| recent(*seen));
        for (node, told_until) in leases.filter(|(_, told_until)| !told_until.is_zero()) {
            let until = now + told_until.min(ABSENCE_MAX);
            if self.told.len() < NODES_MAX || self.told.contains_key(&node) {
                let entry = self.told.entry(node).or_insert((now, until));
                *entry = (now, entry.1.max(until));
            }
        }
    }

    /// When an absence may end whose agent has `grace` to come back.
    pub fn end(
        &self,
        began: AbsenceBegan,
        grace: Duration,
        now: Instant,
        lease: Duration,
    ) -> AbsenceEnd {
        let last = began.at + ABSENCE_MAX;
        if now >= last {
            return AbsenceEnd::Now;
        }
        let current = |at: Instant| now.saturating_duration_since(at) <= lease;
        if began.lost_with.is_some() || !self.read_at.is_some_and(current) {
            return AbsenceEnd::WhenKnown(last);
        }
        let told = self.told.values().map(|(_, until)| *until).max();
        let end = told.map_or(began.at, |told| told.max(began.at)) + grace;
        if now >= end { AbsenceEnd::Now } else { AbsenceEnd::At(end.min(last)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::node;
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);
    const LEASE: Duration = Duration::from_secs(10);

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn agents_that_wait_at_another_gate_are_excused() {
        let start = crate::clock::now();
        let at = |number| start + seconds(number);
        let began = AbsenceBegan { at: start, lost_with: None };
        let mut told = ToldElsewhere::default();
        told.read([(node(1), seconds(0)), (node(2), seconds(125))].into_iter(), at(0));
        assert_eq!(told.end(began, GRACE, at(1), LEASE), AbsenceEnd::At(at(185)));
        // That node dies; its word counts on.
        told.read([(node(1), seconds(0))].into_iter(), at(180));
        assert_eq!(told.end(began, GRACE, at(184), LEASE), AbsenceEnd::At(at(185)));
        assert_eq!(told.end(began, GRACE, at(185), LEASE), AbsenceEnd::Now);
    }

    #[test]
    fn an_agent_that_no_gate_keeps_away_has_its_grace() {
        let start = crate::clock::now();
        let at = |number| start + seconds(number);
        let began = AbsenceBegan { at: at(0), lost_with: None };
        let mut told = ToldElsewhere::default();
        told.read(std::iter::empty(), at(58));
        assert_eq!(told.end(began, GRACE, at(59), LEASE), AbsenceEnd::At(at(60)));
        assert_eq!(told.end(began, GRACE, at(60), LEASE), AbsenceEnd::Now);
    }

    #[test]
    fn nothing_ends_on_old_figures_or_behind_a_lost_node_link() {
        let start = crate::clock::now();
        let at = |number| start + seconds(number);
        let last = AbsenceEnd::WhenKnown(start + ABSENCE_MAX);
        let began = AbsenceBegan { at: start, lost_with: None };
        let mut told = ToldElsewhere::default();
        assert_eq!(told.end(began, GRACE, at(100), LEASE), last, "nothing was read");
        told.read(std::iter::empty(), at(100));
        assert_eq!(told.end(began, GRACE, at(100), LEASE), AbsenceEnd::Now);
        assert_eq!(told.end(began, GRACE, at(111), LEASE), last, "the store is away");
        told.read(std::iter::empty(), at(112));
        let lost = AbsenceBegan { lost_with: Some(node(2)), ..began };
        assert_eq!(told.end(lost, GRACE, at(112), LEASE), last);
        assert_eq!(told.end(lost, GRACE, start + ABSENCE_MAX, LEASE), AbsenceEnd::Now);
    }

    #[test]
    fn the_word_of_the_dead_is_forgotten_in_the_end() {
        let start = crate::clock::now();
        let mut told = ToldElsewhere::default();
        told.read((1..2_000).map(|number| (node(number), seconds(5))), start);
        assert_eq!(told.told.len(), NODES_MAX);
        told.read(std::iter::empty(), start + ABSENCE_MAX);
        assert!(told.told.is_empty());
    }
}
