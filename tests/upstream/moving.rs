//! Agents whose homes change, in the modes `per-agent` and `http`: what their server sees of it. Two nodes in one
//! process, whose frames to each other a task carries.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall::clock;
use seawall::core::ownership::{
    AbsenceBegan, AbsenceEnd, Epoch, Home, MapVersion, MoveNumber, NodeIncarnation, ShardId,
    shard_of,
};
use seawall::core::placement::link_of;
use seawall::ident::{ConnectionId, InstanceUid};
use seawall::opamp::digest::DigestKey;
use seawall::opamp::proto::AgentToServer;
use seawall::sessions::params::SessionsParams;
use seawall::sessions::{Attachment, InFleet, Outgoing, Sessions, Ways};
use seawall::upstream::Upstream;
use seawall::upstream::params::{Mode, ServerParams, UpstreamParams};
use tokio::task::JoinSet;

use crate::support::gateway::polling;
use crate::support::message::{custom, full_report, health, heartbeat, uid, with_header};
use crate::support::mock::Mock;
use crate::support::mock::state::State;

const AGENTS: u16 = 3;
/// How long the carrier sleeps between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// What lies between the two nodes: frames on their way, and the home of all shards.
#[derive(Default)]
struct Between {
    frames: Mutex<VecDeque<(usize, Vec<u8>)>>,
    /// The node, and the number of its tenure.
    home: Mutex<(usize, u64)>,
}

struct Way {
    me: usize,
    between: Arc<Between>,
}

fn node(place: usize) -> NodeIncarnation {
    NodeIncarnation::new(place as u64 + 1).unwrap()
}

impl Between {
    fn epoch(&self) -> Epoch {
        let (home, number) = *self.home.lock();
        Epoch { number, taker: node(home) }
    }
}

impl Ways for Way {
    fn me(&self) -> NodeIncarnation {
        node(self.me)
    }

    fn home(&self, _: ShardId) -> Option<Home> {
        let epoch = self.between.epoch();
        Some(Home { node: epoch.taker, epoch })
    }

    fn linked(&self) -> Vec<NodeIncarnation> {
        vec![node(1 - self.me)]
    }

    fn members(&self) -> Vec<NodeIncarnation> {
        vec![node(0), node(1)]
    }

    fn version(&self) -> MapVersion {
        MapVersion(self.between.epoch().number)
    }

    fn send(
        &self,
        to: NodeIncarnation,
        _: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut frame = Vec::new();
        write(&mut frame);
        let to = usize::try_from(to.get()).unwrap() - 1;
        self.between.frames.lock().push_back((to, frame));
        true
    }

    fn read_map(&self, _: MapVersion) {}

    fn secret_id(&self) -> u64 {
        1
    }

    fn absence_end(&self, _: AbsenceBegan, _: Duration, _: Instant) -> AbsenceEnd {
        AbsenceEnd::Now
    }
}

/// Two nodes before one server. Agents' connections end at the first one, which is their home as well.
struct World {
    between: Arc<Between>,
    nodes: Vec<Arc<Sessions>>,
    attachments: Vec<Option<Attachment>>,
    numbers: u64,
    _tasks: Vec<JoinSet<()>>,
}

impl World {
    fn start(server: &Mock, mode: Mode) -> Self {
        let between = Arc::<Between>::default();
        let (mut nodes, mut tasks) = (Vec::new(), Vec::new());
        for me in 0..2 {
            let upstream = upstream(server, mode);
            let key = DigestKey::derive(&[1; 32]);
            let sessions =
                Arc::new(Sessions::new(SessionsParams::default(), key, Arc::clone(&upstream) as _));
            sessions.join_fleet(Arc::new(Way { me, between: Arc::clone(&between) }));
            tasks.push(upstream.start(&sessions));
            nodes.push(sessions);
        }
        let weak = nodes.iter().map(Arc::downgrade).collect();
        let mut carrier = JoinSet::new();
        carrier.spawn(carry(Arc::clone(&between), weak));
        tasks.push(carrier);
        let attachments = (0..AGENTS).map(|_| None).collect();
        let world = Self { between, nodes, attachments, numbers: 0, _tasks: tasks };
        let epoch = world.between.epoch();
        ShardId::all().for_each(|shard| {
            world.fleet(0).install(shard, epoch, None);
        });
        world.fleet(0).homes_changed();
        world
    }

