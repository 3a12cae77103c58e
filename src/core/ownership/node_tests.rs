//! Nodes around one registry, with an explicit clock: what each rule does in the plain case. The simulation
//! (`tests/sim_ownership`) does the rest.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use super::kit::{lease, node, params, shard};
use super::{
    Ask, ClockReading, HoldReason, MapVersion, Node, NodeEffect, NodeEvent, NodeIncarnation,
    NodeParams, NodePhase, PeerMessage, Registry, RunId, Secret, ShardId, Standing, StoreCall,
    ViewDigest,
};

/// A store, and nodes that reach it and each other at once, unless they are kept from it.
struct NodeSet {
    start: Instant,
    ms: u64,
    registry: Registry,
    nodes: BTreeMap<NodeIncarnation, Node>,
    store_is_away: bool,
    /// Calls that the store answers with an error.
    refused: RefusedCalls,
    /// Nodes that the store does not answer.
    unreached: Vec<NodeIncarnation>,
    /// Nodes whose node links carry nothing.
    cut: Vec<NodeIncarnation>,
    /// No member calls the store for another.
    relays_are_lost: bool,
    /// Nodes that are stopped.
    stopped: Vec<NodeIncarnation>,
    seen: Vec<(NodeIncarnation, NodeEffect)>,
}

/// Calls that the store answers with an error.
#[derive(Clone, Copy, PartialEq)]
enum RefusedCalls {
    None,
    Changes,
    All,
}

impl NodeSet {
    fn new(numbers: &[u64], params: NodeParams) -> Self {
        let mut set = Self {
            start: crate::clock::now(),
            ms: 0,
            registry: Registry::new(RunId(1)),
            nodes: BTreeMap::new(),
            store_is_away: false,
            refused: RefusedCalls::None,
            unreached: Vec::new(),
            cut: Vec::new(),
            relays_are_lost: false,
            stopped: Vec::new(),
            seen: Vec::new(),
        };
        numbers.iter().for_each(|number| set.start_node(*number, params));
        set
    }

    fn start_node(&mut self, number: u64, params: NodeParams) {
        let secret = Secret { id: number, key: [1; 32] };
        self.nodes.insert(node(number), Node::new(lease(number), params, secret));
    }

    fn moment(&self) -> ClockReading {
        let passed = Duration::from_millis(self.ms);
        ClockReading { monotonic: self.start + passed, wall: SystemTime::UNIX_EPOCH + passed }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.ms + seconds * 1_000;
        while self.ms < end {
            self.ms += 250;
            let all: Vec<_> = self.nodes.keys().copied().collect();
            for key in all {
                self.deliver(key, NodeEvent::Tick);
            }
        }
    }

    fn deliver(&mut self, to: NodeIncarnation, event: NodeEvent) {
        let mut queue = VecDeque::from([(to, event)]);
        while let Some((key, event)) = queue.pop_front() {
            let now = self.moment();
            let Some(node) = self.nodes.get_mut(&key).filter(|_| !self.stopped.contains(&key))
            else {
                continue;
            };
            let mut effects = Vec::new();
            node.handle(event, now, &mut effects);
            for effect in effects {
                self.seen.push((key, effect.clone()));
                queue.extend(self.carry_out(key, effect));
            }
        }
    }

    fn carry_out(
        &mut self,
        key: NodeIncarnation,
        effect: NodeEffect,
    ) -> Option<(NodeIncarnation, NodeEvent)> {
        match effect {
            NodeEffect::CallStore { id, .. }
                if self.store_is_away || self.unreached.contains(&key) =>
            {
                Some((key, NodeEvent::StoreSilent(id)))
            }
            NodeEffect::CallStore { id, ref call, .. } if self.refuses(call) => {
                Some((key, NodeEvent::StoreRefused(id)))
            }
            NodeEffect::CallStore { id, call, .. } => {
                let answer = Box::new(self.registry.apply(&call));
                Some((key, NodeEvent::StoreAnswered(id, answer)))
            }
            NodeEffect::Say(to, message) => {
                let relay = matches!(*message, PeerMessage::Relay(..)) && self.relays_are_lost;
                let cut = relay || self.cut.contains(&key) || self.cut.contains(&to);
                (!cut).then_some((to, NodeEvent::PeerSaid(key, message)))
            }
            NodeEffect::Receive { shard, attempt, .. } => {
                Some((key, NodeEvent::Received(shard, attempt)))
            }
            _ => None,
        }
    }

    fn refuses(&self, call: &StoreCall) -> bool {
        match self.refused {
            RefusedCalls::None => false,
            RefusedCalls::Changes => matches!(call, StoreCall::Change(_)),
            RefusedCalls::All => true,
        }
    }

