//! Members that a store shows which had forgotten this node: they may have its shards.
//!
//! Two things must come before this node trusts itself again. It reads the map, which says what is still its own. And
//! the strangers show that they know of it, by a lease that names a content with this node as a member: from then on
//! they leave it what the map gives it. One that is cut off from the store goes on by what it knew before, alone if it
//! may, or with others of them. A single one that may not go on alone is silent by the time the map is read. In any
//! case their `autonomy` ends it.

use std::time::Instant;

use super::doubt::are_harmless;
use super::ids::NodeIncarnation;
use super::params::NodeParams;

/// See the module's text. As many entries as there were members.
#[derive(Debug, Clone, Default)]
pub(super) struct Strangers {
    /// The map is yet to be read since they were seen.
    unread: bool,
    /// Those that have yet to show that they know of this node, and since when this node knows of the last of them.
    unshown: Option<(Vec<NodeIncarnation>, Instant)>,
}

impl Strangers {
    /// A store that had forgotten this node shows these as members.
    pub(super) fn see(&mut self, shown: Vec<NodeIncarnation>, now: Instant) {
        if shown.is_empty() {
            return;
        }
        self.unread = true;
        let (nodes, since) = self.unshown.get_or_insert_with(|| (Vec::new(), now));
        for new in shown {
            if !nodes.contains(&new) {
                nodes.push(new);
                *since = now;
            }
        }
    }

    /// The map is read from the store, whose word counts.
    pub(super) const fn map_is_read(&mut self) {
        self.unread = false;
    }

    /// Looks at what the members' leases show by now. `is_hidden`: a member that has yet to show that it counts this
    /// node as one. `lone`: one that may go on alone.
    pub(super) fn look(
        &mut self,
        is_hidden: impl Fn(NodeIncarnation) -> bool,
        lone: impl Fn(NodeIncarnation) -> bool,
        now: Instant,
        params: &NodeParams,
    ) {
        let Some((nodes, since)) = &self.unshown else { return };
        if self.unread {
            return;
        }
        let passed = now.saturating_duration_since(*since) >= params.stranger_wait();
        let rest = nodes.iter().copied().filter(|node| is_hidden(*node));
        if passed || are_harmless(rest.map(lone)) {
            self.unshown = None;
        }
    }

    /// Those that have yet to show that they know of this node.
    pub(super) fn yet_to_show(&self) -> Vec<NodeIncarnation> {
        self.unshown.as_ref().map_or_else(Vec::new, |(nodes, _)| nodes.clone())
    }

    /// Whether strangers may have this node's shards.
    pub(super) const fn may_have_shards(&self) -> bool {
        self.unread || self.unshown.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::kit::{node, params};
    use super::*;

    fn seen(others: &[u64], now: Instant) -> Strangers {
        let mut strangers = Strangers::default();
        strangers.see(others.iter().map(|number| node(*number)).collect(), now);
        strangers
    }

    #[test]
    fn the_map_is_read_first() {
        let now = crate::clock::now();
        let mut strangers = seen(&[2], now);
        strangers.look(|_| false, |_| true, now, &params());
        assert!(strangers.may_have_shards());
        strangers.map_is_read();
        strangers.look(|_| false, |_| true, now, &params());
        assert!(!strangers.may_have_shards());
        assert!(!seen(&[], now).may_have_shards(), "there are none");
    }

    #[test]
    fn one_that_may_go_on_alone_or_two_must_show_that_they_know_of_this_node() {
        let now = crate::clock::now();
        for (others, lone, waits) in
            [(&[2][..], false, false), (&[2], true, true), (&[2, 3], false, true)]
        {
            let mut strangers = seen(others, now);
            strangers.map_is_read();
            strangers.look(|_| true, |_| lone, now, &params());
            assert_eq!(strangers.may_have_shards(), waits, "{others:?}, alone: {lone}");
            strangers.look(|other| other == node(3), |_| lone, now, &params());
            assert!(!strangers.may_have_shards(), "{others:?}, alone: {lone}");
        }
    }

    #[test]
    fn it_ends_with_their_membership_or_their_autonomy() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut strangers = seen(&[2], start);
        strangers.map_is_read();
        let mut gone = strangers.clone();
        gone.look(|_| false, |_| true, at(1), &params());
        assert!(!gone.may_have_shards());
        strangers.look(|_| true, |_| true, at(1_809), &params());
        assert!(strangers.may_have_shards());
        strangers.look(|_| true, |_| true, at(1_810), &params());
        assert!(!strangers.may_have_shards());
    }
}
