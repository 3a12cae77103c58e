//! Everything that exists, the time, and what happens next. One thread, one source of chance: the same seed is the
//! same story, to the last byte.

use std::collections::BTreeMap;
use std::time::Instant;

use seawall::core::ownership::{NodeEvent, NodeIncarnation, NodePhase, PeerMessage, StoreCall};
use seawall::mutation::Breach;

use crate::events::Event;
use crate::links::Links;
use crate::machine::Machine;
use crate::oracle::Oracle;
use crate::plan::{LEASE, Plan};
use crate::process::{Key, Process};
use crate::scenes::Scene;
use crate::sessions::Records;
use crate::simulation::queue::Queue;
use crate::simulation::random::Random;
use crate::simulation::runner::{Outcome, Story};
use crate::simulation::trace::Trace;
use crate::store::Store;

/// Since the start of the story.
pub(crate) type Time = std::time::Duration;

pub(crate) const OBSERVE_EVERY: Time = Time::from_millis(500);

/// Where a node runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) running: Option<Key>,
    /// A node runs here, or is about to.
    pub(crate) wanted: bool,
}

/// A message under way on a node link.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) from: NodeIncarnation,
    pub(crate) places: (usize, usize),
    pub(crate) to: Key,
    pub(crate) generation: u32,
    pub(crate) what: Carried,
}

/// What goes over node links.
#[derive(Debug)]
pub(crate) enum Carried {
    Said(Box<PeerMessage>),
    Sessions(Records),
}

/// See the module's text.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: Time,
    start: Instant,
    queue: Queue<Time, Event>,
    pub(crate) processes: BTreeMap<Key, Process>,
    pub(crate) places: Vec<Place>,
    pub(crate) store: Store,
    pub(crate) links: Links,
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) oracle: Oracle,
    pub(crate) calm: bool,
    /// Faults of which one is to follow the other.
    pub(crate) scene: Option<Scene>,
    last_key: Key,
    end: Time,
    log: Option<Vec<String>>,
    /// Depends on all that was done and said.
    trace: Trace,
    events: u64,
}

impl Story for World {
    fn begin(seed: u64, start: Instant, tells: bool) -> Self {
        Self::new(seed, start, tells)
    }

    fn looks_from(breach: Breach) -> u64 {
        match breach {
            Breach::OwnershipTakesInFirstLease => 2_500,
            Breach::OwnershipIgnoresOtherRuns => 5_500,
            Breach::OwnershipConfirmsAnyView => 6_500,
            _ => 0,
        }
    }

    fn run(&mut self) {
        while self.oracle.violation.is_none()
            && let Some((at, event)) = self.queue.pop()
            && at <= self.end
        {
            self.now = at;
            self.events += 1;
            self.happen(event);
            self.check_speaking();
        }
        if self.oracle.violation.is_none() {
            self.all_must_be_well("in the end");
        }
    }

    fn outcome(self) -> Outcome {
        Outcome {
            violation: self.oracle.violation,
            trace: self.trace.number(),
            events: self.events,
            log: self.log.unwrap_or_default(),
        }
    }
}

impl World {
    fn new(seed: u64, start: Instant, log: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let settle = plan.params.autonomy + LEASE * 5;
        let mut world = Self {
            random,
            now: Time::ZERO,
            // Room for clocks that are behind.
            start: start + Time::from_secs(3_600),
            queue: Queue::new(),
            processes: BTreeMap::new(),
            places: vec![Place { running: None, wanted: true }; plan.places],
            store: Store::new(plan.places),
            links: Links::new(plan.places),
            messages: BTreeMap::new(),
            oracle: Oracle::new(&plan),
            calm: false,
            scene: None,
            last_key: 0,
            end: plan.lasts + settle + LEASE * 8,
            log: log.then(Vec::new),
            trace: Trace::new(),
            events: 0,
            plan,
        };
        world.begin(settle);
        world
    }

