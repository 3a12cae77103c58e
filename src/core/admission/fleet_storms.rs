//! Storms at a fleet whose nodes share one rate: the real admission and the real ownership of each node, a store in
//! memory, and agents that obey.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use super::{
    AdmissionParams, AdmissionVerdict, Arrival, Capacity, NodeAdmission, ParkVerdict, ProbeTick,
    Refusal, Ticket,
};
use crate::core::ownership::{
    ClockReading, Figures, Lease, Node, NodeEffect, NodeEvent, NodeIncarnation, NodeName,
    NodeParams, Registry, RunId, Secret, StoreAnswer,
};

const RATE: u32 = 600;
const LEASE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);

fn rate() -> NonZeroU32 {
    NonZeroU32::new(RATE).unwrap()
}

fn incarnation(number: usize) -> NodeIncarnation {
    NodeIncarnation::new(number as u64 + 1).unwrap()
}

/// A node: who it is, its gate, and the agents there.
struct StormGate {
    node: Node,
    admission: NodeAdmission,
    parked: HashMap<Ticket, usize>,
    connected: u64,
    alive: bool,
}

impl StormGate {
    fn new(number: usize, params: AdmissionParams, now: Instant) -> Self {
        let name = NodeName::try_new(&format!("node-{number}")).unwrap();
        let lease = Lease::new(name, incarnation(number));
        let node_params = NodeParams {
            lease: LEASE,
            autonomy: Duration::from_secs(1_800),
            shards: 12,
            lone_speaks: false,
            private: false,
        };
        let secret = Secret { id: number as u64 + 1, key: [7; 32] };
        let mut admission = NodeAdmission::new(params, Some(rate()), 0, now);
        admission.join_fleet(now);
        let node = Node::new(lease, node_params, secret);
        Self { node, admission, parked: HashMap::new(), connected: 0, alive: true }
    }

    /// What the gate says of itself, and what it may take then: as often as a fleet's tick.
    fn share(&mut self, at: ClockReading, out: &mut Vec<NodeEffect>) {
        self.admission.observe(self.connected, at.monotonic);
        let status = self.admission.status(at.monotonic);
        let figures = Figures {
            connected: u32::try_from(self.connected).unwrap(),
            waiting: u32::try_from(status.waiting).unwrap(),
            need: status.need,
            ..Figures::default()
        };
        self.node.handle(NodeEvent::FiguresChanged { figures, urgent: false }, at, out);
        if let Some(share) = self.node.admission_share(Some(rate()), at) {
            self.admission.set_share(share, at.monotonic);
        }
    }
}

/// Where agents dial, as the chances of the nodes.
type Chances = Vec<f64>;

struct FleetWorld {
    start: Instant,
    now: Instant,
    params: AdmissionParams,
    gates: Vec<StormGate>,
    store: Registry,
    /// Calls of the store.
    calls: usize,
    /// What reaches nodes in a moment.
    mail: VecDeque<(Instant, usize, NodeEvent)>,
    /// Agents that dial at a moment.
    dials: BTreeMap<Instant, Vec<usize>>,
    chances: Chances,
    /// Where each agent is connected.
    at: Vec<Option<usize>>,
    admitted: Vec<Instant>,
    random: u64,
}

impl FleetWorld {
    /// Nodes that have come to know each other, and agents that have yet to come.
    fn new(nodes: usize, agents: usize, params: AdmissionParams) -> Self {
        let start = crate::clock::now();
        let mut world = Self {
            start,
            now: start,
            params,
            gates: Vec::new(),
            store: Registry::new(RunId(1)),
            calls: 0,
            mail: VecDeque::new(),
            dials: BTreeMap::new(),
            chances: vec![1.0; nodes],
            at: vec![None; agents],
            admitted: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        };
        (0..nodes).for_each(|_| world.join());
        world.pass(LEASE * 4);
        world
    }

    fn join(&mut self) {
        let gate = StormGate::new(self.gates.len(), self.params, self.now);
        self.gates.push(gate);
    }

    fn chance(random: &mut u64) -> f64 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn reading(&self) -> ClockReading {
        ClockReading { monotonic: self.now, wall: SystemTime::UNIX_EPOCH + (self.now - self.start) }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut ticks = 0_u32;
        while self.now < until {
            self.now += TICK;
            ticks += 1;
            self.deliver();
            if ticks.is_multiple_of(5) {
                (0..self.gates.len()).for_each(|gate| self.tick_node(gate));
            }
            self.dial();
            (0..self.gates.len()).for_each(|gate| self.tick_gate(gate));
        }
    }

    /// All agents dial within this time.
    fn storm(&mut self, within: Duration) {
        let agents = self.at.len();
        for agent in 0..agents {
            let at = self.now + within.mul_f64(agent as f64 / agents as f64);
            self.dials.entry(at).or_default().push(agent);
        }
    }

    /// Lets time pass until all agents are connected. Returns how long that took.
    fn until_all_are_in(&mut self) -> Duration {
        let from = self.now;
        while self.at.iter().any(Option::is_none) {
            self.pass(TICK * 10);
            assert!(self.now - from < Duration::from_secs(300), "agents stay outside");
        }
        self.now - from
    }

