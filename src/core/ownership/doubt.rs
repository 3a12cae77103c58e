//! Whether a node may have been taken over without knowing. It was silent when it found another run of the store: the
//! others may have taken it over before, by a change that the store has lost since, and may go on without the store.
//!
//! Doubt ends a lease time after the others turn out to be harmless. Another one is, once its lease in this run names
//! a content that has this node as a member: what it confirmed before that has run out by then. Of those that have yet
//! to show it, one alone could not go on without the store, unless it may go on alone. In any case doubt ends with the
//! others' `autonomy`: they had a lease before this run began.

use std::time::Instant;

use super::ids::NodeIncarnation;
use super::params::NodeParams;

/// Another node, as this one knew it before the store went back.
#[derive(Debug, Clone, Copy)]
pub(super) struct DoubtedNode {
    pub(super) node: NodeIncarnation,
    /// It may go on without the store if there is no other.
    pub(super) lone: bool,
}

/// See the module's text. As many entries as there were members in the runs since it began.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt(Option<OpenDoubt>);

#[derive(Debug, Clone)]
struct OpenDoubt {
    others: Vec<DoubtedNode>,
    since: Instant,
    harmless: Option<Instant>,
}

impl Doubt {
    /// The node was silent when it found another run. `others` are those that it knew; if it was in doubt already,
    /// those of then.
    pub(super) fn begin(&mut self, others: Vec<DoubtedNode>, now: Instant) {
        let others = self.0.take().map_or(others, |open| open.others);
        self.0 = Some(OpenDoubt { others, since: now, harmless: None });
    }

    /// The node speaks when it finds another run: it has not been taken over.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Looks at the others, and at those that this run shows beside them. `is_here`: a node's lease in this run shows
    /// that it counts this one as a member.
    pub(super) fn look(
        &mut self,
        shown: impl Iterator<Item = DoubtedNode>,
        is_here: impl Fn(NodeIncarnation) -> bool,
        now: Instant,
        params: &NodeParams,
    ) {
        if !self.is_open(now, params) {
            self.0 = None;
        }
        let Some(open) = &mut self.0 else { return };
        for new in shown {
            if !open.others.iter().any(|known| known.node == new.node) {
                open.others.push(new);
            }
        }
        let rest = open.others.iter().filter(|other| !is_here(other.node));
        let harmless = are_harmless(rest.map(|other| other.lone));
        open.harmless = harmless.then(|| open.harmless.unwrap_or(now));
    }

    /// Whether the node is in doubt.
    pub(super) fn is_open(&self, now: Instant, params: &NodeParams) -> bool {
        let passed = |since: Instant| now.saturating_duration_since(since);
        self.0.as_ref().is_some_and(|open| {
            let settled = open.harmless.is_some_and(|since| passed(since) >= params.lease);
            !settled && passed(open.since) < params.stranger_wait()
        })
    }
}

/// Whether nodes that have yet to show that they know of this one can do nothing without the store. `hidden` has for each
/// whether it may go on alone. Two could confirm each other.
pub(super) fn are_harmless(mut hidden: impl Iterator<Item = bool>) -> bool {
    match (hidden.next(), hidden.next()) {
        (None, _) => true,
        (Some(lone), None) => !lone,
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::kit::{node, params};
    use super::*;

    fn doubt(others: &[(u64, bool)], now: Instant) -> Doubt {
        let others =
            others.iter().map(|(number, lone)| DoubtedNode { node: node(*number), lone: *lone });
        let mut doubt = Doubt::default();
        doubt.begin(others.collect(), now);
        doubt
    }

    fn none() -> impl Iterator<Item = DoubtedNode> {
        std::iter::empty()
    }

    #[test]
    fn a_node_that_did_not_speak_is_unsure_of_itself() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut doubt = doubt(&[(2, false), (3, false), (4, false)], start);
        doubt.look(none(), |_| false, at(5), &params());
        doubt.look(none(), |other| other == node(2), at(10), &params());
        assert!(doubt.is_open(at(100), &params()), "two may go on elsewhere");
        doubt.look(none(), |other| other != node(4), at(100), &params());
        assert!(doubt.is_open(at(109), &params()), "what was confirmed still counts");
        assert!(!doubt.is_open(at(110), &params()));
        doubt.look(none(), |_| false, at(110), &params());
        assert!(!doubt.is_open(at(110), &params()), "it has ended");
    }

    #[test]
    fn one_other_is_harmless_unless_it_may_go_on_alone() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for lone in [false, true] {
            let mut doubt = doubt(&[(2, lone)], start);
            doubt.look(none(), |_| false, at(0), &params());
            doubt.look(none(), |_| false, at(10), &params());
            assert_eq!(doubt.is_open(at(10), &params()), lone);
        }
        let mut doubt = doubt(&[(2, false)], start);
        let joined = DoubtedNode { node: node(3), lone: false };
        doubt.look([joined].into_iter(), |_| false, at(0), &params());
        assert!(doubt.is_open(at(10), &params()), "two, with one that has joined since");
    }

    #[test]
    fn doubt_ends_with_the_others_autonomy_and_begins_anew_with_another_run() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut doubt = doubt(&[(2, false), (3, false)], start);
        assert!(doubt.is_open(at(1_809), &params()) && !doubt.is_open(at(1_810), &params()));
        doubt.begin(Vec::new(), at(60));
        doubt.look(none(), |_| false, at(60), &params());
        assert!(doubt.is_open(at(1_869), &params()), "of the same others");
        doubt.end();
        assert!(!doubt.is_open(at(60), &params()));
    }
}
