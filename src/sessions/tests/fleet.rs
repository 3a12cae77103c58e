//! Several nodes in one process: real fronts and homes, links that are a queue of frames, a map that the test keeps,
//! and one server that knows its agents by their uids.

mod drain;
mod lost_answers;
mod shared;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::ways::node;
use super::*;
use crate::core::ownership::{
    AbsenceBegan, AbsenceEnd, Epoch, Home, MapVersion, MoveNumber, NodeIncarnation, ShardId,
    shard_of,
};
use crate::core::session::FullState;

const NODES: usize = 3;

/// What lies between the nodes.
#[derive(Default)]
struct Net {
    frames: Mutex<VecDeque<(usize, usize, Vec<u8>)>>,
    homes: Mutex<BTreeMap<ShardId, Home>>,
    /// Pairs of nodes without a link, the lower one first.
    cut: Mutex<BTreeSet<(usize, usize)>>,
}

impl Net {
    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.lock().contains(&(one.min(other), one.max(other)))
    }
}

/// The place of a node in the bench.
fn place(incarnation: NodeIncarnation) -> usize {
    usize::try_from(incarnation.get()).unwrap() - 1
}

fn incarnation(place: usize) -> NodeIncarnation {
    node(place as u64 + 1)
}

struct NetWays {
    me: usize,
    net: Arc<Net>,
}

impl Ways for NetWays {
    fn me(&self) -> NodeIncarnation {
        incarnation(self.me)
    }

    fn home(&self, shard: ShardId) -> Option<Home> {
        let home = self.net.homes.lock().get(&shard).copied();
        home.filter(|home| !self.net.is_cut(self.me, place(home.node)))
    }

    fn members(&self) -> Vec<NodeIncarnation> {
        (0..NODES).map(incarnation).collect()
    }

    fn linked(&self) -> Vec<NodeIncarnation> {
        let others = (0..NODES).filter(|other| *other != self.me);
        others.filter(|other| !self.net.is_cut(self.me, *other)).map(incarnation).collect()
    }

    fn version(&self) -> MapVersion {
        MapVersion(1)
    }

    fn send(
        &self,
        to: NodeIncarnation,
        _: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        if self.net.is_cut(self.me, place(to)) {
            return false;
        }
        let mut frame = Vec::new();
        write(&mut frame);
        self.net.frames.lock().push_back((self.me, place(to), frame));
        true
    }

    fn read_map(&self, _: MapVersion) {}

    fn secret_id(&self) -> u64 {
        1
    }

    fn absence_end(&self, began: AbsenceBegan, grace: Duration, now: Instant) -> AbsenceEnd {
        let end = began.at + grace;
        if end <= now { AbsenceEnd::Now } else { AbsenceEnd::At(end) }
    }
}

/// What the server believes of an agent.
#[derive(Debug, Default, Clone, PartialEq)]
struct BelievedAgent {
    described: bool,
    health: Option<u64>,
    /// All that it has heard of its health, in order.
    healths: Vec<u64>,
    /// Full states that it has got.
    full_states: usize,
}

struct NodesBench {
    nodes: Vec<Bench>,
    net: Arc<Net>,
    known: BTreeMap<u8, BelievedAgent>,
    now: Instant,
    attempts: u64,
    epochs: u64,
}

impl NodesBench {
    /// Shards are shared out in turn.
    fn new() -> Self {
        let net = Arc::<Net>::default();
        let nodes: Vec<Bench> = (0..NODES).map(|_| Bench::default()).collect();
        for (me, bench) in nodes.iter().enumerate() {
            let spoke = ServerHello { capabilities: Some(1), custom_capabilities: None };
            bench.uplink.state.lock().server_hello = Arc::new(spoke);
            bench.sessions.join_fleet(Arc::new(NetWays { me, net: Arc::clone(&net) }));
        }
        let (known, now) = (BTreeMap::new(), clock::now());
        let mut it = Self { nodes, net, known, now, attempts: 0, epochs: 1 };
        for shard in ShardId::all() {
            it.gives(shard, usize::from(shard.get()) % NODES, None);
        }
        it.map_changed();
        it
    }

