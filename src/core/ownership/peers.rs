//! What a node knows of its node links: which members it hears, which of them reach the store, and the calls that
//! it makes in their place.

use std::collections::BTreeMap;
use std::time::Instant;

use super::calls::NODES_MAX;
use super::events::CallId;
use super::ids::NodeIncarnation;
use super::params::NodeParams;

/// Calls in members' places that may be open at once.
const RELAYS_MAX: usize = 64;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    /// When each member was heard last, and whether the store answers it.
    heard: BTreeMap<NodeIncarnation, (Instant, bool)>,
    /// Calls in members' places: for which member, and its own number for the call.
    relays: BTreeMap<CallId, (NodeIncarnation, CallId)>,
    /// Nodes that are no members here and hear another run of the store, and when each was heard last.
    strangers: BTreeMap<NodeIncarnation, Instant>,
}

impl Peers {
    /// A member is heard.
    pub(super) fn hear(&mut self, from: NodeIncarnation, now: Instant, reaches_store: bool) {
        self.heard.insert(from, (now, reaches_store));
    }

    /// A node that is no member hears another run of the store. At most as many are noted as there may be members.
    pub(super) fn hear_stranger(
        &mut self,
        from: NodeIncarnation,
        now: Instant,
        params: &NodeParams,
    ) {
        self.strangers.retain(|_, at| now.saturating_duration_since(*at) < params.lease);
        if self.strangers.len() < NODES_MAX {
            self.strangers.insert(from, now);
        }
    }

    /// Nodes that are no members and have been heard of late.
    pub(super) fn strangers(
        &self,
        now: Instant,
        params: &NodeParams,
    ) -> impl Iterator<Item = NodeIncarnation> {
        let recent = move |at: Instant| now.saturating_duration_since(at) < params.lease;
        self.strangers.iter().filter(move |(_, at)| recent(**at)).map(|(node, _)| *node)
    }

    /// Forgets nodes that are members no longer.
    pub(super) fn retain(&mut self, is_member: impl Fn(NodeIncarnation) -> bool) {
        self.heard.retain(|node, _| is_member(*node));
    }

    /// The members that can call the store in this node's place.
    pub(super) fn that_reach_the_store(
        &self,
        now: Instant,
        params: &NodeParams,
    ) -> Vec<NodeIncarnation> {
        let recent = |at: Instant| now.saturating_duration_since(at) < params.valid_for();
        let able = self.heard.iter().filter(|(_, (at, reaches))| *reaches && recent(*at));
        able.map(|(node, _)| *node).collect()
    }

    /// A call is made in a member's place. Returns whether there is room for it.
    pub(super) fn relay(&mut self, id: CallId, member: NodeIncarnation, its_id: CallId) -> bool {
        let room = self.relays.len() < RELAYS_MAX;
        if room {
            self.relays.insert(id, (member, its_id));
        }
        room
    }

    /// The member that a call was made for, and its number there. It is open no longer.
    pub(super) fn end_relay(&mut self, id: CallId) -> Option<(NodeIncarnation, CallId)> {
        self.relays.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::kit::{node, params};
    use super::*;

    #[test]
    fn only_members_heard_of_late_can_help() {
        let now = crate::clock::now();
        let mut peers = Peers::default();
        peers.hear(node(2), now, true);
        peers.hear(node(3), now, false);
        assert_eq!(peers.that_reach_the_store(now, &params()), [node(2)]);
        let later = now + Duration::from_secs(7);
        assert!(peers.that_reach_the_store(later, &params()).is_empty());
    }

    #[test]
    fn strangers_are_bounded_and_forgotten_after_a_lease_time() {
        let now = crate::clock::now();
        let mut peers = Peers::default();
        (0..1_000).for_each(|number| peers.hear_stranger(node(number + 1), now, &params()));
        assert_eq!(peers.strangers(now, &params()).count(), NODES_MAX);
        let later = now + Duration::from_secs(10);
        assert_eq!(peers.strangers(later, &params()).count(), 0);
        peers.hear_stranger(node(1_000), later, &params());
        assert_eq!(peers.strangers(later, &params()).collect::<Vec<_>>(), [node(1_000)]);
    }

    #[test]
    fn calls_for_members_are_bounded() {
        let mut peers = Peers::default();
        for number in 0..RELAYS_MAX as u64 {
            assert!(peers.relay(CallId(number), node(2), CallId(7)));
        }
        assert!(!peers.relay(CallId(1_000), node(2), CallId(7)));
        assert_eq!(peers.end_relay(CallId(3)), Some((node(2), CallId(7))));
        assert_eq!(peers.end_relay(CallId(3)), None);
        assert!(peers.relay(CallId(1_000), node(2), CallId(7)));
    }
}