    fn begin(&mut self, settle: Time) {
        let text = format!("{:#?}", self.plan);
        self.say(|| text);
        let mut places: Vec<usize> = (0..self.plan.places).collect();
        self.random.shuffle(&mut places);
        for place in places {
            self.at(self.plan.starts[place], Event::Start(place));
        }
        self.at(OBSERVE_EVERY, Event::Observe);
        self.at(self.plan.fault_every, Event::Fault);
        self.at(self.plan.lasts, Event::Calm);
        let settled = self.plan.lasts + settle;
        if self.plan.ends_with_hand_over {
            self.at(settled, Event::CalmHandOver);
            self.at(settled + LEASE, Event::CalmLeave);
        } else {
            self.at(settled, Event::CalmCrash);
            self.at(settled + LEASE * 2, Event::CalmStart);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(place) => self.start(place, None),
            Event::Tick(key) => self.tick(key),
            Event::Resume(key) => self.resume(key),
            Event::CallArrives(call) => self.call_arrives(call),
            Event::AnswerArrives(call) => self.answer_arrives(call),
            Event::ErrorArrives(key, id) => self.deliver(key, NodeEvent::StoreRefused(id)),
            Event::CallDue(key, id) => self.deliver(key, NodeEvent::StoreSilent(id)),
            Event::MessageArrives(message) => self.message_arrives(message),
            Event::SessionsGo(key, shard, attempt) => self.sessions_go(key, shard, attempt),
            Event::Received(key, shard, attempt) => self.received(key, shard, attempt),
            Event::StoreStarts => self.store_starts(),
            Event::StoreHeals => self.store_heals(),
            Event::SplitEnds => self.split_ends(),
            Event::NodeHeals(place) => self.node_heals(place),
            Event::LinksHeal(from, to) => self.links_heal(from, to),
            Event::Leaves(key) => self.leave(key),
            Event::SceneGoesOn => self.scene_goes_on(),
            Event::LinkCut(from, to) => self.link_is_cut(from, to),
            Event::Crash(key) => self.crash(key),
            Event::Observe => self.observe(),
            Event::Fault => self.fault(),
            Event::Calm => self.become_calm(),
            Event::CalmCrash => self.crash_in_the_calm(),
            Event::CalmStart => self.start_in_the_calm(),
            Event::CalmHandOver => self.hand_over_in_the_calm(),
            Event::CalmLeave => self.leave_in_the_calm(),
        }
    }

    /// A node's process starts, or goes on as a new incarnation on the same machine.
    pub(crate) fn start(&mut self, place: usize, machine: Option<Machine>) {
        if self.places[place].running.is_some() || !self.places[place].wanted {
            return;
        }
        self.last_key += 1;
        let key = self.last_key;
        let number = self.random.next() | 1;
        let machine = machine.unwrap_or_else(|| Machine::new(self.start, &mut self.random.fork()));
        let process = Process::new(place, number, self.plan.params, machine);
        self.say(|| format!("process {key} ({number:016x}) starts at place {place}"));
        self.processes.insert(key, process);
        self.places[place].running = Some(key);
        self.oracle.unrest(self.now);
        self.after(Time::ZERO, Event::Tick(key));
    }

    /// A process ends. Returns its machine.
    pub(crate) fn end(&mut self, key: Key) -> Option<Machine> {
        let process = self.processes.remove(&key)?;
        self.places[process.place].running = None;
        self.oracle.unrest(self.now);
        Some(process.machine)
    }

    fn tick(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else { return };
        if process.stopped.is_none() {
            self.deliver(key, NodeEvent::Tick);
        }
        let delay = self.random.ms(300, 600);
        self.after(delay, Event::Tick(key));
    }

