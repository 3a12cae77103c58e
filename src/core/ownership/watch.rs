//! The other nodes' counters, watched with one's own monotonic clock: a counter that moves shows that its node
//! renews. The store's clock plays no part.
//!
//! Stillness counts only while the store answers the watcher. After a gap in its answers it counts anew, because
//! in that time no node may have been able to renew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::ids::{Counter, NodeIncarnation};
use super::params::NodeParams;

/// See the module's text. As many entries as there are members.
#[derive(Debug, Clone, Default)]
pub(super) struct CounterWatch {
    seen: BTreeMap<NodeIncarnation, (Counter, Instant)>,
    moved: BTreeSet<NodeIncarnation>,
    answered: Option<Instant>,
}

impl CounterWatch {
    /// Another life of the store: its counters say nothing about those before.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// The store shows these counters now.
    pub(super) fn observe(
        &mut self,
        shown: impl Iterator<Item = (NodeIncarnation, Counter)>,
        now: Instant,
        params: &NodeParams,
    ) {
        let gap = |last: Instant| now.saturating_duration_since(last) > params.valid_for();
        let anew = self.answered.replace(now).is_some_and(gap);
        let before = std::mem::take(&mut self.seen);
        for (node, counter) in shown {
            let same = before.get(&node).filter(|(seen, _)| *seen == counter);
            if before.contains_key(&node) && same.is_none() {
                self.moved.insert(node);
            }
            let since = same.filter(|_| !anew).map_or(now, |(_, since)| *since);
            self.seen.insert(node, (counter, since));
        }
        self.moved.retain(|node| self.seen.contains_key(node));
    }

    /// A later map than the one that was shown last is without these nodes.
    pub(super) fn forget(&mut self, gone: &[NodeIncarnation]) {
        for node in gone {
            self.seen.remove(node);
            self.moved.remove(node);
        }
    }

    /// How long a member's counter has stood still, and where it stands.
    pub(super) fn stillness(
        &self,
        node: NodeIncarnation,
        now: Instant,
    ) -> Option<(Counter, Duration)> {
        let (counter, since) = self.seen.get(&node)?;
        Some((*counter, now.saturating_duration_since(*since)))
    }

    /// The nodes whose counters the store has shown last.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeIncarnation> {
        self.seen.keys().copied()
    }

    /// Whether this node has renewed in this life of the store, as seen from here.
    pub(super) fn has_moved(&self, node: NodeIncarnation) -> bool {
        self.moved.contains(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{node, params};
    use super::*;

    #[test]
    fn a_counter_stands_still_from_when_it_was_first_seen() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = CounterWatch::default();
        let mut see = |counter, seconds| {
            watch.observe([(node(1), Counter(counter))].into_iter(), at(seconds), &params());
            (watch.stillness(node(1), at(seconds)).unwrap().1.as_secs(), watch.has_moved(node(1)))
        };
        assert_eq!(see(5, 0), (0, false));
        assert_eq!(see(5, 3), (3, false));
        assert_eq!(see(6, 6), (0, true));
        assert_eq!(see(6, 12), (6, true));
        assert_eq!(see(6, 30), (0, true), "the store was away meanwhile");
        assert_eq!(see(2, 33), (0, true), "a store that went back moves counters, too");
    }

    #[test]
    fn a_node_that_is_gone_is_forgotten() {
        let now = crate::clock::now();
        let mut watch = CounterWatch::default();
        watch.observe([(node(1), Counter(1))].into_iter(), now, &params());
        watch.observe(std::iter::empty(), now, &params());
        assert_eq!(watch.stillness(node(1), now), None);
        watch.observe([(node(1), Counter(1)), (node(2), Counter(1))].into_iter(), now, &params());
        watch.forget(&[node(2), node(3)]);
        assert_eq!(watch.nodes().collect::<Vec<_>>(), [node(1)]);
    }
}
