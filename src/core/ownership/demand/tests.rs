//! Nodes around a store that is slow, loses answers and goes away, and the sum of what they take.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::kit::node;
use super::*;

const RATE: u32 = 1_000;
const LEASE: Duration = Duration::from_secs(10);
const STEP: u64 = 20;

/// A call to the store that is under way.
#[derive(Debug, Clone)]
struct Call {
    sent: Instant,
    written: bool,
    /// When the store writes and reads, and when the answer comes, in milliseconds.
    at: (u64, u64),
    lost: bool,
    claim: u32,
    answer: Vec<DemandElsewhere>,
}

struct DemandNode {
    demand: Demand,
    next: u64,
    counter: u64,
    call: Option<Call>,
    /// The nodes that it knows of.
    knows: BTreeSet<NodeIncarnation>,
    dead: bool,
}

/// What happens to the store's calls.
#[derive(Debug, Clone)]
struct Faults {
    /// How slow calls are, in milliseconds, in turn.
    delays: Vec<u64>,
    /// Of this many calls one is lost.
    lost_every: usize,
    /// From when to when the store is away, in milliseconds.
    away: Vec<(u64, u64)>,
}

struct DemandFleet {
    start: Instant,
    members: Vec<DemandNode>,
    /// Leases, and whom their nodes knew of.
    store: BTreeMap<NodeIncarnation, (DemandElsewhere, BTreeSet<NodeIncarnation>)>,
    faults: Faults,
    calls: usize,
}

impl DemandFleet {
    fn new(nodes: usize, faults: Faults) -> Self {
        let mut fleet = Self {
            start: crate::clock::now(),
            members: Vec::new(),
            store: BTreeMap::new(),
            faults,
            calls: 0,
        };
        (0..nodes).for_each(|_| fleet.join(0));
        fleet
    }

