//! The storm itself: agents and nodes on a simulated clock, one event after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use seawall::core::admission::Cluster;

use super::gateway::{AdmissionAnswer, AdmissionNode};
use super::scenario::Scenario;
use crate::fleet::{DialBackoff, Mix};

/// How often admission is told how many agents are disconnected.
const TICK: Duration = Duration::from_secs(1);
/// Timers go off this far apart at least.
const POLL_EVERY: Duration = Duration::from_millis(1);
/// A storm that takes this many times the ideal is stopped.
const PATIENCE: f64 = 40.0;
/// Refusals of the first moments say how many came. What admission made of them shows later.
const FIRST_WAVE: Duration = Duration::from_secs(2);

/// What a storm came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SimulatedStorm {
    /// Until all obedient agents were admitted, as a multiple of the ideal.
    pub(crate) time: f64,
    /// Dials of obedient agents for each of their admissions.
    pub(crate) attempts: f64,
    /// Refusals in the worst second after the first wave.
    pub(crate) refusals_peak: u32,
    /// Obedient agents that still waited when patience ended.
    pub(crate) disconnected: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StormEvent {
    Dial(u32),
    HoldEnded(u32),
    Poll(u32),
    Tick,
    Change,
}

struct Dialler {
    backoff: DialBackoff,
    /// Its seconds in ours.
    clock: f64,
    obedient: bool,
    admitted: bool,
}

struct StormWorld {
    scenario: Scenario,
    start: Instant,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, StormEvent)>>,
    agents: Vec<Dialler>,
    nodes: Vec<AdmissionNode>,
    mix: Mix,
    disconnected: u32,
    obedient_waiting: u32,
    dials: u64,
    obedient_entries: u64,
    entries: u64,
    last_admitted: Instant,
    refused: u32,
    refused_from: Instant,
    refusals_peak: u32,
}

/// Runs one.
pub(crate) fn simulate(scenario: Scenario) -> SimulatedStorm {
    let mut world = StormWorld::new(scenario);
    world.run();
    world.outcome()
}

impl StormWorld {
    fn new(scenario: Scenario) -> Self {
        let start = seawall::clock::now();
        let mut mix = Mix::new(scenario.seed, 0, 0);
        let mut events = BinaryHeap::new();
        let change = scenario.change();
        let mut agents = Vec::new();
        for number in 0..scenario.agents {
            let clock = 1.0 + scenario.clocks * 2.0f64.mul_add(mix.unit(), -1.0);
            let obedient = mix.unit() >= scenario.misbehaving;
            agents.push(Dialler { backoff: DialBackoff::new(), clock, obedient, admitted: false });
            let late = mix.unit() < scenario.latecomers;
            let first = start + if late { change } else { Duration::ZERO };
            let dial = first + scenario.spread.mul_f64(mix.unit());
            events.push(Reverse((dial, StormEvent::Dial(number))));
        }
        events.push(Reverse((start, StormEvent::Tick)));
        events.push(Reverse((start + change, StormEvent::Change)));
        let rate = cluster(&scenario, scenario.rate).node_rate();
        let mut nodes: Vec<AdmissionNode> =
            (0..scenario.nodes).map(|_| AdmissionNode::new(scenario.policy, rate, start)).collect();
        nodes.iter_mut().for_each(|node| node.tell_change(changed_rate(&scenario)));
        let obedient = agents.iter().filter(|agent| agent.obedient).count();
        Self {
            scenario,
            start,
            now: start,
            events,
            agents,
            nodes,
            mix,
            disconnected: scenario.agents,
            obedient_waiting: u32::try_from(obedient).unwrap_or(u32::MAX),
            dials: 0,
            obedient_entries: 0,
            entries: 0,
            last_admitted: start,
            refused: 0,
            refused_from: start + FIRST_WAVE,
            refusals_peak: 0,
        }
    }

    fn run(&mut self) {
        let patience = self.scenario.ideal(u64::from(self.scenario.agents)) * PATIENCE + 100.0;
        let end = self.start + Duration::from_secs_f64(patience);
        let change = self.start + self.scenario.change();
        while let Some(Reverse((at, event))) = self.events.pop() {
            if at > end || (self.obedient_waiting == 0 && at > change) {
                break;
            }
            self.now = at;
            match event {
                StormEvent::Dial(agent) => self.dial(agent),
                StormEvent::HoldEnded(node) => self.nodes[node as usize].hold_ended(),
                StormEvent::Poll(node) => self.poll(node),
                StormEvent::Tick => self.tick(),
                StormEvent::Change => self.change(),
            }
        }
    }