    fn standing(&self, number: u64) -> Result<Standing, HoldReason> {
        self.nodes[&node(number)].standing(self.moment())
    }

    fn homes(&self, number: u64) -> usize {
        let of = &self.nodes[&node(number)];
        ShardId::all().take(12).filter(|shard| of.may_speak(*shard, self.moment())).count()
    }

    fn saw(&self, wanted: &NodeEffect) -> bool {
        self.seen.iter().any(|(_, effect)| effect == wanted)
    }
}

#[test]
fn a_node_with_a_store_of_its_own_speaks_at_once() {
    let params = NodeParams { private: true, ..params() };
    let mut set = NodeSet::new(&[1], params);
    set.run(1);
    assert_eq!((set.standing(1), set.homes(1)), (Ok(Standing::Leased), 12));
    assert!(set.saw(&NodeEffect::UseSecret(Secret { id: 1, key: [1; 32] })));
}

#[test]
fn nodes_share_the_shards_after_their_first_lease_time() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(9);
    assert_eq!(set.homes(1) + set.homes(2) + set.homes(3), 0);
    set.run(6);
    assert_eq!([set.homes(1), set.homes(2), set.homes(3)], [4, 4, 4]);
}

#[test]
fn a_joiner_gets_its_share_from_nodes_that_have_more() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(15);
    set.start_node(3, params());
    set.run(20);
    assert_eq!([set.homes(1), set.homes(2), set.homes(3)], [4, 4, 4]);
    let moved = set
        .seen
        .iter()
        .filter(|(_, effect)| matches!(effect, NodeEffect::Install { handed_by: Some(_), .. }));
    assert_eq!(moved.count(), 4, "with their records");
}

#[test]
fn the_shards_of_a_dead_node_have_homes_within_two_lease_times() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.nodes.remove(&node(3));
    set.run(9);
    assert_eq!(set.homes(1) + set.homes(2), 8, "not before a lease time has passed");
    set.run(11);
    assert_eq!([set.homes(1), set.homes(2)], [6, 6]);
}

#[test]
fn without_the_store_members_that_hear_each_other_go_on() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.store_is_away = true;
    set.run(100);
    assert_eq!(set.standing(1), Ok(Standing::Confirmed));
    assert_eq!(set.homes(1) + set.homes(2) + set.homes(3), 12);
    set.cut.push(node(3));
    set.run(8);
    assert_eq!(set.standing(1), Err(HoldReason::Unconfirmed), "every member must confirm");
    set.cut.clear();
    set.run(2);
    assert_eq!(set.standing(1), Ok(Standing::Confirmed));
    set.run(1_800);
    assert_eq!(set.standing(1), Err(HoldReason::AutonomyOver));
    set.store_is_away = false;
    set.run(4);
    assert_eq!(set.standing(1), Ok(Standing::Leased));
}

#[test]
fn the_only_member_holds_without_the_store_unless_it_may_go_on() {
    for (lone_speaks, after) in [(false, Err(HoldReason::Alone)), (true, Ok(Standing::Lone))] {
        let mut set = NodeSet::new(&[1], NodeParams { lone_speaks, ..params() });
        set.run(20);
        set.store_is_away = true;
        set.run(8);
        assert_eq!(set.standing(1), after);
    }
}

#[test]
fn a_lone_node_that_was_stopped_asks_the_store_before_it_speaks() {
    let mut set = NodeSet::new(&[1], NodeParams { lone_speaks: true, ..params() });
    set.run(20);
    set.stopped.push(node(1));
    set.run(30);
    set.store_is_away = true;
    assert_eq!(set.standing(1), Err(HoldReason::Alone));
    set.stopped.clear();
    set.deliver(node(1), NodeEvent::Tick);
    assert!(set.saw(&NodeEffect::Standing(Err(HoldReason::Alone))));
    assert_eq!(set.standing(1), Ok(Standing::Lone), "the store has not answered");
}

#[test]
fn a_node_that_is_no_member_tells_of_another_run_and_is_told() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    set.seen.clear();
    let read = (RunId(7), MapVersion(9));
    let ask = Ask { number: 1, digest: ViewDigest(1), read, live: Some(RunId(7)) };
    let message = PeerMessage::Ask(ask);
    set.deliver(node(1), NodeEvent::PeerSaid(node(9), Box::new(message)));
    assert_eq!(set.standing(1), Ok(Standing::Confirmed), "the store is away");
    set.run(2);
    let told = set.seen.iter().any(|(key, effect)| {
        matches!(effect, NodeEffect::Say(to, message)
            if (*key, *to) == (node(1), node(9)) && matches!(**message, PeerMessage::Ask(_)))
    });
    assert!(told);
    set.run(12);
    assert_eq!(set.standing(1), Ok(Standing::Leased));
}

