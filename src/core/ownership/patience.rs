//! What a node waits for before it takes anything: its first lease time, homes that have vanished, members that do
//! not know it yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::ids::{NodeIncarnation, Secret};
use super::params::NodeParams;
use crate::mutation::{Breach, is_on};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    /// The key of digests to use if no node has made one.
    spare_secret: Option<Secret>,
    /// When the store answered first.
    first_answer: Option<Instant>,
    /// When the store was first seen without a key of digests.
    no_secret: Option<Instant>,
    /// Homes that are no members, and since when.
    missing: BTreeMap<NodeIncarnation, Instant>,
    /// Nodes that hold still without the store, because they were the only members when this one joined.
    pub(super) alone: BTreeSet<NodeIncarnation>,
    /// The last time that this node asked for shards.
    pub(super) wanted_at: Option<Instant>,
    /// The last time that another node refused a shard.
    pub(super) refused_at: Option<Instant>,
    /// The membership ends once everything is handed over.
    pub(super) leaves: bool,
}

impl Patience {
    pub(super) fn new(spare_secret: Secret) -> Self {
        Self { spare_secret: Some(spare_secret), ..Self::default() }
    }

    /// The key of digests to use if no node has made one.
    pub(super) const fn spare_secret(&self) -> Option<Secret> {
        self.spare_secret
    }

    /// Another life of the store: what was seen of the last one says nothing.
    pub(super) fn restart(&mut self) {
        self.missing.clear();
        self.no_secret = None;
    }

    /// The store has answered.
    pub(super) fn store_answered(&mut self, now: Instant) {
        self.first_answer.get_or_insert(now);
    }

    /// A run that a joining node has yet to get used to.
    pub(super) const fn begin_anew(&mut self, now: Instant) {
        self.first_answer = Some(now);
    }

    /// Whether the first lease time is over.
    pub(super) fn first_wait_is_over(&self, now: Instant, params: &NodeParams) -> bool {
        let past = |since: Instant| now.saturating_duration_since(since) >= params.first_wait();
        is_on(Breach::OwnershipTakesInFirstLease) || self.first_answer.is_some_and(past)
    }

    /// These homes are no members now.
    pub(super) fn see_missing(
        &mut self,
        homes: impl Iterator<Item = NodeIncarnation>,
        now: Instant,
    ) {
        let before = std::mem::take(&mut self.missing);
        self.missing = homes.map(|home| (home, *before.get(&home).unwrap_or(&now))).collect();
    }

    /// How long a home has been no member.
    pub(super) fn missing_for(&self, home: NodeIncarnation, now: Instant) -> Option<Duration> {
        self.missing.get(&home).map(|since| now.saturating_duration_since(*since))
    }

    /// Whether this is a home that is no member.
    pub(super) fn is_missing(&self, node: NodeIncarnation) -> bool {
        self.missing.contains_key(&node)
    }

    /// Homes that are no members.
    pub(super) fn missing_homes(&self) -> impl Iterator<Item = NodeIncarnation> {
        self.missing.keys().copied()
    }

    /// Whether the store has a key of digests, and if it has none, whether it is time to make one.
    pub(super) fn may_make_secret(&mut self, has: bool, now: Instant, params: &NodeParams) -> bool {
        if has {
            self.no_secret = None;
            return false;
        }
        let since = *self.no_secret.get_or_insert(now);
        now.saturating_duration_since(since) >= params.first_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{node, params};
    use super::*;

    #[test]
    fn a_missing_home_is_counted_from_when_it_was_first_missed() {
        let now = crate::clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut waits = Patience::default();
        waits.see_missing([node(1), node(2)].into_iter(), at(0));
        waits.see_missing([node(1)].into_iter(), at(5));
        assert_eq!(waits.missing_for(node(1), at(7)), Some(Duration::from_secs(7)));
        assert_eq!(waits.missing_for(node(2), at(7)), None, "a member again");
        waits.restart();
        assert_eq!(waits.missing_homes().count(), 0);
    }

    #[test]
    fn a_store_without_key_gets_one_after_a_lease_time() {
        let now = crate::clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut waits = Patience::default();
        assert!(!waits.may_make_secret(false, at(0), &params()));
        assert!(waits.may_make_secret(false, at(10), &params()));
        assert!(!waits.may_make_secret(true, at(11), &params()));
        assert!(!waits.may_make_secret(false, at(12), &params()), "it was lost: wait anew");
        let private = NodeParams { private: true, ..params() };
        assert!(Patience::default().may_make_secret(false, now, &private));
    }

    #[test]
    fn the_first_lease_time_begins_with_the_first_answer() {
        let now = crate::clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut waits = Patience::default();
        assert!(!waits.first_wait_is_over(at(60), &params()));
        waits.store_answered(at(60));
        waits.store_answered(at(65));
        assert!(!waits.first_wait_is_over(at(69), &params()));
        assert!(waits.first_wait_is_over(at(70), &params()));
    }
}
