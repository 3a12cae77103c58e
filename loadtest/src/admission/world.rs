//! The storm itself: agents and nodes on a simulated clock, one event after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use seawall::core::admission::Cluster;

use super::gateway::{Answer, Node};
use super::scenario::Scenario;
use crate::fleet::{Backoff, Mix};

/// What is looked at again and again: how many are outside, the time that is over.
const TICK: Duration = Duration::from_secs(1);
/// A timer does not go off more often.
const POLL_EVERY: Duration = Duration::from_millis(1);
/// A storm that takes so many times what it should is stopped.
const PATIENCE: f64 = 40.0;
/// Refusals of the first moments say how many came, not what was made of it.
const FIRST_WAVE: Duration = Duration::from_secs(2);

/// What a storm came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Until all who obey were in, as a multiple of the ideal.
    pub(crate) time: f64,
    /// Dials for each entry, of those who obey.
    pub(crate) attempts: f64,
    /// Refusals in the worst second after the first wave.
    pub(crate) refusals_peak: u32,
    /// Of those who obey, who were not in when patience ended.
    pub(crate) outside: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Dial(u32),
    HoldEnded(u32),
    Poll(u32),
    Tick,
    Change,
}

struct Agent {
    backoff: Backoff,
    /// Its seconds in ours.
    clock: f64,
    obeys: bool,
    inside: bool,
}

struct World {
    scenario: Scenario,
    start: Instant,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, Event)>>,
    agents: Vec<Agent>,
    nodes: Vec<Node>,
    mix: Mix,
    outside: u32,
    obeying_outside: u32,
    dials: u64,
    entries_obeying: u64,
    entries: u64,
    last_in: Instant,
    refused: u32,
    refused_from: Instant,
    refusals_peak: u32,
}

/// Runs one.
pub(crate) fn simulate(scenario: Scenario) -> Outcome {
    let mut world = World::new(scenario);
    world.run();
    world.outcome()
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let start = seawall::clock::now();
        let mut mix = Mix::new(scenario.seed, 0, 0);
        let mut events = BinaryHeap::new();
        let change = scenario.change();
        let mut agents = Vec::new();
        for number in 0..scenario.agents {
            let clock = 1.0 + scenario.clocks * 2.0f64.mul_add(mix.unit(), -1.0);
            let obeys = mix.unit() >= scenario.misbehaving;
            agents.push(Agent { backoff: Backoff::new(), clock, obeys, inside: false });
            let late = mix.unit() < scenario.latecomers;
            let first = start + if late { change } else { Duration::ZERO };
            let dial = first + scenario.spread.mul_f64(mix.unit());
            events.push(Reverse((dial, Event::Dial(number))));
        }
        events.push(Reverse((start, Event::Tick)));
        events.push(Reverse((start + change, Event::Change)));
        let rate = cluster(&scenario, scenario.rate).node_rate();
        let mut nodes: Vec<Node> =
            (0..scenario.nodes).map(|_| Node::new(scenario.policy, rate, start)).collect();
        nodes.iter_mut().for_each(|node| node.tell_change(changed_rate(&scenario)));
        let obeying = agents.iter().filter(|agent| agent.obeys).count();
        Self {
            scenario,
            start,
            now: start,
            events,
            agents,
            nodes,
            mix,
            outside: scenario.agents,
            obeying_outside: u32::try_from(obeying).unwrap_or(u32::MAX),
            dials: 0,
            entries_obeying: 0,
            entries: 0,
            last_in: start,
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
            if at > end || (self.obeying_outside == 0 && at > change) {
                break;
            }
            self.now = at;
            match event {
                Event::Dial(agent) => self.dial(agent),
                Event::HoldEnded(node) => self.nodes[node as usize].hold_ended(),
                Event::Poll(node) => self.poll(node),
                Event::Tick => self.tick(),
                Event::Change => self.change(),
            }
        }
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.events.push(Reverse((when, event)));
    }

    fn dial(&mut self, number: u32) {
        self.dials += u64::from(self.agents[number as usize].obeys);
        let node = u32::try_from(self.mix.below(self.nodes.len())).unwrap_or(0);
        let answer = self.nodes[node as usize].arrive(number, self.now, &mut self.mix);
        self.answered(number, node, answer);
        if answer == Answer::None && !self.nodes[node as usize].poll_due {
            self.nodes[node as usize].poll_due = true;
            self.at(self.now, Event::Poll(node));
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
            self.at(next.max(self.now + POLL_EVERY), Event::Poll(number));
        }
    }

    fn answered(&mut self, number: u32, node: u32, answer: Answer) {
        let agent = &mut self.agents[number as usize];
        match answer {
            Answer::None => {}
            Answer::In => {
                agent.inside = true;
                self.outside -= 1;
                self.entries += 1;
                if agent.obeys {
                    self.obeying_outside -= 1;
                    self.entries_obeying += 1;
                    self.last_in = self.now;
                }
            }
            Answer::Refused { hold, retry_after } => {
                let own = agent.backoff.next(retry_after, &mut self.mix);
                let wait = if agent.obeys { own } else { Duration::from_secs(1) };
                let again = self.now + hold + wait.mul_f64(agent.clock);
                self.refused += u32::from(self.now >= self.refused_from);
                if !hold.is_zero() {
                    self.at(self.now + hold, Event::HoldEnded(node));
                }
                self.at(again, Event::Dial(number));
            }
        }
    }

    fn tick(&mut self) {
        self.refusals_peak = self.refusals_peak.max(self.refused);
        self.refused = 0;
        let backlog = cluster(&self.scenario, self.scenario.rate).node_backlog(self.outside.into());
        self.nodes.iter_mut().for_each(|node| node.tell_backlog(backlog));
        self.at(self.now + TICK, Event::Tick);
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
            if !agent.inside {
                continue;
            }
            agent.inside = false;
            agent.backoff = Backoff::new();
            self.outside += 1;
            self.obeying_outside += u32::from(agent.obeys);
            let when = self.now + self.scenario.spread.mul_f64(self.mix.unit());
            self.at(when, Event::Dial(number));
        }
    }

    fn outcome(&self) -> Outcome {
        let taken = (self.last_in - self.start).as_secs_f64();
        let all = self.entries + u64::from(self.outside);
        Outcome {
            time: taken / self.scenario.ideal(all),
            attempts: self.dials as f64 / (self.entries_obeying as f64).max(1.0),
            refusals_peak: self.refusals_peak,
            outside: self.obeying_outside,
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