#[test]
fn what_another_has_read_of_the_run_that_answers_counts_for_the_view() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.registry = set.registry.clone().restarted(RunId(2));
    (set.unreached, set.cut) = (vec![node(3)], vec![node(3)]);
    set.start_node(4, params());
    set.run(5);
    (set.unreached, set.cut) = (Vec::new(), Vec::new());
    set.run(8);
    assert_eq!(set.nodes[&node(3)].members().count(), 4, "it was told");
    set.store_is_away = true;
    set.run(8);
    let standings = [1, 2, 3, 4].map(|number| set.standing(number));
    assert_eq!(standings, [Ok(Standing::Confirmed); 4]);
}

#[test]
fn a_node_that_the_store_has_forgotten_holds_still_among_strangers() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    set.registry = Registry::new(RunId(2));
    set.unreached = vec![node(1), node(2)];
    set.start_node(3, params());
    set.run(4);
    set.unreached.clear();
    set.run(4);
    assert_eq!(set.standing(1), Err(HoldReason::InDoubt));
    set.run(10);
    assert_eq!(set.standing(1), Ok(Standing::Leased));
}

#[test]
fn a_node_that_the_store_has_forgotten_waits_for_a_stranger_that_may_go_on_alone() {
    let params = NodeParams { lone_speaks: true, ..params() };
    let mut set = NodeSet::new(&[1, 2], params);
    set.run(20);
    set.registry = Registry::new(RunId(2));
    set.unreached = vec![node(1), node(2)];
    set.start_node(3, params);
    set.run(14);
    assert_eq!(set.standing(3), Ok(Standing::Leased), "it has taken all shards");
    set.unreached = vec![node(3)];
    set.cut.push(node(3));
    set.run(20);
    assert_eq!(set.standing(3), Ok(Standing::Lone));
    let silent = |set: &NodeSet| [1, 2].map(|number| set.standing(number));
    assert_eq!(silent(&set), [Err(HoldReason::InDoubt); 2], "it goes on alone");
    set.unreached.clear();
    set.cut.clear();
    set.run(10);
    assert_eq!(silent(&set), [Ok(Standing::Leased); 2], "it knows of them now");
}

#[test]
fn a_change_that_the_store_refuses_with_an_error_binds_nothing() {
    let confirmed_after = |is_answered: bool| {
        let mut set = NodeSet::new(&[1, 2, 3], params());
        set.run(20);
        set.stopped.push(node(3));
        set.refused = RefusedCalls::Changes;
        // Time enough to try to take its shards.
        set.run(15);
        if is_answered {
            set.refused = RefusedCalls::All;
        } else {
            set.refused = RefusedCalls::None;
            set.store_is_away = true;
        }
        let tries = |effect: &NodeEffect| {
            matches!(effect, NodeEffect::CallStore { call, .. }
                if matches!(**call, StoreCall::Change(_)))
        };
        set.seen.clear();
        set.run(2);
        assert!(set.seen.iter().any(|(_, effect)| tries(effect)), "and once more now");
        set.stopped.clear();
        set.run(10);
        set.standing(3)
    };
    assert_eq!(confirmed_after(true), Ok(Standing::Confirmed));
    assert_eq!(confirmed_after(false), Err(HoldReason::Unconfirmed), "it may have been applied");
}

#[test]
fn a_call_that_a_member_makes_in_vain_is_tried_again_at_once() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    set.unreached.push(node(1));
    set.refused = RefusedCalls::All;
    set.run(8);
    let told = set.seen.iter().any(|(key, effect)| {
        matches!(effect, NodeEffect::Say(to, message)
            if (*key, *to) == (node(2), node(1)) && matches!(**message, PeerMessage::RelayRefused(_)))
    });
    assert!(told);
    assert_eq!(set.standing(1), Ok(Standing::Confirmed));
    set.refused = RefusedCalls::None;
    // The member renews, and says that the store answers it.
    set.run(5);
    assert_eq!(set.standing(1), Ok(Standing::Leased), "through the member");
}

#[test]
fn a_store_that_went_back_counts_as_away_and_gets_back_what_it_has_lost() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.registry = Registry::new(RunId(2));
    set.run(5);
    assert_eq!(set.standing(1), Ok(Standing::Confirmed));
    assert_eq!(set.registry.read().homes.len(), 12, "written again by their homes");
    set.run(9);
    assert_eq!(set.standing(1), Ok(Standing::Leased));
    assert_eq!([set.homes(1), set.homes(2), set.homes(3)], [4, 4, 4]);
    let released = set.seen.iter().any(|(_, effect)| matches!(effect, NodeEffect::Release(_)));
    assert!(!released, "no shard moves for that");
}