    fn fleet(&self, place: usize) -> InFleet<'_> {
        self.nodes[place].in_fleet().unwrap()
    }

    /// Every agent sends a message.
    fn all_say(&mut self, message: impl Fn(&[u8], u64) -> AgentToServer) {
        for n in 0..AGENTS {
            let message = with_header(&message(&uid(n), self.numbers));
            let attachment = &mut self.attachments[usize::from(n)];
            let (connection, mut out) = (ConnectionId(u64::from(n) + 1), Vec::new());
            self.nodes[0].receive(attachment, connection, &message, &mut out).unwrap();
        }
        self.numbers += 1;
    }

    fn all_change(&mut self, to: &str) {
        self.all_say(|uid, number| AgentToServer {
            health: Some(health(to)),
            ..heartbeat(uid, number)
        });
    }

    /// The agents' shards go to the other node. The former home reads the map first.
    async fn hand_over(&self) {
        let (from, number) = *self.between.home.lock();
        let (to, attempt) = (1 - from, MoveNumber(number + 1));
        let shards: Vec<ShardId> = (0..AGENTS).map(|n| shard_of(agent(n))).collect();
        for shard in shards.iter().copied() {
            self.fleet(to).receive(shard, node(from), attempt);
            self.fleet(from).freeze(shard);
            let agents = self.fleet(from).agents_of(shard);
            for uid in &agents {
                self.fleet(from).send_session(*uid, node(to), attempt);
            }
            self.fleet(from).end_sessions(shard, node(to), (attempt, agents.len()));
        }
        let all_here = || shards.iter().all(|shard| self.fleet(to).has_received(*shard, attempt));
        polling(async || all_here().then_some(())).await.expect("the sessions come");
        *self.between.home.lock() = (to, number + 1);
        ShardId::all().for_each(|shard| self.fleet(from).release(shard));
        self.fleet(from).homes_changed();
        // What it says in this time is early.
        tokio::time::sleep(LOOK * 50).await;
        let epoch = self.between.epoch();
        ShardId::all().for_each(|shard| {
            let is_whole = self.fleet(to).install(shard, epoch, Some(attempt));
            assert_eq!(is_whole, shards.contains(&shard));
        });
        self.fleet(to).homes_changed();
    }

    /// What waits for an agent, in bytes.
    fn reads(&self, n: u16) -> Vec<u8> {
        let attachment = self.attachments[usize::from(n)].as_ref().unwrap();
        match attachment.poll_outgoing(&Context::from_waker(Waker::noop()), true) {
            Outgoing::Bytes(bytes) => bytes,
            Outgoing::Nothing { .. } => Vec::new(),
            other => panic!("{other:?}"),
        }
    }
}

fn upstream(server: &Mock, mode: Mode) -> Arc<Upstream> {
    let server = ServerParams {
        name: "a".to_owned(),
        mode,
        ..ServerParams::at(server.url().parse().unwrap())
    };
    let params = UpstreamParams { servers: vec![server], ..UpstreamParams::default() };
    Upstream::new(params).unwrap_or_else(|(_, fault)| panic!("{fault}"))
}

/// Carries frames, and has time pass.
async fn carry(between: Arc<Between>, nodes: Vec<Weak<Sessions>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let nodes: Option<Vec<_>> = nodes.iter().map(Weak::upgrade).collect();
        let Some(nodes) = nodes else { return };
        while let Some((to, frame)) = { between.frames.lock().pop_front() } {
            nodes[to].in_fleet().unwrap().from_node(node(1 - to), &frame).unwrap();
        }
        for sessions in &nodes {
            sessions.sweep(clock::now());
        }
    }
}

fn agent(n: u16) -> InstanceUid {
    InstanceUid::from_wire(&uid(n)).unwrap()
}

