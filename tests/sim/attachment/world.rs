//! The clock, the events, and what the agents do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use seawall::core::attachment::{
    FrontAttachment, FrontMoment, FrontPolicy, HomeAttachment, HomePolicy,
};
use seawall::core::node_link::{Handle, ToHome};
use seawall::core::ownership::{Home, shard_of};
use seawall::ident::InstanceUid;

use super::agent::SimAgent;
use super::links::{self, Link};
use super::node::{FrontEffects, HomeEntry, Node, Place, epoch, incarnation};
use super::oracle::Oracle;
use super::session::SimSession;
use crate::simulation::queue::Queue;
use crate::simulation::random::Random;
use crate::simulation::runner::{Outcome, Story};
use crate::simulation::trace::Trace;

pub(super) const NODES: usize = 3;
/// How long there are faults, and how long it is calm after that.
pub(super) const FAULTS: Duration = Duration::from_secs(12);
pub(super) const CALM: Duration = Duration::from_secs(20);
/// After this time the consequences of a disturbance are over.
pub(super) const SETTLES: Duration = Duration::from_secs(5);
/// At the end, agents only send heartbeats.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(20);
/// An agent waits for its reply no longer than this.
pub(super) const REPLY_WITHIN: Duration = Duration::from_millis(1_600);

const HOME_POLICY: HomePolicy = HomePolicy { answer_wait: Duration::from_secs(2), credit: 1 << 12 };

/// What may happen in a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Agents change their node, leave sockets behind, and restart.
    pub(super) moves: bool,
    /// Nodes crash, or wake up after another has taken over.
    pub(super) crashes: bool,
    /// Two agents share a uid.
    pub(super) clones: bool,
    pub(super) hand_overs: bool,
    pub(super) cuts: bool,
    /// One agent polls over plain HTTP.
    pub(super) polls: bool,
    /// One node has another key of digests.
    pub(super) foreign_secret: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Tick,
    Act(usize),
    Connect(usize),
    Frame { from: usize, to: usize, life: u64, bytes: Vec<u8> },
    Stale { node: usize, handle: Handle },
    GivesUp { agent: usize, handle: Handle },
    Answered { node: usize, handle: Handle },
    Pong { node: usize, handle: Handle, question: u32 },
    CheckReplies { node: usize, handle: Handle, said: u64 },
    Reply { uid: InstanceUid, epoch: u64, generation: u64 },
    Offer(usize),
    Cut,
    LostNoticed { at: usize, peer: usize },
    Restore(usize, usize),
    ReadMap(usize),
    HandOver(usize),
    Arrives { uid: InstanceUid, to: usize },
    Crash,
    FrontGone(seawall::core::ownership::NodeIncarnation),
    FormerSpeaks,
    Calm,
    End,
}

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) random: Random,
    queue: Queue<Instant, Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) agents: Vec<SimAgent>,
    pub(super) links: BTreeMap<(usize, usize), Link>,
    /// The map as it is.
    pub(super) map: BTreeMap<InstanceUid, Place>,
    pub(super) lives: u64,
    pub(super) last_offer: u64,
    pub(super) plan: Plan,
    pub(super) front_policy: FrontPolicy,
    pub(super) calm: bool,
    /// The last time that something was out of order: what follows from it is excused for a while.
    pub(super) disturbed: Instant,
    pub(super) oracle: Oracle,
    log: Vec<String>,
    logs: bool,
    /// Depends on all that went over any link.
    trace: Trace,
    events: u64,
}

fn plan(random: &mut Random) -> Plan {
    Plan {
        moves: random.percent(75),
        crashes: random.percent(40),
        clones: random.percent(15),
        hand_overs: random.percent(60),
        cuts: random.percent(75),
        polls: random.percent(35),
        foreign_secret: random.percent(10),
    }
}

impl Story for World {
    fn begin(seed: u64, start: Instant, tells: bool) -> Self {
        Self::new(seed, start, tells)
    }

    fn run(&mut self) {
        self.set_up();
        while self.oracle.violation.is_none()
            && let Some((at, event)) = self.queue.pop()
        {
            self.now = at;
            self.events += 1;
            if matches!(event, Event::End) {
                return self.judge();
            }
            self.happens(event);
        }
    }

    fn outcome(self) -> Outcome {
        Outcome {
            violation: self.oracle.violation,
            trace: self.trace.number(),
            events: self.events,
            log: self.log,
        }
    }
}

