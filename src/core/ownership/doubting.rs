//! Whom a node doubts, and what it knows of them by now. How long that lasts is said in `doubt` and `strangers`.

use std::collections::BTreeSet;
use std::time::Instant;

use super::clock_reading::ClockReading;
use super::doubt::DoubtedNode;
use super::ids::{Counter, NodeIncarnation};
use super::node::Node;
use super::view::MembershipView;
use crate::mutation::{Breach, is_on};

impl Node {
    /// This node was silent when it found another run. One that has never asked to become a member cannot have been
    /// taken over. Nor can one whose renewal the former run has written of late: only `strangers`, who had yet to show
    /// that they know of it, may have its shards.
    pub(super) fn doubt_others(&mut self, strangers: Vec<NodeIncarnation>, now: ClockReading) {
        let never_asked = self.own.counter() == Counter::default();
        if never_asked || is_on(Breach::OwnershipNeverDoubts) {
            return;
        }
        let has_renewed = self.own.is_written(now, &self.params);
        let is_open = self.store.doubt.is_open(now.monotonic, &self.params);
        if has_renewed && strangers.is_empty() && !is_open {
            return;
        }
        let others: BTreeSet<_> = if has_renewed {
            strangers.into_iter().collect()
        } else {
            // Renewals show members before the map is read.
            self.view.others().chain(self.watch.nodes()).collect()
        };
        let others = others.into_iter().filter_map(|node| doubted(&self.view, node));
        self.store.doubt.begin(others.collect(), now.monotonic);
    }

    /// A store that had forgotten this node shows others that it does not know.
    pub(super) fn sees_strangers(&mut self, now: Instant) {
        let unknown = self.watch.nodes().filter(|node| !self.view.is_member(*node));
        self.store.strangers.see(unknown.collect(), now);
    }

    /// Looks whether there is still reason to doubt.
    pub(super) fn look_at_others(&mut self, now: Instant) {
        let Self { store, watch, view, params, .. } = self;
        let is_here = |other| watch.has_moved(other) && view.knows_me(other);
        let shown = watch.nodes().filter_map(|node| doubted(view, node));
        store.doubt.look(shown, is_here, now, params);
        let shown: BTreeSet<_> = watch.nodes().collect();
        let is_hidden = |node| shown.contains(&node) && !is_here(node);
        store.strangers.look(is_hidden, |node| view.may_be_lone(node), now, params);
    }
}

/// A node that may have taken this one over, but for this one itself.
fn doubted(view: &MembershipView, node: NodeIncarnation) -> Option<DoubtedNode> {
    (!view.is_own(node)).then(|| DoubtedNode { node, lone: view.may_be_lone(node) })
}