    fn fleet(&self, place: usize) -> InFleet<'_> {
        self.nodes[place].sessions.in_fleet().unwrap()
    }

    fn home(&self, n: u8) -> usize {
        place(self.net.homes.lock()[&shard_of(uid(n))].node)
    }

    /// The map gives a shard to a node.
    fn gives(&mut self, shard: ShardId, to: usize, handed_by: Option<MoveNumber>) {
        self.epochs += 1;
        let epoch = Epoch { number: self.epochs, taker: incarnation(to) };
        self.net.homes.lock().insert(shard, Home { node: incarnation(to), epoch });
        assert_eq!(self.fleet(to).install(shard, epoch, handed_by), handed_by.is_some());
    }

    fn map_changed(&self) {
        (0..NODES).for_each(|place| self.fleet(place).homes_changed());
    }

    /// All that is under way arrives, and what follows from it.
    fn pump(&mut self) {
        for _ in 0..1_000 {
            while let Some((from, to, frame)) = { self.net.frames.lock().pop_front() } {
                if !self.net.is_cut(from, to) {
                    self.fleet(to).from_node(incarnation(from), &frame).unwrap();
                }
            }
            let mut is_quiet = true;
            for place in 0..NODES {
                self.nodes[place].permits();
                for (uid, message) in self.nodes[place].sent() {
                    is_quiet = false;
                    self.server_hears(place, uid.as_bytes()[0], &message);
                }
            }
            if is_quiet && self.net.frames.lock().is_empty() {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    fn server_hears(&mut self, at: usize, n: u8, message: &AgentToServer) {
        if message.agent_disconnect.is_some() {
            self.known.remove(&n);
        } else {
            let known = self.known.entry(n).or_default();
            let is_full = message.agent_description.is_some() && message.health.is_some();
            known.full_states += usize::from(is_full);
            known.described |= message.agent_description.is_some();
            if let Some(health) = &message.health {
                known.health = Some(health.start_time_unix_nano);
                known.healths.push(health.start_time_unix_nano);
            }
        }
        let flags = u64::from(self.known.get(&n).is_some_and(|known| !known.described));
        self.nodes[at].says(n, &ServerToAgent { flags, ..ServerToAgent::default() });
    }

    /// Time passes, in steps of a sweep.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now += Duration::from_millis(250);
            for place in 0..NODES {
                while self.nodes[place].sessions.sweep(self.now) {}
            }
            self.pump();
        }
    }

    /// A shard's home hands it over. `false`: the attempt is given up.
    fn hand_over(&mut self, shard: ShardId, to: usize, succeeds: bool) {
        let from = place(self.net.homes.lock()[&shard].node);
        if from == to || self.net.is_cut(from, to) {
            return;
        }
        self.attempts += 1;
        let attempt = MoveNumber(self.attempts);
        self.fleet(to).receive(shard, incarnation(from), attempt);
        self.fleet(from).freeze(shard);
        let agents = self.fleet(from).agents_of(shard);
        for uid in &agents {
            self.fleet(from).send_session(*uid, incarnation(to), attempt);
        }
        self.fleet(from).end_sessions(shard, incarnation(to), (attempt, agents.len()));
        self.pump();
        assert!(self.fleet(to).has_received(shard, attempt));
        if succeeds {
            self.gives(shard, to, Some(attempt));
            self.fleet(from).release(shard);
            self.map_changed();
        } else {
            self.fleet(from).unfreeze(shard);
            self.fleet(to).discard(shard);
        }
    }

    fn cut(&mut self, one: usize, other: usize) {
        if one != other && self.net.cut.lock().insert((one.min(other), one.max(other))) {
            self.net.frames.lock().retain(|(from, to, _)| {
                (*from.min(to), *from.max(to)) != (one.min(other), one.max(other))
            });
            self.fleet(one).node_lost(incarnation(other));
            self.fleet(other).node_lost(incarnation(one));
            self.map_changed();
        }
    }

    fn heal(&mut self) {
        let cut = std::mem::take(&mut *self.net.cut.lock());
        for (one, other) in cut {
            self.fleet(one).node_reached(incarnation(other));
            self.fleet(other).node_reached(incarnation(one));
        }
        self.map_changed();
    }

    /// How many full states the server has got.
    fn full_states(&self) -> usize {
        self.known.values().map(|known| known.full_states).sum()
    }
}