impl World {
    fn new(seed: u64, start: Instant, logs: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = plan(&mut random);
        let delay_max = links::delay_max(&mut random);
        let tight = plan.moves && random.percent(30);
        let front_policy = FrontPolicy {
            answers_heartbeats: !random.percent(10),
            reply_bound: Duration::from_millis(1_500),
            attach_again: Duration::from_secs(1),
            leaving_max: Duration::from_secs(5),
            held_messages_max: 16,
            held_bytes_max: if tight { 1_500 } else { 1 << 16 },
            agent_bytes_max: 1 << 16,
        };
        let nodes = (0..NODES).map(|node| Node {
            incarnation: incarnation(node, 0),
            fronts: BTreeMap::new(),
            homes: BTreeMap::new(),
            former: Vec::new(),
            view: BTreeMap::new(),
            reaches: vec![true; NODES],
            batches: BTreeMap::new(),
            next_connection: 0,
            next_number: 0,
            secret: if plan.foreign_secret && node == 1 { 2 } else { 1 },
        });
        let pairs = (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b)));
        let link = |(a, b)| ((a, b), Link::new(start, if a == b { 1 } else { delay_max }));
        Self {
            start,
            now: start,
            nodes: nodes.collect(),
            links: pairs.map(link).collect(),
            random,
            queue: Queue::new(),
            agents: Vec::new(),
            map: BTreeMap::new(),
            lives: 0,
            last_offer: 0,
            plan,
            front_policy,
            calm: false,
            disturbed: start,
            oracle: Oracle::default(),
            log: Vec::new(),
            logs,
            trace: Trace::new(),
            events: 0,
        }
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.queue.push(at, event);
    }

    pub(super) fn soon(&mut self, from: u64, to: u64, event: Event) {
        let at = self.now + self.random.ms(from, to);
        self.at(at, event);
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.logs {
            let ms = (self.now - self.start).as_millis();
            self.log.push(format!("{ms:>6} {}", what()));
        }
    }

    fn set_up(&mut self) {
        for n in 0..2_u8 {
            let uid = InstanceUid::from_bytes([n + 1; 16]);
            self.add_agent(uid);
        }
        if self.plan.clones {
            let uid = self.agents[0].uid;
            self.agents.push(SimAgent::new(uid, 1 << 20));
        }
        self.agents[1].polls = self.plan.polls;
        for node in 0..NODES {
            self.nodes[node].view = self.map.clone();
        }
        for agent in 0..self.agents.len() {
            self.soon(0, 500, Event::Connect(agent));
            self.soon(500, 1_000, Event::Act(agent));
            self.soon(500, 3_000, Event::Offer(agent));
        }
        self.at(self.start, Event::Tick);
        self.at(self.start + FAULTS, Event::Calm);
        self.at(self.start + FAULTS + CALM, Event::End);
        if self.plan.cuts {
            self.soon(100, 4_000, Event::Cut);
        }
        if self.plan.hand_overs {
            self.soon(500, 5_000, Event::HandOver(0));
            self.soon(500, 9_000, Event::HandOver(1));
        }
        if self.plan.crashes {
            self.soon(2_000, 10_000, Event::Crash);
            self.soon(1_000, 10_000, Event::FormerSpeaks);
        }
    }

    /// An agent with a uid of its own, and a home for it.
    pub(super) fn add_agent(&mut self, uid: InstanceUid) {
        let place = Place { node: self.random.index(NODES), epoch: 1 };
        self.new_home(uid, place);
        self.agents.push(SimAgent::new(uid, 0));
    }

    /// A home that knows nothing of its agents.
    pub(super) fn new_home(&mut self, uid: InstanceUid, place: Place) {
        let (home, session) = (HomeAttachment::new(uid), SimSession::default());
        let entry = HomeEntry { home, session, epoch: place.epoch, frozen: false, highest: None };
        self.nodes[place.node].homes.insert(uid, entry);
        self.map.insert(uid, place);
    }

    fn judge(&mut self) {
        for agent in &self.agents {
            let entry =
                self.map.get(&agent.uid).and_then(|at| self.nodes[at.node].homes.get(&agent.uid));
            self.oracle.judge(agent, entry);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick => self.tick(),
            Event::Act(agent) => self.act(agent),
            Event::Connect(agent) => self.connect(agent),
            Event::Frame { from, to, life, bytes } => {
                if self.links[&(from, to)].life == life {
                    self.arrives(from, to, &bytes);
                }
            }
            Event::GivesUp { agent, handle } => self.gives_up(agent, handle),
            Event::Stale { node, handle } => self.socket_closed(node, handle),
            Event::Answered { node, handle } => self.answered(node, handle),
            Event::Pong { node, handle, question } => {
                self.with_front(node, handle, |front, _, port| front.ponged(question, port));
            }
            Event::CheckReplies { node, handle, said } => self.check_replies(node, handle, said),
            Event::Reply { uid, epoch, generation } => self.reply(uid, epoch, generation),
            Event::Offer(agent) => self.offer(agent),
            Event::LostNoticed { at, peer } => self.lost_noticed(at, peer),
            Event::Restore(a, b) => self.restore(a, b),
            Event::ReadMap(node) => self.read_map(node),
            Event::Arrives { uid, to } => self.handed_over(uid, to),
            Event::FrontGone(front) => self.front_gone(front),
            Event::Cut | Event::HandOver(_) | Event::Crash | Event::FormerSpeaks => {
                if !self.calm {
                    self.fault(event);
                }
            }
            Event::Calm => self.calms(),
            Event::End => {}
        }
    }

    /// The home that a node would attach to.
    pub(super) fn reachable_home(&self, node: usize, uid: InstanceUid) -> Option<Home> {
        let place = *self.nodes[node].view.get(&uid)?;
        let home = Home { node: self.nodes[place.node].incarnation, epoch: epoch(place) };
        self.nodes[node].reaches[place.node].then_some(home)
    }

    /// Calls an entry of a front's attachment, and carries out what it does.
    pub(super) fn with_front(
        &mut self,
        node: usize,
        handle: Handle,
        call: impl FnOnce(&mut FrontAttachment, &FrontMoment<'_>, &mut FrontEffects),
    ) {
        let it = &mut self.nodes[node];
        let Some(front) = it.fronts.get_mut(&handle) else { return };
        let moment = FrontMoment { now: self.now, policy: &self.front_policy, is_crowded: false };
        let mut effects = FrontEffects { secret: it.secret, done: Vec::new() };
        call(&mut front.attachment, &moment, &mut effects);
        let over = front.attachment.is_over();
        for effect in effects.done {
            self.front_does(node, handle, effect);
        }
        if over && self.nodes[node].fronts.get(&handle).is_some_and(|front| !front.open) {
            self.nodes[node].fronts.remove(&handle);
        }
    }

    fn tick(&mut self) {
        let at = self.now + TICK;
        self.at(at, Event::Tick);
        for node in 0..NODES {
            let now = self.now;
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let fronts = &self.nodes[node].fronts;
            let overdue = fronts.iter().filter(|(_, front)| due(front.attachment.deadline()));
            let overdue: Vec<Handle> = overdue.map(|(handle, _)| *handle).collect();
            for handle in overdue {
                self.with_front(node, handle, |front, moment, port| {
                    front.deadline_passed(moment, port);
                });
            }
            let homes = self.nodes[node].homes.iter();
            let overdue = homes.filter(|(_, entry)| !entry.frozen && due(entry.home.deadline()));
            let overdue: Vec<InstanceUid> = overdue.map(|(uid, _)| *uid).collect();
            for uid in overdue {
                self.with_home(node, uid, |home, moment, port| {
                    home.deadline_passed(moment, port);
                });
            }
            self.ask(node);
            if self.random.percent(5) {
                self.flush_batches(node);
            }
        }
    }

    /// Sends a frame to a node's present life.
    pub(super) fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.trace.mark(bytes.iter().copied());
        self.trace.mark([u64::try_from((self.now - self.start).as_micros()).unwrap()]);
        let Some(link) = self.links.get_mut(&(from, to)) else { return };
        if let Some(at) = link.send(self.now, &mut self.random) {
            let life = link.life;
            self.at(at, Event::Frame { from, to, life, bytes });
        }
    }

    pub(super) fn node_of(
        &self,
        incarnation: seawall::core::ownership::NodeIncarnation,
    ) -> Option<usize> {
        self.nodes.iter().position(|node| node.incarnation == incarnation)
    }

    /// Names to a home all that this front has of an agent, and says that this is all.
    pub(super) fn attach_again(&mut self, node: usize, uid: InstanceUid) {
        let home = self.reachable_home(node, uid);
        let fronts = self.nodes[node].fronts.keys().filter(|handle| handle.uid == uid);
        for handle in fronts.copied().collect::<Vec<_>>() {
            if let Some(front) = self.nodes[node].fronts.get_mut(&handle) {
                front.away = false;
            }
            self.with_front(node, handle, |front, moment, port| match home {
                Some(home) => front.home_reached(home, moment, port),
                None => front.home_lost(port),
            });
        }
        if home.is_some() {
            let mut frame = Vec::new();
            ToHome::AllHere(shard_of(uid)).encode(&mut frame);
            let to = self.nodes[node].view[&uid].node;
            self.send(node, to, frame);
        }
    }

    pub(super) const fn home_policy() -> &'static HomePolicy {
        &HOME_POLICY
    }
}