    fn at(&mut self, when: Instant, event: StormEvent) {
        self.events.push(Reverse((when, event)));
    }

    fn dial(&mut self, number: u32) {
        self.dials += u64::from(self.agents[number as usize].obedient);
        let node = u32::try_from(self.mix.below(self.nodes.len())).unwrap_or(0);
        let answer = self.nodes[node as usize].arrive(number, self.now, &mut self.mix);
        self.answered(number, node, answer);
        if answer == AdmissionAnswer::None && !self.nodes[node as usize].poll_due {
            self.nodes[node as usize].poll_due = true;
            self.at(self.now, StormEvent::Poll(node));
        }
    }

    fn poll(&mut self, number: u32) {
        let mut answers = Vec::new();
        let node = &mut self.nodes[number as usize];
        let next = node.poll(self.now, &mut self.mix, &mut answers);
        node.poll_due = next.is_some();
        for (agent, answer) in answers {
            self.answered(agent, number, answer);
        }
        if let Some(next) = next {
            self.at(next.max(self.now + POLL_EVERY), StormEvent::Poll(number));
        }
    }

    fn answered(&mut self, number: u32, node: u32, answer: AdmissionAnswer) {
        let agent = &mut self.agents[number as usize];
        match answer {
            AdmissionAnswer::None => {}
            AdmissionAnswer::Admitted => {
                agent.admitted = true;
                self.disconnected -= 1;
                self.entries += 1;
                if agent.obedient {
                    self.obedient_waiting -= 1;
                    self.obedient_entries += 1;
                    self.last_admitted = self.now;
                }
            }
            AdmissionAnswer::Refused { hold, retry_after } => {
                let own = agent.backoff.next(retry_after, &mut self.mix);
                let wait = if agent.obedient { own } else { Duration::from_secs(1) };
                let again = self.now + hold + wait.mul_f64(agent.clock);
                self.refused += u32::from(self.now >= self.refused_from);
                if !hold.is_zero() {
                    self.at(self.now + hold, StormEvent::HoldEnded(node));
                }
                self.at(again, StormEvent::Dial(number));
            }
        }
    }

    fn tick(&mut self) {
        self.refusals_peak = self.refusals_peak.max(self.refused);
        self.refused = 0;
        let backlog =
            cluster(&self.scenario, self.scenario.rate).node_backlog(self.disconnected.into());
        self.nodes.iter_mut().for_each(|node| node.tell_backlog(backlog));
        self.at(self.now + TICK, StormEvent::Tick);
    }

    fn change(&mut self) {
        let rate = changed_rate(&self.scenario);
        for node in &mut self.nodes {
            node.set_rate(rate, self.now);
        }
        if self.scenario.second_wave || self.scenario.latecomers > 0.0 {
            self.refused_from = self.now + FIRST_WAVE;
        }
        if !self.scenario.second_wave {
            return;
        }
        for number in 0..self.scenario.agents / 2 {
            let agent = &mut self.agents[number as usize];
            if !agent.admitted {
                continue;
            }
            agent.admitted = false;
            agent.backoff = DialBackoff::new();
            self.disconnected += 1;
            self.obedient_waiting += u32::from(agent.obedient);
            let when = self.now + self.scenario.spread.mul_f64(self.mix.unit());
            self.at(when, StormEvent::Dial(number));
        }
    }

    fn outcome(&self) -> SimulatedStorm {
        let taken = (self.last_admitted - self.start).as_secs_f64();
        let all = self.entries + u64::from(self.disconnected);
        SimulatedStorm {
            time: taken / self.scenario.ideal(all),
            attempts: self.dials as f64 / (self.obedient_entries as f64).max(1.0),
            refusals_peak: self.refusals_peak,
            disconnected: self.obedient_waiting,
        }
    }
}

fn cluster(scenario: &Scenario, rate: NonZeroU32) -> Cluster {
    let live_nodes = NonZeroU32::new(scenario.nodes).unwrap_or(NonZeroU32::MIN);
    Cluster { rate, live_nodes }
}

/// One node's rate after the change.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn changed_rate(scenario: &Scenario) -> NonZeroU32 {
    let rate = f64::from(scenario.rate.get()) * scenario.rate_changes;
    let rate = NonZeroU32::new(rate as u32).unwrap_or(NonZeroU32::MIN);
    cluster(scenario, rate).node_rate()
}