    fn tick_node(&mut self, index: usize) {
        let at = self.reading();
        let gate = &mut self.gates[index];
        if !gate.alive {
            return;
        }
        let mut out = Vec::new();
        gate.node.handle(NodeEvent::Tick, at, &mut out);
        gate.share(at, &mut out);
        self.carry_out(index, out);
    }

    fn carry_out(&mut self, index: usize, effects: Vec<NodeEffect>) {
        let from = incarnation(index);
        for effect in effects {
            let (to, event) = match effect {
                NodeEffect::CallStore { id, call, .. } => {
                    self.calls += 1;
                    let answer: StoreAnswer = self.store.apply(&call);
                    (from, NodeEvent::StoreAnswered(id, Box::new(answer)))
                }
                NodeEffect::Say(to, message) => (to, NodeEvent::PeerSaid(from, message)),
                NodeEffect::Receive { shard, attempt, .. } => {
                    (from, NodeEvent::Received(shard, attempt))
                }
                _ => continue,
            };
            let to = (0..self.gates.len()).find(|gate| incarnation(*gate) == to);
            self.mail.extend(to.map(|to| (self.now + TICK, to, event)));
        }
    }

    fn deliver(&mut self) {
        while self.mail.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, to, event)) = self.mail.pop_front() else { return };
            let at = self.reading();
            let mut out = Vec::new();
            if self.gates[to].alive {
                self.gates[to].node.handle(event, at, &mut out);
            }
            self.carry_out(to, out);
        }
    }

    fn dial(&mut self) {
        let later = self.dials.split_off(&(self.now + Duration::from_nanos(1)));
        let due = std::mem::replace(&mut self.dials, later);
        for agent in due.into_values().flatten() {
            let gate = self.pick();
            let (now, random) = (self.now, &mut self.random);
            let admission = &mut self.gates[gate].admission;
            let mut chance = || Self::chance(random);
            match admission.arrive(Arrival::default(), Capacity::AMPLE, now, &mut chance) {
                AdmissionVerdict::Admit | AdmissionVerdict::Pass(_) => self.admit(agent, gate),
                AdmissionVerdict::Park { ticket, .. } => {
                    self.gates[gate].parked.insert(ticket, agent);
                }
                AdmissionVerdict::Refuse(refusal) => self.refuse(agent, gate, &refusal),
            }
        }
    }

    /// The node at which the balancer lets an agent arrive.
    fn pick(&mut self) -> usize {
        let alive = |gate: usize| self.gates.get(gate).is_some_and(|gate| gate.alive);
        let chances: Vec<(usize, f64)> = self.chances.iter().copied().enumerate().collect();
        let chances: Vec<_> = chances.into_iter().filter(|(gate, _)| alive(*gate)).collect();
        let sum: f64 = chances.iter().map(|(_, chance)| chance).sum();
        let mut left = Self::chance(&mut self.random) * sum;
        for (gate, chance) in &chances {
            left -= chance;
            if left < 0.0 {
                return *gate;
            }
        }
        chances[0].0
    }

    fn admit(&mut self, agent: usize, gate: usize) {
        self.admitted.push(self.now);
        self.at[agent] = Some(gate);
        self.gates[gate].connected += 1;
    }

    fn refuse(&mut self, agent: usize, gate: usize, refusal: &Refusal) {
        if !refusal.hold.is_zero() {
            self.gates[gate].admission.hold_ended();
        }
        let at = self.now + refusal.hold + refusal.retry_after;
        self.dials.entry(at).or_default().push(agent);
    }

    fn tick_gate(&mut self, index: usize) {
        let (now, random) = (self.now, &mut self.random);
        let tick = ProbeTick { delay: Duration::ZERO, capacity: Capacity::AMPLE };
        let gate = &mut self.gates[index];
        let mut decided = Vec::new();
        while gate.alive
            && gate.admission.tick(tick, now, &mut || Self::chance(random), &mut decided)
        {}
        for (ticket, verdict) in decided {
            let Some(agent) = self.gates[index].parked.remove(&ticket) else { continue };
            match verdict {
                ParkVerdict::Admit | ParkVerdict::Pass => self.admit(agent, index),
                ParkVerdict::Refuse(refusal) => self.refuse(agent, index, &refusal),
            }
        }
    }

    /// The node dies; its agents dial again at once.
    fn kill(&mut self, index: usize) {
        self.gates[index].alive = false;
        let parked: Vec<usize> = self.gates[index].parked.drain().map(|(_, agent)| agent).collect();
        let connected = (0..self.at.len()).filter(|agent| self.at[*agent] == Some(index));
        let again: Vec<usize> = connected.chain(parked).collect();
        for agent in &again {
            self.at[*agent] = None;
        }
        self.dials.entry(self.now + TICK).or_default().extend(again);
    }

    /// The most entries in any second, as a part of the rate.
    fn worst_second(&self) -> f64 {
        let second = Duration::from_secs(1);
        let within = |(first, from): (usize, &Instant)| {
            self.admitted[first..].partition_point(|at| *at - *from < second)
        };
        let most = self.admitted.iter().enumerate().map(within).max().unwrap_or(0);
        most as f64 / f64::from(RATE)
    }
}

