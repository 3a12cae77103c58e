//! Confirmations: how members let each other speak while the store's word does not count.
//!
//! A node asks all members at short intervals. A member confirms if both hold the same view of membership and
//! map, and if it does not mean to take the asker over. With the confirmation of *every* member of its view a node
//! may speak: no one is left that could take it over.
//!
//! Both words bind. A member that has confirmed asks to take over only a lease time later; one that has
//! asked confirms again only when it has read the map after the fate of its question is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::clock_reading::ClockReading;
use super::ids::NodeIncarnation;
use super::params::NodeParams;
use crate::mutation::{Breach, is_on};

/// Questions whose answers still count: those of one validity and a few more.
const ASKS_MAX: usize = 8;

/// See the module's text. As many entries as there are members.
#[derive(Debug, Clone, Default)]
pub(super) struct Confirmations {
    /// Number and moment of the last questions about the present view.
    asks: VecDeque<(u64, ClockReading)>,
    number: u64,
    /// The moments of the questions that members have confirmed.
    got: BTreeMap<NodeIncarnation, ClockReading>,
    /// When each member was last confirmed from here.
    given: BTreeMap<NodeIncarnation, Instant>,
    /// Nodes that this one has asked to take over.
    bound: BTreeSet<NodeIncarnation>,
}

impl Confirmations {
    /// A question is sent to all members. Returns its number.
    pub(super) fn ask(&mut self, now: ClockReading) -> u64 {
        self.number += 1;
        if self.asks.len() == ASKS_MAX {
            self.asks.pop_front();
        }
        self.asks.push_back((self.number, now));
        self.number
    }

    /// When the last question was sent.
    pub(super) fn asked_at(&self) -> Option<ClockReading> {
        self.asks.back().map(|(_, at)| *at)
    }

    /// A member has confirmed the question of this number.
    pub(super) fn confirmed(&mut self, by: NodeIncarnation, number: u64) {
        let Some((_, sent)) = self.asks.iter().find(|(asked, _)| *asked == number) else { return };
        let newer = self.got.get(&by).is_none_or(|had| had.monotonic < sent.monotonic);
        if newer {
            self.got.insert(by, *sent);
        }
    }

    /// Whether each of these has confirmed this node, by a question that still counts.
    pub(super) fn come_from_all(
        &self,
        mut others: impl Iterator<Item = NodeIncarnation>,
        now: ClockReading,
        params: &NodeParams,
    ) -> bool {
        let counts = |sent: &ClockReading| now.is_within(params.valid_for(), *sent);
        others.all(|other| self.got.get(&other).is_some_and(counts))
    }

    /// The node's view is another one: what was said of the old one is void.
    pub(super) fn view_changed(&mut self) {
        self.asks.clear();
        self.got.clear();
    }

    /// Forgets nodes that are members no longer.
    pub(super) fn retain(&mut self, is_member: impl Fn(NodeIncarnation) -> bool) {
        self.given.retain(|node, _| is_member(*node));
    }

    /// This node confirms a member.
    pub(super) fn give(&mut self, to: NodeIncarnation, now: Instant) {
        self.given.insert(to, now);
    }

    /// Whether the confirmations that this node has given to that one have run out.
    pub(super) fn is_free_of(
        &self,
        node: NodeIncarnation,
        now: Instant,
        params: &NodeParams,
    ) -> bool {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let past = |at| is_on(Breach::OwnershipTakesConfirmed) || age(at) >= params.lease;
        self.given.get(&node).is_none_or(past)
    }

    /// This node is about to ask for the place of that one.
    pub(super) fn bind(&mut self, node: NodeIncarnation) {
        if !is_on(Breach::OwnershipAskingLeavesFree) {
            self.bound.insert(node);
        }
    }

    /// Whether this node has asked for the place of that one, and has yet to read what came of it.
    pub(super) fn is_bound(&self, node: NodeIncarnation) -> bool {
        self.bound.contains(&node)
    }

    /// The fate of what was asked is known and read.
    pub(super) fn unbind(&mut self) {
        self.bound.clear();
    }

    /// How long ago the last question was sent, at least.
    pub(super) fn asked_for(&self, now: Instant) -> Option<Duration> {
        self.asked_at().map(|at| now.saturating_duration_since(at.monotonic))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::kit::{node, params};
    use super::*;

    fn at(start: Instant, seconds: u64) -> ClockReading {
        let passed = Duration::from_secs(seconds);
        ClockReading { monotonic: start + passed, wall: SystemTime::UNIX_EPOCH + passed }
    }

    #[test]
    fn every_member_must_confirm_a_question_that_still_counts() {
        let start = crate::clock::now();
        let others = || [node(2), node(3)].into_iter();
        let mut own = Confirmations::default();
        let first = own.ask(at(start, 0));
        own.confirmed(node(2), first);
        assert!(!own.come_from_all(others(), at(start, 1), &params()), "one is missing");
        own.confirmed(node(3), first);
        assert!(own.come_from_all(others(), at(start, 1), &params()));
        assert!(!own.come_from_all(others(), at(start, 7), &params()), "from its sending");
        let second = own.ask(at(start, 8));
        own.confirmed(node(2), second);
        own.confirmed(node(2), first);
        own.confirmed(node(3), second);
        assert!(own.come_from_all(others(), at(start, 9), &params()), "the later one counts");
        own.view_changed();
        own.confirmed(node(2), second);
        assert!(!own.come_from_all([node(2)].into_iter(), at(start, 9), &params()));
    }

    #[test]
    fn both_words_bind() {
        let start = crate::clock::now();
        let mut own = Confirmations::default();
        assert!(own.is_free_of(node(2), start, &params()));
        own.give(node(2), start);
        assert!(!own.is_free_of(node(2), start + Duration::from_secs(9), &params()));
        assert!(own.is_free_of(node(2), start + Duration::from_secs(10), &params()));
        own.bind(node(2));
        assert!(own.is_bound(node(2)) && !own.is_bound(node(3)));
        own.unbind();
        assert!(!own.is_bound(node(2)));
    }
}