fn knows_health(state: &State, text: &str) -> bool {
    (0..AGENTS).all(|n| {
        let known = state.agents.get(&uid(n)).and_then(|known| known.view.health.as_ref());
        known.is_some_and(|known| known.status == text)
    })
}

/// Whether these frames bring what the server had for an agent.
fn brings_custom(frames: &[u8]) -> bool {
    let wanted = custom(&[], 10).custom_message.unwrap().data;
    frames.windows(wanted.len()).any(|part| part == wanted)
}

/// R3, over both homes.
fn assert_no_gaps(state: &State) {
    for n in 0..AGENTS {
        let of_agent = state.received.iter().filter(|(_, report)| report.instance_uid == uid(n));
        let numbers: Vec<u64> = of_agent.map(|(_, report)| report.sequence_num).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
}

/// There and back: each connection is dialled after the server has seen the end of an earlier one.
#[tokio::test]
async fn the_former_home_closes_an_agents_own_link_before_the_present_one_opens_another() {
    let server = Mock::start().await;
    let mut world = World::start(&server, Mode::PerAgent);
    world.all_say(full_report);
    server.wait("the agents", |state| knows_health(state, "started")).await;
    for (round, change) in ["there", "and back"].into_iter().enumerate() {
        world.hand_over().await;
        world.all_change(change);
        server.wait("the change", |state| knows_health(state, change)).await;
        let agents = usize::from(AGENTS);
        let dials = server.with(|state| state.closes_before_dials());
        assert_eq!(dials.len(), agents * (round + 2), "one for each agent and home");
        for (place, closes) in dials.into_iter().enumerate().skip(agents) {
            assert!(closes > place - agents, "dial {place} after {closes} closes");
        }
    }
    server.with(|state| assert_no_gaps(state));
}

/// A request is under way for each agent when its home changes: the answer reaches the agent, and no other request goes
/// before it.
#[tokio::test]
async fn a_server_over_plain_http_sees_nothing_of_a_move() {
    let server = Mock::start_http().await;
    // Each agent has a channel to itself.
    let channels =
        |count: u16| (0..AGENTS).map(|n| link_of(agent(n), count)).collect::<BTreeSet<_>>();
    let connections = (AGENTS..64).find(|count| channels(*count).len() == usize::from(AGENTS));
    let connections = NonZeroU16::new(connections.unwrap()).unwrap();
    let poll_interval = Duration::from_millis(100);
    let mut world = World::start(&server, Mode::Http { connections, poll_interval });
    world.all_say(full_report);
    server.wait("the agents", |state| knows_health(state, "started")).await;
    (0..AGENTS).for_each(|n| drop(world.reads(n)));
    server.behave(|behaviour| behaviour.stalled = true);
    let asked = |state: &State| (0..AGENTS).filter(|n| state.is_served(&uid(*n))).count();
    server.wait("a poll for each", |state| asked(state) == usize::from(AGENTS)).await;
    let begun = server.with(|state| state.heads.len());
    world.hand_over().await;
    // Time enough for polls that should wait.
    tokio::time::sleep(poll_interval * 5).await;
    assert_eq!(server.with(|state| (state.heads.len(), state.overlaps)), (begun, 0));

    (0..AGENTS).for_each(|n| {
        server.with(|state| state.offers.insert(uid(n), custom(&[], 10)));
    });
    server.behave(|behaviour| behaviour.stalled = false);
    let mut heard = vec![Vec::new(); usize::from(AGENTS)];
    let answers = polling(async || {
        // What came while the agent's front had yet to find the present home goes with its next message.
        world.all_say(heartbeat);
        (0..AGENTS).zip(&mut heard).for_each(|(n, bytes)| bytes.extend(world.reads(n)));
        heard.iter().all(|bytes| brings_custom(bytes)).then_some(())
    });
    answers.await.expect("the answers go on to the agents");
    world.all_change("at the other node");
    server.wait("the change", |state| knows_health(state, "at the other node")).await;
    server.with(|state| {
        assert_eq!(state.overlaps, 0, "one request of an agent at a time");
        assert_no_gaps(state);
        assert!((0..AGENTS).all(|n| state.full_reports(&uid(n)) == 1), "once, at first");
    });
}