#[test]
fn what_the_store_gives_back_waits_for_what_was_confirmed() {
    let mut set = NodeSet::new(&[1], params());
    set.run(15);
    let before = set.registry.clone();
    set.start_node(2, params());
    set.run(20);
    assert_eq!(set.homes(2), 6);
    set.registry = before.restarted(RunId(2));
    (set.unreached, set.relays_are_lost) = (vec![node(2)], true);
    for _ in 0..40 {
        set.run(1);
        assert!(set.homes(1) + set.homes(2) <= 12, "two nodes speak for a shard");
    }
    assert_eq!([set.homes(1), set.homes(2)], [12, 0]);
}

#[test]
fn a_node_that_was_stopped_finds_out_before_it_speaks() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    set.stopped.push(node(2));
    set.run(30);
    assert_eq!(set.homes(1), 12);
    let of = &set.nodes[&node(2)];
    assert!(!of.may_speak(shard(0), set.moment()));
    set.stopped.clear();
    set.seen.clear();
    set.deliver(node(2), NodeEvent::Tick);
    let own: Vec<&NodeEffect> =
        set.seen.iter().filter(|(key, _)| *key == node(2)).map(|(_, effect)| effect).collect();
    assert_eq!(own[0], &NodeEffect::Standing(Err(HoldReason::Unconfirmed)));
    assert_eq!(own[1], &NodeEffect::DropWaiting);
    assert!(set.saw(&NodeEffect::TakeNewIncarnation));
    assert_eq!(set.nodes[&node(2)].phase(), NodePhase::Gone);
}

#[test]
fn a_node_that_leaves_hands_everything_over_first() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.deliver(node(3), NodeEvent::LeaveWanted);
    set.run(5);
    assert!(set.saw(&NodeEffect::Left));
    assert_eq!([set.homes(1), set.homes(2)], [6, 6]);
    assert_eq!(set.registry.read().leases.len(), 2);
}

#[test]
fn a_node_that_hands_over_stays_a_member_until_it_is_told_to_leave() {
    let mut set = NodeSet::new(&[1, 2, 3], params());
    set.run(20);
    set.deliver(node(3), NodeEvent::HandOverWanted);
    set.run(10);
    assert_eq!([set.homes(1), set.homes(2), set.homes(3)], [6, 6, 0]);
    assert!(!set.saw(&NodeEffect::Left) && set.registry.read().leases.len() == 3);
    assert_eq!(set.standing(3), Ok(Standing::Leased));
    set.deliver(node(3), NodeEvent::LeaveWanted);
    set.run(2);
    assert!(set.saw(&NodeEffect::Left));
}

#[test]
fn a_node_that_is_to_hand_over_before_it_joins_gets_nothing() {
    let mut set = NodeSet::new(&[1], params());
    set.run(20);
    set.start_node(2, params());
    set.deliver(node(2), NodeEvent::HandOverWanted);
    set.run(20);
    assert_eq!(set.standing(2), Ok(Standing::Leased));
    assert_eq!([set.homes(1), set.homes(2)], [12, 0]);
}

#[test]
fn a_node_that_is_taken_over_while_it_leaves_has_left() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    (set.unreached, set.cut) = (vec![node(2)], vec![node(2)]);
    set.deliver(node(2), NodeEvent::LeaveWanted);
    set.run(30);
    assert_eq!(set.homes(1), 12);
    set.unreached.clear();
    set.run(2);
    assert!(set.saw(&NodeEffect::Left) && !set.saw(&NodeEffect::TakeNewIncarnation));
}

/// A node is cut off and taken over. Then a replica that lacks that takes the store's place, on the node's side.
#[test]
fn a_node_that_was_silent_doubts_unless_the_other_cannot_go_on() {
    for (lone_speaks, doubts) in [(true, Err(HoldReason::InDoubt)), (false, Ok(Standing::Leased))] {
        let mut set = NodeSet::new(&[1, 2], NodeParams { lone_speaks, ..params() });
        set.run(20);
        let replica = set.registry.clone();
        (set.unreached, set.cut) = (vec![node(2)], vec![node(2)]);
        set.run(40);
        assert_eq!(set.homes(1), 12);
        set.registry = replica.restarted(RunId(2));
        set.unreached = vec![node(1)];
        for _ in 0..1_900 {
            set.run(1);
            assert!(set.homes(1) + set.homes(2) <= 12, "two nodes speak for a shard");
            if set.ms == 120_000 {
                assert_eq!(set.standing(2), doubts);
            }
        }
        assert_eq!(set.standing(2), Ok(Standing::Leased), "the other's autonomy is over");
    }
}

