//! What is under way on links of former homes, whose servers have yet to answer: it may arrive after what the present
//! home says. Bounded: what no place is left for is in doubt for as long as anything is.

use super::Peer;
use crate::ident::Incarnation;
use crate::opamp::field_set::FieldSet;

/// Former homes that are told apart.
pub(super) const DOUBTS_MAX: usize = 3;

/// What is under way on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The former home. One that is unknown answers nothing: time alone ends its doubt.
    pub home: Peer,
    /// Its link's establishment.
    pub incarnation: Incarnation,
    /// The parts that went.
    pub parts: FieldSet,
    /// Messages that are yet to be answered.
    pub unanswered: u32,
}

/// See the module's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubts([Option<Doubt>; DOUBTS_MAX]);

impl Doubts {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Doubt> {
        self.0.iter().flatten().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Something more is in doubt.
    pub(super) fn add(&mut self, doubt: Doubt) {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(doubt);
            return;
        }
        // The one that was there first makes room: its answers no longer count.
        let [first, ..] = &mut self.0;
        if let Some(first) = first {
            first.parts = first.parts.union(doubt.parts);
            first.home = Peer::UNKNOWN;
        }
    }

    /// The server has answered a message on a link of `home`. Returns the parts whose fate is known with this.
    pub(super) fn answered(&mut self, home: Peer) -> FieldSet {
        let Some(doubt) = self.0.iter_mut().flatten().find(|doubt| doubt.home == home) else {
            return FieldSet::EMPTY;
        };
        doubt.unanswered = doubt.unanswered.saturating_sub(1);
        if doubt.unanswered > 0 {
            return FieldSet::EMPTY;
        }
        let incarnation = doubt.incarnation;
        self.settle(|doubt| doubt.home == home && doubt.incarnation == incarnation)
    }

    /// Takes out those of which `is_past` says so. Returns their parts.
    pub(super) fn settle(&mut self, is_past: impl Fn(Doubt) -> bool) -> FieldSet {
        let mut parts = FieldSet::EMPTY;
        for place in &mut self.0 {
            if let Some(past) = place.take_if(|doubt| is_past(*doubt)) {
                parts = parts.union(past.parts);
            }
        }
        parts
    }

    /// The answers of `home` are told apart no more.
    pub(super) fn lose_sight_of(&mut self, home: Peer) {
        let of = self.0.iter_mut().flatten().filter(|doubt| doubt.home == home);
        of.for_each(|doubt| doubt.home = Peer::UNKNOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ownership::NodeIncarnation;
    use crate::opamp::field_set::agent_field;

    const HEALTH: FieldSet = FieldSet::of(&[agent_field::HEALTH]);
    const CONFIG: FieldSet = FieldSet::of(&[agent_field::EFFECTIVE_CONFIG]);

    fn doubt(number: u64, parts: FieldSet, unanswered: u32) -> Doubt {
        let home = Peer::of(NodeIncarnation::new(number).unwrap());
        Doubt { home, incarnation: Incarnation(1), parts, unanswered }
    }

    #[test]
    fn each_homes_answers_settle_what_it_said() {
        let mut doubts = Doubts::default();
        let [one, other] = [doubt(1, HEALTH, 2), doubt(2, CONFIG, 1)];
        doubts.add(one);
        doubts.add(other);
        assert_eq!(doubts.answered(one.home), FieldSet::EMPTY);
        assert_eq!(doubts.answered(other.home), CONFIG);
        assert_eq!(doubts.answered(other.home), FieldSet::EMPTY);
        assert_eq!(doubts.answered(one.home), HEALTH);
        assert!(doubts.is_empty());
    }

    #[test]
    fn what_finds_no_place_is_settled_by_time_alone() {
        let mut doubts = Doubts::default();
        (1..=3).for_each(|number| doubts.add(doubt(number, FieldSet::EMPTY, 1)));
        doubts.add(doubt(4, HEALTH, 1));
        for number in 1..=4 {
            assert_eq!(doubts.answered(doubt(number, HEALTH, 1).home), FieldSet::EMPTY);
        }
        assert_eq!(doubts.iter().count(), 1, "the first, with the fourth's parts");
        assert_eq!(doubts.settle(|_| true), HEALTH);
    }

    #[test]
    fn answers_that_come_another_way_are_not_waited_for() {
        let mut doubts = Doubts::default();
        let one = doubt(1, HEALTH, 1);
        doubts.add(one);
        doubts.lose_sight_of(one.home);
        assert_eq!(doubts.answered(one.home), FieldSet::EMPTY);
        assert_eq!(doubts.settle(|doubt| doubt.incarnation == one.incarnation), HEALTH);
    }
}