/// An agent, wherever it is connected.
struct Roaming {
    n: u8,
    number: u64,
    health: u64,
    connections: u64,
    attachment: Option<Attachment>,
    /// Messages sent, and replies had, on this connection.
    sent: usize,
    heard: usize,
    /// The custom messages that it has read.
    words: Vec<u8>,
}

impl Roaming {
    fn new(n: u8) -> Self {
        let (number, health, connections) = (0, 1, u64::from(n) << 32);
        let (sent, heard, words) = (0, 0, Vec::new());
        Self { n, number, health, connections, attachment: None, sent, heard, words }
    }

    fn health_report(&self) -> AgentToServer {
        let start_time_unix_nano = self.health;
        let health = ComponentHealth { start_time_unix_nano, ..ComponentHealth::default() };
        AgentToServer { health: Some(health), capabilities: 0x0801, ..AgentToServer::default() }
    }

    fn full(&self) -> AgentToServer {
        let agent_description = Some(AgentDescription::default());
        AgentToServer { agent_description, ..self.health_report() }
    }

    fn says(&mut self, fleet: &NodesBench, at: usize, message: AgentToServer) {
        let instance_uid = vec![self.n; 16];
        let message = AgentToServer { instance_uid, sequence_num: self.number, ..message };
        self.number += 1;
        self.sent += 1;
        let (mut out, connection) = (Vec::new(), ConnectionId(self.connections));
        let sessions = &fleet.nodes[at].sessions;
        let bytes = message.encode_to_vec();
        sessions.receive(&mut self.attachment, connection, &bytes, &mut out).unwrap();
        self.heard += unframe(out).0.len();
    }

    /// Another connection, at this node, with the full state as its first message.
    fn connects(&mut self, fleet: &NodesBench, at: usize) {
        self.attachment = None;
        self.connections += 1;
        (self.sent, self.heard) = (0, 0);
        self.says(fleet, at, self.full());
    }

    /// A request to this node, and its answer.
    fn posts(
        &mut self,
        fleet: &mut NodesBench,
        at: usize,
        message: AgentToServer,
    ) -> ServerToAgent {
        let instance_uid = vec![self.n; 16];
        let message = AgentToServer { instance_uid, sequence_num: self.number, ..message };
        self.number += 1;
        let request = fleet.nodes[at].sessions.receive_http(&message.encode_to_vec()).unwrap();
        fleet.pump();
        let context = Context::from_waker(Waker::noop());
        let Poll::Ready(answer) = request.poll_answer(&context, true) else { panic!("no answer") };
        drop(request);
        fleet.pump();
        ServerToAgent::decode(&answer.message[..]).unwrap()
    }

    /// Reads what waits, and does what it is asked for.
    fn reads(&mut self, fleet: &NodesBench, at: usize) {
        loop {
            let Some(attachment) = &self.attachment else { return };
            let Outgoing::Bytes(bytes) =
                attachment.poll_outgoing(&Context::from_waker(Waker::noop()), true)
            else {
                return;
            };
            let (heard, pings) = unframe(bytes);
            pings.iter().for_each(|ping| attachment.ponged(ping));
            self.heard += heard.len();
            let customs = heard.iter().filter_map(|message| message.custom_message.as_ref());
            self.words.extend(customs.flat_map(|custom| custom.data.clone()));
            if heard.iter().any(|message| message.flags & 1 != 0) {
                self.says(fleet, at, self.full());
            }
        }
    }
}

/// Agents and where they are.
struct RoamingWorld {
    fleet: NodesBench,
    agents: Vec<(Roaming, usize)>,
}

impl RoamingWorld {
    fn new(agents: u8) -> Self {
        let fleet = NodesBench::new();
        let agents = (1..=agents).map(|n| (Roaming::new(n), usize::from(n) % NODES)).collect();
        let mut world = Self { fleet, agents };
        for agent in 0..world.agents.len() {
            world.connects(agent, world.agents[agent].1);
        }
        world.settle(2);
        world
    }