/// The store goes back twice within a lease time, and two nodes are gone for good. The others were silent when it went
/// back again, but none can have taken them over: they had just renewed.
#[test]
fn nodes_that_have_just_renewed_doubt_no_one_when_the_store_goes_back_again() {
    let mut set = NodeSet::new(&[1, 2, 3, 4], params());
    set.run(20);
    set.nodes.retain(|key, _| [node(1), node(2)].contains(key));
    set.run(7);
    for run in [2, 3] {
        set.registry = set.registry.clone().restarted(RunId(run));
        set.run(4);
        assert_eq!(set.standing(1), Err(HoldReason::Unconfirmed));
    }
    set.run(60);
    assert_eq!([1, 2].map(|number| set.standing(number)), [Ok(Standing::Leased); 2]);
    assert_eq!(set.homes(1) + set.homes(2), 12);
}

#[test]
fn every_node_uses_the_fleets_key_of_digests_whenever_it_joins() {
    let mut set = NodeSet::new(&[1], params());
    set.run(20);
    let joiner = Node::new(lease(2), params(), Secret { id: 2, key: [2; 32] });
    set.nodes.insert(node(2), joiner);
    set.run(20);
    let used = |by: u64| -> Vec<u64> {
        let effects = set.seen.iter().filter(|(key, _)| *key == node(by));
        let secret = |effect: &NodeEffect| match effect {
            NodeEffect::UseSecret(secret) => Some(secret.id),
            _ => None,
        };
        effects.filter_map(|(_, effect)| secret(effect)).collect()
    };
    assert_eq!((used(1), used(2)), (vec![1], vec![1]));
}

#[test]
fn the_last_node_that_leaves_leaves_its_shards_vacant() {
    let mut set = NodeSet::new(&[1], params());
    set.run(20);
    set.deliver(node(1), NodeEvent::LeaveWanted);
    set.run(2);
    assert!(set.saw(&NodeEffect::Left));
    let left = set.registry.read();
    assert_eq!((left.homes.len(), left.vacant.len(), left.leases.len()), (0, 12, 0));
}

#[test]
fn a_second_node_of_a_live_name_ends() {
    let mut set = NodeSet::new(&[1], params());
    set.run(5);
    let name = lease(1).name;
    let twin = super::Lease { name: name.clone(), ..lease(2) };
    let secret = Secret { id: 2, key: [1; 32] };
    set.nodes.insert(node(2), Node::new(twin, params(), secret));
    set.run(6);
    assert!(set.saw(&NodeEffect::NameInUse(name)));
}

#[test]
fn a_node_without_the_store_calls_it_through_another() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(20);
    set.unreached.push(node(1));
    set.run(60);
    assert_eq!(set.standing(1), Ok(Standing::Leased));
    let relays = set.seen.iter().any(|(key, effect)| {
        matches!(effect, NodeEffect::Say(_, message)
            if *key == node(1) && matches!(**message, PeerMessage::Relay(..)))
    });
    assert!(relays);
    set.cut.push(node(2));
    set.run(8);
    assert_eq!(set.standing(1), Err(HoldReason::Unconfirmed));
}

#[test]
fn an_outline_shows_the_members_their_shards_and_what_has_no_home() {
    let mut set = NodeSet::new(&[1, 2], params());
    set.run(1);
    let outline = |set: &NodeSet| set.nodes[&node(1)].outline(set.moment());
    assert_eq!(outline(&set).homeless, 12, "the first lease time is not over");
    set.run(30);
    let seen = outline(&set);
    let shards: Vec<usize> = seen.members.iter().map(|member| member.shards).collect();
    assert_eq!((shards, seen.homeless, seen.sending), (vec![6, 6], 0, 0));
    assert_eq!((seen.phase, seen.standing), (NodePhase::Member, Ok(Standing::Leased)));
    assert_eq!((seen.run, seen.store_is_away), (Some(RunId(1)), false));
    assert!(seen.members.iter().all(|member| member.still < Some(params().lease)), "{seen:?}");
    set.stopped.push(node(2));
    set.run(8);
    let seen = outline(&set);
    assert_eq!(seen.members[1].head.name.as_str(), "node-2");
    assert!(seen.members[1].still > seen.members[0].still, "{seen:?}");
    set.run(15);
    let seen = outline(&set);
    assert_eq!((seen.members.len(), seen.members[0].shards, seen.homeless), (1, 12, 0));
}