    /// A stopped process goes on: it finds what has come meanwhile, and the time.
    fn resume(&mut self, key: Key) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let Some(stop) = process.stopped.take() else { return };
        if stop.clock {
            process.machine.was_stopped(self.now - stop.since);
        }
        process.resumed = self.now;
        let mut inbox = std::mem::take(&mut process.inbox);
        if self.random.percent(50) {
            inbox.insert(0, NodeEvent::Tick);
        }
        self.oracle.unrest(self.now);
        self.say(|| format!("process {key} goes on"));
        for event in inbox {
            self.check_speaking();
            self.deliver(key, event);
        }
    }

    /// Something happens to a process.
    pub(crate) fn deliver(&mut self, key: Key, event: NodeEvent) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&key) else { return };
        if process.stopped.is_some() {
            if event != NodeEvent::Tick {
                process.inbox.push(event);
            }
            return;
        }
        // What had come may be void by now.
        if let NodeEvent::Received(shard, attempt) = event
            && !process.sessions.has_received(shard, attempt)
        {
            return;
        }
        if self.oracle.forgotten.hears(process.node.incarnation(), &event) {
            let members: Vec<_> = process.node.members().collect();
            if self.store.members().iter().any(|member| !members.contains(member)) {
                // Among strangers it holds still until it has read the map.
                self.oracle.trouble(now);
            }
        }
        let moment = process.moment(now);
        if process.spoke && process.node.standing(moment).is_err() {
            (process.spoke, process.must_drop) = (false, true);
        }
        let mut effects = Vec::new();
        process.node.handle(event, moment, &mut effects);
        self.mark(key, effects.len());
        self.carry_out(key, effects);
        self.look_at(key);
    }

    fn call_arrives(&mut self, number: u64) {
        let Some(mut call) = self.store.calls.remove(&number) else { return };
        let Some(master) = self.store.masters.get_mut(&call.master) else { return };
        if master.frozen_until > self.now {
            let at = master.frozen_until + self.random.ms(0, 20);
            self.store.calls.insert(number, call);
            return self.at(at, Event::CallArrives(number));
        }
        let before = match &call.call {
            StoreCall::Change(_) => Some(master.registry.read()),
            StoreCall::Read | StoreCall::Renew(_) => None,
        };
        let answer = master.registry.apply(&call.call);
        self.store.remember(self.now);
        let key = call.key;
        self.say(|| format!("  store: {} of {key}: {}", show_call(&call.call), show(&answer)));
        self.oracle.applied(&call.call, &answer, before, self.now);
        call.answer = Some(answer);
        if self.random.percent(self.store.loses) {
            return;
        }
        let delay = self.random.ms(1, self.store.slow + 2);
        self.store.calls.insert(number, call);
        self.after(delay, Event::AnswerArrives(number));
    }

    fn answer_arrives(&mut self, number: u64) {
        let Some(call) = self.store.calls.remove(&number) else { return };
        let cut = self.processes.get(&call.key).is_none_or(|process| self.store.cut[process.place]);
        let alive = self.store.masters.contains_key(&call.master);
        if let Some(answer) = call.answer.filter(|_| alive && !cut) {
            self.deliver(call.key, NodeEvent::StoreAnswered(call.id, Box::new(answer)));
        }
    }

    fn message_arrives(&mut self, number: u64) {
        let Some(message) = self.messages.remove(&number) else { return };
        let (from, to) = message.places;
        let link = *self.links.of(from, to);
        if link.generation != message.generation || link.cut {
            return;
        }
        match message.what {
            Carried::Said(said) => {
                self.deliver(message.to, NodeEvent::PeerSaid(message.from, said));
            }
            Carried::Sessions(records) => self.records_arrive(message.to, message.from, records),
        }
    }

    /// Processes that are members, as far as they know.
    pub(crate) fn member_keys(&self) -> Vec<Key> {
        let members = self.processes.iter().filter(|(_, process)| {
            matches!(process.node.phase(), NodePhase::Member | NodePhase::Leaving)
        });
        members.map(|(key, _)| *key).collect()
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10.3} {}", self.now.as_secs_f64(), what()));
        }
    }

    /// Notes what was done.
    fn mark(&mut self, key: Key, effects: usize) {
        let time = u64::try_from(self.now.as_micros()).unwrap();
        self.trace.mark([key, effects as u64, time]);
    }
}

fn show_call(call: &StoreCall) -> String {
    match call {
        StoreCall::Read => "read".to_owned(),
        StoreCall::Renew(renew) => format!(
            "renew {} #{} rejoin {} restore {}",
            renew.lease.incarnation,
            renew.lease.counter.0,
            renew.rejoin,
            renew.restore.len()
        ),
        StoreCall::Change(change) => {
            let homes: Vec<String> = change
                .homes
                .iter()
                .map(|home| {
                    let new = home.new.map(|new| format!("{}@{}", new.node, new.epoch.number));
                    format!("{}>{}", home.shard.get(), new.unwrap_or_default())
                })
                .collect();
            let add = change.add.as_ref().map(|lease| lease.incarnation.to_string());
            let list = |nodes: &[NodeIncarnation]| {
                nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            };
            format!(
                "change add {add:?} remove [{}] homes {}",
                list(&change.remove),
                homes.join(" ")
            )
        }
    }
}

fn show(answer: &seawall::core::ownership::StoreAnswer) -> String {
    use seawall::core::ownership::{RenewAnswer, StoreAnswer};
    match answer {
        StoreAnswer::Read(content) => format!("version {}", content.version.0),
        StoreAnswer::Renew(answer) => match &**answer {
            RenewAnswer::Renewed(renewed) => format!("version {}", renewed.version.0),
            other => format!("{other:?}"),
        },
        StoreAnswer::Change(answer) => format!("{answer:?}"),
    }
}