    fn connects(&mut self, agent: usize, at: usize) {
        let (roaming, place) = &mut self.agents[agent];
        *place = at;
        roaming.connects(&self.fleet, at);
    }

    fn says(&mut self, agent: usize, message: impl FnOnce(&Roaming) -> AgentToServer) {
        let (roaming, at) = &mut self.agents[agent];
        let message = message(roaming);
        roaming.says(&self.fleet, *at, message);
    }

    fn read(&mut self) {
        self.fleet.pump();
        for (agent, at) in &mut self.agents {
            agent.reads(&self.fleet, *at);
        }
        self.fleet.pump();
    }

    fn settle(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.read();
            self.fleet.wait(1);
            self.read();
        }
    }

    /// Every agent is known as it is, by one home alone.
    fn assert_true(&self, seed: u64) {
        for (agent, _) in &self.agents {
            let (n, home) = (agent.n, self.fleet.home(agent.n));
            let known = &self.fleet.known[&n];
            let believed = (known.described, known.health);
            assert_eq!(believed, (true, Some(agent.health)), "agent {n}, seed {seed}");
            for place in 0..NODES {
                let info = self.fleet.nodes[place].sessions.info(uid(n));
                assert_eq!(info.is_some(), place == home, "agent {n} at node {place}");
                if let Some(info) = info {
                    assert_eq!(info.full_state, FullState::Reported, "agent {n}");
                    assert!(matches!(info.presence, Presence::Connected { .. }), "{info:?}");
                }
            }
        }
    }
}

/// O3: a storm that scatters agents over other nodes costs their server nothing.
#[test]
fn agents_that_come_back_at_other_nodes_cost_their_server_nothing() {
    let mut world = RoamingWorld::new(60);
    world.assert_true(0);
    let before = world.fleet.full_states();
    assert_eq!(before, 60);
    for agent in 0..60 {
        let at = (world.agents[agent].1 + 1 + agent % 2) % NODES;
        world.connects(agent, at);
        // The server would hear of it here.
        world.fleet.pump();
    }
    world.settle(5);
    world.assert_true(0);
    assert_eq!(world.fleet.full_states(), before);
    let replied = world.agents.iter().all(|(agent, _)| agent.heard >= agent.sent);
    assert!(replied, "R5");
}

/// O5: planned moves cost a server that knows agents by uid nothing, however many they are, and lose nothing that is
/// said meanwhile.
#[test]
fn shards_move_while_their_agents_talk() {
    let mut world = RoamingWorld::new(40);
    let before = world.fleet.full_states();
    let moves = |world: &mut RoamingWorld, round: usize| {
        for agent in 0..40 {
            world.agents[agent].0.health += 1;
            world.says(agent, Roaming::health_report);
            let n = world.agents[agent].0.n;
            world.fleet.hand_over(shard_of(uid(n)), (agent + round) % NODES, true);
            world.agents[agent].0.health += 1;
            world.says(agent, Roaming::health_report);
        }
        world.settle(43);
        world.assert_true(0);
    };
    for round in 0..4 {
        moves(&mut world, round);
        assert_eq!(world.fleet.full_states(), before, "round {round}");
    }
}

/// O5: a home that dies costs an announcement and at most one full state for each of its agents; none is closed.
#[test]
fn shards_of_a_dead_home_are_taken_over() {
    let mut world = RoamingWorld::new(30);
    let before = world.fleet.full_states();
    let dead = 0;
    let its: Vec<usize> =
        (0..30).filter(|agent| world.fleet.home(world.agents[*agent].0.n) == dead).collect();
    // Its own agents come back elsewhere.
    for agent in 0..30 {
        if world.agents[agent].1 == dead {
            world.connects(agent, 1);
        }
    }
    world.settle(2);
    for other in 1..NODES {
        world.fleet.cut(dead, other);
    }
    for shard in ShardId::all() {
        let home = world.fleet.net.homes.lock()[&shard];
        if place(home.node) == dead {
            world.fleet.fleet(dead).release(shard);
            world.fleet.gives(shard, 1 + usize::from(shard.get()) % 2, None);
        }
    }
    (1..NODES).for_each(|place| world.fleet.fleet(place).node_gone(incarnation(dead)));
    world.fleet.map_changed();
    // Longer than a state that may be on its way waits to be told once more.
    world.settle(40);
    world.assert_true(0);
    let more = world.fleet.full_states() - before;
    assert!(more <= its.len(), "{more} full states for {} agents", its.len());
}