/// All agents of a fleet dial within a second: how long until they are in, as a multiple of what the rate allows, and
/// the worst second.
fn storm(chances: &[f64], agents: usize, params: AdmissionParams) -> (f64, f64) {
    let mut world = FleetWorld::new(chances.len(), agents, params);
    world.chances = chances.to_vec();
    world.storm(Duration::from_secs(1));
    let took = world.until_all_are_in();
    let ideal = agents as f64 / f64::from(RATE);
    (took.as_secs_f64() / ideal, world.worst_second())
}

#[test]
fn storms_get_the_whole_rate_and_no_second_more() {
    // The largest part of an uneven storm fills its park before it has heard of the others.
    let storms: [(&[f64], f64); 5] = [
        (&[1.0, 0.0, 0.0], 0.95),
        (&[1.0, 1.0, 1.0], 0.95),
        (&[6.0, 3.0, 1.0], 0.9),
        (&[1.0], 0.95),
        (&[8.0, 1.0, 1.0, 1.0, 1.0], 0.9),
    ];
    for (chances, least) in storms {
        let (took, worst) = storm(chances, 9_000, AdmissionParams::new(rate()));
        let what = format!("{chances:?}: {took:.3} of the ideal, {worst:.3} of the rate");
        assert!(took <= 1.0 / least && worst <= 1.1, "{what}");
    }
}

#[test]
fn the_store_is_called_as_leases_need_it_and_about_once_a_second_in_a_storm() {
    let mut world = FleetWorld::new(3, 12_000, AdmissionParams::new(rate()));
    let before = world.calls;
    world.pass(LEASE * 3);
    let idle = world.calls - before;
    assert!((27..=32).contains(&idle), "{idle}: three nodes renew each third of a lease time");
    world.storm(Duration::from_secs(1));
    world.pass(Duration::from_secs(10));
    let busy = world.calls - before - idle;
    assert!(busy <= 70, "{busy}");
    world.until_all_are_in();
    let before = world.calls;
    world.pass(LEASE * 3);
    assert!(world.calls - before <= 40, "{}", world.calls - before);
}

#[test]
fn agents_that_find_no_place_are_told_moments_at_which_the_fleet_admits_them() {
    let params =
        AdmissionParams { park_horizon: Duration::from_secs(2), ..AdmissionParams::new(rate()) };
    for chances in [&[1.0, 0.0, 0.0], &[1.0, 1.0, 1.0], &[6.0, 3.0, 1.0]] {
        let (took, worst) = storm(chances, 9_000, params);
        let what = format!("{chances:?}: {took:.3} of the ideal, {worst:.3} of the rate");
        assert!(took <= 1.2 && worst <= 1.1, "{what}");
    }
}

#[test]
fn a_dead_node_gives_its_share_back_and_its_agents_are_in_before_long() {
    let mut world = FleetWorld::new(3, 9_000, AdmissionParams::new(rate()));
    world.storm(Duration::from_secs(1));
    world.pass(Duration::from_secs(5));
    world.kill(0);
    let left = world.at.iter().filter(|at| at.is_none()).count();
    let took = world.until_all_are_in().as_secs_f64() - left as f64 / f64::from(RATE);
    // A third of the rate is unused until the others see that the lease stands still.
    assert!(took <= 1.5, "{took} s more than the rate needs");
    assert!(world.worst_second() <= 1.1, "{}", world.worst_second());
}

#[test]
fn a_node_that_joins_in_a_storm_gets_a_share_of_the_same_rate() {
    let mut world = FleetWorld::new(2, 18_000, AdmissionParams::new(rate()));
    world.storm(Duration::from_secs(1));
    world.pass(Duration::from_secs(5));
    world.join();
    world.chances = vec![1.0, 1.0, 4.0];
    world.pass(Duration::from_secs(5));
    let (before, from) = (world.admitted.len(), world.now);
    world.until_all_are_in();
    let took = (world.now - from).as_secs_f64() / ((18_000 - before) as f64 / f64::from(RATE));
    // Agents that were told moments at the two old nodes come when it is their turn.
    assert!(took <= 1.25, "{took}");
    assert!(world.worst_second() <= 1.1, "{}", world.worst_second());
}

#[test]
fn a_storm_that_reaches_one_node_after_another_is_admitted_at_one_rate() {
    let mut world = FleetWorld::new(3, 12_000, AdmissionParams::new(rate()));
    world.chances = vec![1.0, 0.0, 0.0];
    for third in 0..3 {
        let agents = third * 4_000..(third + 1) * 4_000;
        world.dials.entry(world.now + TICK).or_default().extend(agents);
        world.chances.rotate_right(usize::from(third > 0));
        world.pass(Duration::from_secs(3));
    }
    world.until_all_are_in();
    assert!(world.worst_second() <= 1.1, "{}", world.worst_second());
}