    fn join(&mut self, ms: u64) {
        let mut demand = Demand::new(LEASE);
        demand.set_rate(RATE);
        let next = ms + self.members.len() as u64 * 170;
        self.members.push(DemandNode {
            demand,
            next,
            counter: 0,
            call: None,
            knows: BTreeSet::new(),
            dead: false,
        });
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Lets a step of time pass; `needs` says what each node needs. Returns what all take together.
    fn step(&mut self, ms: u64, needs: &[u32]) -> u32 {
        for index in 0..self.members.len() {
            self.members[index].demand.need = needs.get(index).copied().unwrap_or(0);
            if !self.members[index].dead {
                self.begin_call(index, ms);
            }
            self.go_on(index, ms);
        }
        let now = self.at(ms);
        let alive = self.members.iter().filter(|member| !member.dead);
        alive.filter_map(|member| member.demand.share(now)).map(|share| share.now).sum()
    }

    fn begin_call(&mut self, index: usize, ms: u64) {
        let now = self.at(ms);
        let away = self.faults.away.iter().any(|(from, to)| (*from..*to).contains(&ms));
        let member = &mut self.members[index];
        let due = ms >= member.next || member.demand.hurries(now);
        if member.call.is_some() || !due {
            return;
        }
        self.calls += 1;
        let delay = self.faults.delays[self.calls % self.faults.delays.len()];
        let lost = away || self.calls.is_multiple_of(self.faults.lost_every);
        // A lost call may be written all the same, unless the store is away.
        let written = away;
        let at = (ms + delay / 2, ms + if lost { 1_000 } else { delay });
        let claim = member.demand.claim(now).unwrap();
        member.counter += 1;
        member.call = Some(Call { sent: now, written, at, lost, claim, answer: Vec::new() });
        let each = member.demand.renews_each(now).unwrap_or(Duration::from_millis(3_300));
        member.next = ms + u64::try_from(each.as_millis()).unwrap();
    }

    fn go_on(&mut self, index: usize, ms: u64) {
        let me = node(index as u64 + 1);
        let member = &mut self.members[index];
        let Some(mut call) = member.call.take() else { return };
        if !call.written && ms >= call.at.0 {
            call.written = true;
            let (need, claim) = (Some(member.demand.need), Some(call.claim));
            let counter = Counter(member.counter);
            let (connected, waiting) = (0, 0);
            let lease = DemandElsewhere {
                node: me,
                counter,
                need,
                claim,
                knows_me: true,
                connected,
                waiting,
            };
            self.store.insert(me, (lease, member.knows.clone()));
            let others = self.store.values().filter(|(other, _)| other.node != me);
            let seen = |(other, knows): &(DemandElsewhere, BTreeSet<_>)| DemandElsewhere {
                knows_me: knows.contains(&me),
                ..*other
            };
            call.answer = others.map(seen).collect();
        }
        if ms < call.at.1 {
            member.call = Some(call);
        } else if !call.lost && !member.dead {
            member.knows = call.answer.iter().map(|other| other.node).collect();
            member.demand.answered(call.answer, call.sent);
        }
    }

    fn kill(&mut self, index: usize) {
        self.members[index].dead = true;
    }

    /// The others have taken the dead node off the membership.
    fn take_off(&mut self, index: usize) {
        self.store.remove(&node(index as u64 + 1));
    }

    fn share(&self, index: usize, ms: u64) -> FleetShare {
        self.members[index].demand.share(self.at(ms)).unwrap()
    }
}

fn calm() -> Faults {
    Faults { delays: vec![20, 60, 10], lost_every: usize::MAX, away: Vec::new() }
}

/// Runs from one moment to another; returns the least and the most that all took in a step.
fn run(fleet: &mut DemandFleet, from: u64, to: u64, needs: &[u32]) -> (u32, u32) {
    let sums = (from..to).step_by(usize::try_from(STEP).unwrap()).map(|ms| fleet.step(ms, needs));
    sums.fold((u32::MAX, 0), |(least, most), sum| (least.min(sum), most.max(sum)))
}

#[test]
fn all_of_a_storm_on_one_node_gets_nearly_all_within_a_moment() {
    let mut fleet = DemandFleet::new(3, calm());
    run(&mut fleet, 0, 10_000, &[0, 0, 0]);
    assert_eq!(fleet.share(0, 10_000).now, 8, "the standing part of an idle node");
    assert_eq!(fleet.share(0, 10_000).soon, 984, "what reservations reckon with");
    run(&mut fleet, 10_000, 10_200, &[RATE, 0, 0]);
    let (least, most) = run(&mut fleet, 10_200, 30_000, &[RATE, 0, 0]);
    assert!(least >= 950 && most <= RATE, "{least} to {most}");
    assert!(fleet.share(0, 30_000).now >= 950);
}

#[test]
fn nodes_that_need_the_same_have_the_same_before_long() {
    let mut fleet = DemandFleet::new(3, calm());
    run(&mut fleet, 0, 10_000, &[0, 0, 0]);
    run(&mut fleet, 10_000, 10_600, &[RATE, RATE, RATE]);
    let shares = [0, 1, 2].map(|node| fleet.share(node, 10_600).now);
    assert_eq!(shares, [333; 3], "in half a second, though the first one could have everything");
    let (least, most) = run(&mut fleet, 10_600, 20_000, &[RATE, RATE, RATE]);
    assert!(least >= 950 && most <= RATE, "{least} to {most}");
    let shares = [0, 1, 2].map(|node| fleet.share(node, 20_000).now);
    assert_eq!(shares, [333; 3]);
}

#[test]
fn a_node_that_needs_little_leaves_the_rest() {
    let mut fleet = DemandFleet::new(3, calm());
    run(&mut fleet, 0, 5_000, &[0, 0, 0]);
    run(&mut fleet, 5_000, 9_000, &[RATE, 100, 500]);
    let shares = [0, 1, 2].map(|node| fleet.share(node, 9_000).now);
    assert_eq!(shares, [450, 100, 450]);
}

#[test]
fn a_newcomer_and_a_dead_node_change_the_parts_and_never_the_whole() {
    let mut fleet = DemandFleet::new(2, calm());
    run(&mut fleet, 0, 10_000, &[RATE, RATE]);
    fleet.join(10_000);
    let (_, most) = run(&mut fleet, 10_000, 15_000, &[RATE; 3]);
    assert!(most <= RATE, "{most}");
    assert_eq!(fleet.share(2, 15_000).now, 333);
    fleet.kill(0);
    let (_, most) = run(&mut fleet, 15_000, 18_500, &[RATE; 3]);
    assert!(most <= RATE);
    assert_eq!(fleet.share(1, 18_500).now, 500, "it has not renewed for too long");
    fleet.take_off(0);
    let (least, _) = run(&mut fleet, 18_500, 30_000, &[RATE; 3]);
    assert_eq!(least, RATE);
}

#[test]
fn without_the_store_each_node_has_its_equal_part() {
    let away = vec![(10_000, 60_000)];
    let mut fleet = DemandFleet::new(3, Faults { away, ..calm() });
    run(&mut fleet, 0, 10_000, &[RATE, 0, 0]);
    assert!(fleet.share(0, 10_000).now >= 950);
    let (_, most) = run(&mut fleet, 10_000, 25_000, &[RATE; 3]);
    assert!(most <= RATE, "{most}");
    assert_eq!([0, 1, 2].map(|node| fleet.share(node, 25_000).now), [333; 3]);
    let (_, most) = run(&mut fleet, 25_000, 80_000, &[RATE; 3]);
    assert!(most <= RATE, "{most}, the store is back");
}

#[test]
fn what_is_asked_for_is_more_than_the_rate() {
    let mut fleet = DemandFleet::new(3, calm());
    run(&mut fleet, 0, 10_000, &[0, 0, 0]);
    let asked =
        |fleet: &DemandFleet| fleet.members.iter().map(|member| member.demand.asked).sum::<u32>();
    let most = (10_000..12_000).step_by(20).map(|ms| {
        fleet.step(ms, &[RATE; 3]);
        asked(&fleet)
    });
    assert!(most.max() > Some(RATE), "so the checks can fail");
}

#[test]
fn nothing_is_shared_without_a_rate_and_nothing_is_known_before_the_first_answer() {
    let mut demand = Demand::new(LEASE);
    let now = crate::clock::now();
    assert_eq!((demand.claim(now), demand.share(now)), (None, None));
    demand.set_rate(RATE);
    demand.need = RATE;
    assert_eq!((demand.claim(now), demand.share(now)), (Some(0), None));
    demand.answered(Vec::new(), now);
    assert!(demand.hurries(now), "it has claimed nothing yet");
    assert_eq!(demand.claim(now), Some(RATE));
    demand.answered(Vec::new(), now);
    assert_eq!(demand.share(now).map(|share| share.now), Some(RATE), "a single node has all");
}

#[test]
fn a_lease_of_a_newer_format_counts_as_an_equal_part() {
    let mut demand = Demand::new(LEASE);
    let now = crate::clock::now();
    demand.set_rate(RATE);
    demand.need = RATE;
    let other = DemandElsewhere {
        node: node(2),
        counter: Counter(1),
        need: None,
        claim: None,
        knows_me: true,
        connected: 0,
        waiting: 0,
    };
    for _ in 0..2 {
        demand.claim(now);
        demand.answered(vec![other], now);
    }
    assert_eq!(demand.share(now).map(|share| share.now), Some(500));
}

fn faults() -> impl Strategy<Value = Faults> {
    let away = (10_000_u64..60_000, 0_u64..30_000).prop_map(|(from, lasts)| (from, from + lasts));
    (
        prop::collection::vec(0_u64..300, 1..8),
        // A node whose calls are lost for longer looks dead.
        prop_oneof![Just(usize::MAX), 20_usize..60],
        prop::collection::vec(away, 0..4),
    )
        .prop_map(|(delays, lost_every, away)| Faults { delays, lost_every, away })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_nodes_together_take_no_more_than_the_rate(
        nodes in 1_usize..6,
        faults in faults(),
        needs in prop::collection::vec((1_u64..8_000, prop::collection::vec(0_u32..2_000, 6)), 1..20),
        joins_at in 0_u64..60_000,
        dies_at in 0_u64..60_000,
    ) {
        // When the store is back, nodes hear of that one after the other.
        let back = if faults.away.is_empty() { 0 } else { RATE / 50 };
        let mut fleet = DemandFleet::new(nodes, faults);
        let mut now = 0;
        let (mut joined, mut died) = (false, false);
        for (lasts, needs) in needs {
            for ms in (now..now + lasts).step_by(20) {
                if !joined && ms >= joins_at {
                    joined = true;
                    fleet.join(ms);
                }
                if !died && ms >= dies_at {
                    died = true;
                    fleet.kill(0);
                }
                let sum = fleet.step(ms, &needs);
                // A newcomer that loses the store before all have seen it takes a quarter of its part.
                let unknown = if joined { RATE / (u32::try_from(nodes).unwrap() + 1) / JOINER_DIVISOR } else { 0 };
                prop_assert!(sum <= RATE + back + unknown, "{sum} at {ms}");
            }
            now += lasts / 20 * 20;
        }
    }

    #[test]
    fn what_is_dealt_out_is_no_more_than_there_is(
        needs in prop::collection::vec(0_u32..3_000, 1..9),
    ) {
        let level_of = |node: usize| {
            let mut others = needs.clone();
            let need = others.remove(node);
            level(RATE, others.into_iter()).min(need)
        };
        let sum: u32 = (0..needs.len()).map(level_of).sum();
        prop_assert!(sum <= RATE);
        let wanted: u32 = needs.iter().sum();
        // Whole numbers leave a remainder.
        prop_assert!(sum + 8 >= wanted.min(RATE), "{sum} of {wanted}");
    }
}