/// R6: the front has answered in the home's place, and the agent has gone on over another front since.
#[test]
fn what_was_answered_while_the_home_was_away_overtakes_nothing() {
    const ASKED: u64 = 1;
    let mut fleet = NodesBench::new();
    let (away, home, other) = (0, 1, 2);
    let n = (1..=u8::MAX).find(|n| fleet.home(*n) == home).unwrap();
    let mut agent = Roaming::new(n);
    let full = agent.full();
    agent.posts(&mut fleet, other, full);
    fleet.cut(away, home);
    let mut says = |fleet: &mut NodesBench, at, health| {
        agent.health = health;
        let message = agent.health_report();
        agent.posts(fleet, at, message).flags & ASKED
    };
    assert_eq!(says(&mut fleet, away, 2), 0);
    assert_eq!(says(&mut fleet, away, 3), 0);
    says(&mut fleet, other, 4);
    fleet.heal();
    fleet.wait(3);
    assert_eq!(fleet.known[&n].healths, [1, 4], "what waited is old");
    assert_eq!(says(&mut fleet, other, 5), ASKED, "and a gap");
    let full = agent.full();
    agent.posts(&mut fleet, other, full);
    assert_eq!(fleet.known[&n].health, Some(5));
}

/// The same where the agent goes on over the front that has answered: what waits is brought first, and nothing is lost.
#[test]
fn what_was_answered_while_the_home_was_away_goes_first() {
    let mut fleet = NodesBench::new();
    let (away, home) = (0, 1);
    let n = (1..=u8::MAX).find(|n| fleet.home(*n) == home).unwrap();
    let mut agent = Roaming::new(n);
    let full = agent.full();
    agent.posts(&mut fleet, away, full);
    fleet.cut(away, home);
    for health in 2..=4 {
        agent.health = health;
        let message = agent.health_report();
        assert_eq!(agent.posts(&mut fleet, away, message).flags, 0);
    }
    // No round has told the connections that are over when the agent speaks again.
    std::mem::take(&mut *fleet.net.cut.lock());
    fleet.fleet(away).node_reached(incarnation(home));
    fleet.fleet(home).node_reached(incarnation(away));
    agent.health = 5;
    let message = agent.health_report();
    assert_eq!(agent.posts(&mut fleet, away, message).flags, 0, "it is not asked");
    assert_eq!(fleet.known[&n].healths, [1, 2, 3, 4, 5]);
}

/// Everything that can happen, in any order; then, once it has stopped happening, all is known as it is.
#[test]
fn in_the_end_the_server_knows_every_agent_as_it_is() {
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = RoamingWorld::new(6);
        for _ in 0..80 {
            let (agent, at) = (random.random_range(0..6), random.random_range(0..NODES));
            let shard = shard_of(uid(world.agents[agent].0.n));
            match random.random_range(0..12) {
                0..3 => {
                    world.agents[agent].0.health += 1;
                    world.says(agent, Roaming::health_report);
                }
                3 => world.says(agent, |_| heartbeat_of_agent()),
                4..6 => world.connects(agent, at),
                6 => {
                    world.agents[agent].0.number = 0;
                    world.connects(agent, at);
                }
                7 => world.fleet.hand_over(shard, at, true),
                8 => world.fleet.hand_over(shard, at, false),
                9 => world.fleet.cut(at, (at + 1) % NODES),
                10 => world.fleet.heal(),
                _ => world.fleet.wait(1),
            }
            if random.random_bool(0.5) {
                world.read();
            }
        }
        world.fleet.heal();
        for _ in 0..8 {
            world.settle(5);
            (0..6).for_each(|agent| world.says(agent, |_| heartbeat_of_agent()));
        }
        world.settle(40);
        world.assert_true(seed);
    }
}

fn heartbeat_of_agent() -> AgentToServer {
    AgentToServer { capabilities: 0x0801, ..AgentToServer::default() }
}
