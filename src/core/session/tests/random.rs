//! Everything that can happen, in any order: then, once it has stopped happening, what the server
//! believes about the agent is the truth.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::harness::Gateway;
use super::message::Status;
use super::peers::{AgentPeer, ServerPeer};
use crate::core::ownership::NodeIncarnation;
use crate::core::server::Keying;
use crate::core::session::{Move, Peer, Route};
use crate::opamp::agent::AgentScan;

#[derive(Debug, Clone)]
enum Event {
    Change(Status),
    Custom,
    Heartbeat,
    /// As many heartbeats, which the agent's front answers.
    HeartbeatsAnswered(u64),
    /// The front says that it has lost something, whether it has or not.
    Missed,
    Wait(Duration),
    /// The agent reads some of what waits for it.
    AgentReads(usize),
    /// It does, and its connection is lost before anything of that is known here.
    AgentReadsAndIsLost(usize),
    /// The agent's connection is lost, and with it what the agent has just said.
    ConnectionLost(Status),
    Connects,
    AgentRestarts,
    AgentLeaves,
    ServerReads(usize),
    ServerPushes,
    /// The gateway reads some of what the server said.
    RepliesArrive(usize),
    LinkDown,
    LinkUp,
    Room(usize),
    /// Whether the server has time for what comes.
    HasTime(bool),
    Evicted(u32),
    ServerRestarts,
    Overloaded(bool),
    Permits,
    GatewayRestarts,
    /// The session's shard goes to another node, which takes its link's numbers from where the test is.
    Moves(Keying),
    /// What is under way on a former home's link arrives, and its answers are passed on.
    FormerLinkReads(usize),
    /// The link of the oldest former home ends.
    FormerLinkEnds,
}

fn event() -> impl Strategy<Value = Event> {
    let few = 0_usize..4;
    let changed = proptest::option::of(0_u32..100);
    let change =
        (changed.clone(), changed.clone(), changed).prop_map(|(description, health, config)| {
            Status { description, health, config, remote: None }
        });
    prop_oneof![
        4 => change.clone().prop_map(Event::Change),
        2 => Just(Event::Custom),
        2 => Just(Event::Heartbeat),
        2 => (1_u64..4).prop_map(Event::HeartbeatsAnswered),
        1 => Just(Event::Missed),
        2 => (0_u64..50_000).prop_map(|ms| Event::Wait(Duration::from_millis(ms))),
        2 => (0_u64..100).prop_map(|ms| Event::Wait(Duration::from_millis(ms))),
        6 => few.clone().prop_map(Event::AgentReads),
        2 => few.clone().prop_map(Event::AgentReadsAndIsLost),
        3 => change.prop_map(Event::ConnectionLost),
        4 => Just(Event::Connects),
        1 => Just(Event::AgentRestarts),
        1 => Just(Event::AgentLeaves),
        6 => few.clone().prop_map(Event::ServerReads),
        1 => Just(Event::ServerPushes),
        6 => few.clone().prop_map(Event::RepliesArrive),
        2 => Just(Event::LinkDown),
        3 => Just(Event::LinkUp),
        1 => few.prop_map(Event::Room),
        2 => any::<bool>().prop_map(Event::HasTime),
        1 => (3_u32..8).prop_map(Event::Evicted),
        1 => Just(Event::ServerRestarts),
        3 => any::<bool>().prop_map(Event::Overloaded),
        4 => Just(Event::Permits),
        1 => Just(Event::GatewayRestarts),
    ]
}

/// The same where the session moves from node to node. One-shots are left out: of two links each keeps its own order.
fn event_of_moves() -> impl Strategy<Value = Event> {
    let keying = prop::sample::select(vec![Keying::Uid, Keying::Uid, Keying::Link]);
    prop_oneof![
        20 => event().prop_filter("order", |event| {
            !matches!(event, Event::Custom | Event::ServerRestarts | Event::GatewayRestarts)
        }),
        2 => keying.prop_map(Event::Moves),
        2 => (0_usize..4).prop_map(Event::FormerLinkReads),
        1 => Just(Event::FormerLinkEnds),
    ]
}

/// A link of a former home, which goes on after the session has gone.
struct FormerLink {
    home: Peer,
    to_server: VecDeque<(Route, Vec<u8>)>,
    said: VecDeque<(Route, Vec<u8>)>,
}

struct World {
    gateway: Gateway,
    /// Oldest first.
    former: VecDeque<FormerLink>,
    /// The server forgets the agent with any link on which it has heard of it.
    forgets_with_link: bool,
    moves: u64,
    agent: AgentPeer,
    server: ServerPeer,
    /// On the way from the server to the gateway.
    said: VecDeque<(Route, Vec<u8>)>,
    /// The agent has said that it leaves.
    leaving: bool,
    /// The server may not learn that the agent left: the gateway has restarted and the agent has
    /// not spoken since, or the link took the message with it.
    forgotten: bool,
}

impl World {
    fn new(full_on_reconnect: bool, server: ServerPeer) -> Self {
        let gateway = Gateway::new(crate::clock::now());
        let agent = AgentPeer::new(full_on_reconnect);
        Self {
            gateway,
            former: VecDeque::new(),
            forgets_with_link: false,
            moves: 0,
            agent,
            server,
            said: VecDeque::new(),
            leaving: false,
            forgotten: false,
        }
    }

    fn happen(&mut self, event: Event) {
        let lives = !self.leaving;
        match event {
            Event::Change(with) if lives => self.agent.change(with),
            Event::Custom if lives => self.agent.custom(),
            Event::Heartbeat if lives => self.agent.heartbeat(),
            Event::HeartbeatsAnswered(count) if lives => {
                if let Some(last) = self.agent.heartbeats_answered(count) {
                    self.gateway.front_answered(last);
                }
            }
            Event::Missed => self.gateway.front_missed(),
            Event::AgentLeaves if self.agent.connection.is_some() && lives => {
                self.agent.leave();
                self.leaving = true;
            }
            Event::Change(_)
            | Event::Custom
            | Event::Heartbeat
            | Event::HeartbeatsAnswered(_)
            | Event::AgentLeaves => {}
            Event::Wait(time) => {
                // What the agent gets at all it gets soon.
                if time > Duration::from_secs(1) {
                    self.agent_reads(100);
                }
                self.gateway.wait(time);
            }
            Event::AgentReads(count) => self.agent_reads(count),
            Event::AgentReadsAndIsLost(count) => self.agent_reads_and_is_lost(count),
            Event::ConnectionLost(with) => {
                lives.then(|| self.agent.change(with));
                self.connection_lost();
            }
            Event::Connects => self.connect(),
            Event::AgentRestarts => {
                self.connection_lost();
                self.agent.restart();
            }
            Event::ServerReads(count) => self.server_reads(count),
            Event::ServerPushes => {
                self.server.desired += 1;
                // On a link it has heard the agent on. From a server that does not count, a push
                // would pass for the answer to a message that is lost, and look like one.
                if let Some((route, _)) = self.said.back().cloned()
                    && self.server.counts
                {
                    self.said.push_back((route, self.server.offer()));
                }
            }
            Event::RepliesArrive(count) => self.replies_arrive(count),
            Event::LinkDown => self.link_down(),
            Event::LinkUp => self.gateway.link_up(),
            Event::Room(room) => self.gateway.link.room = room,
            Event::HasTime(has_time) => self.gateway.has_time = has_time,
            Event::Evicted(number) => self.gateway.evict(number),
            Event::ServerRestarts => {
                self.link_down();
                self.server.restart();
            }
            Event::Overloaded(is_overloaded) => self.server.is_overloaded = is_overloaded,
            Event::Permits => self.gateway.permits(),
            Event::GatewayRestarts => {
                self.link_down();
                self.connection_lost();
                self.gateway.restart();
                self.forgotten = true;
            }
            Event::Moves(keying) => self.move_to_another_node(keying),
            Event::FormerLinkReads(count) => self.former_links_read(count),
            Event::FormerLinkEnds => self.former_link_ends(),
        }
        self.deliver();
    }

    /// What is on its way to the server stays on its way, and so do its answers.
    fn move_to_another_node(&mut self, keying: Keying) {
        if self.gateway.session.is_none() {
            return;
        }
        self.moves += 1;
        let home = Peer::of(NodeIncarnation::new(self.moves).unwrap());
        let of_home = |(route, bytes): (Route, Vec<u8>)| {
            (Route::of_peer(home, route.link, route.incarnation), bytes)
        };
        let to_server = self.gateway.effects.to_server.drain(..).map(of_home).collect();
        let said = self.said.drain(..).map(of_home).collect();
        self.former.push_back(FormerLink { home, to_server, said });
        if let Some((route, number)) = self.server.counted
            && route.peer().is_none()
        {
            self.server.counted = Some((of_home((route, Vec::new())).0, number));
        }
        self.gateway.moves(Move { from: home, is_linked: true, keying });
    }

    fn former_links_read(&mut self, count: usize) {
        for link in 0..self.former.len() {
            for _ in 0..count {
                if let Some((route, bytes)) = self.former[link].to_server.pop_front() {
                    let answer = self.server.receive(route, &bytes);
                    self.former[link].said.push_back((route, answer));
                }
                if let Some((route, bytes)) = self.former[link].said.pop_front() {
                    self.gateway.server_says(route, &bytes);
                }
            }
        }
    }

    fn former_link_ends(&mut self) {
        let Some(link) = self.former.pop_front() else { return };
        self.server.link_lost();
        if self.forgets_with_link {
            self.server.restart();
        }
        self.gateway.former_link_ended(link.home);
    }

    fn connect(&mut self) {
        if std::mem::take(&mut self.leaving) {
            // Its process ended; this is another.
            self.connection_lost();
            self.agent.restart();
        }
        self.agent.connect();
    }

    /// What the agent has written arrives.
    fn deliver(&mut self) {
        while let (Some(connection), Some(bytes)) =
            (self.agent.connection, self.agent.out.pop_front())
        {
            self.gateway.agent_says(connection, &bytes);
            self.forgotten = false;
        }
    }

    fn agent_reads_and_is_lost(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.gateway.effects.to_agent.pop_front() else { break };
            if self.leaving {
                self.agent.replied += u32::from(message.is_reply);
            } else {
                self.agent.receive(message.is_reply, &message.bytes);
            }
        }
        self.connection_lost();
    }

    fn agent_reads(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.gateway.effects.to_agent.pop_front() else { return };
            assert_eq!(Some(message.connection), self.agent.connection);
            if self.leaving {
                self.agent.replied += u32::from(message.is_reply);
                assert!(self.agent.replied <= self.agent.sent, "R5: a reply too many");
            } else {
                self.agent.receive(message.is_reply, &message.bytes);
                self.deliver();
            }
            if let Some(ping) = message.ping {
                self.gateway.ponged(ping);
            }
        }
    }

    fn connection_lost(&mut self) {
        if let Some(connection) = self.agent.connection {
            self.gateway.lost(connection);
        }
        self.agent.disconnected();
    }

    fn server_reads(&mut self, count: usize) {
        for _ in 0..count {
            let Some((route, bytes)) = self.gateway.effects.to_server.pop_front() else { return };
            self.said.push_back((route, self.server.receive(route, &bytes)));
        }
    }

    fn replies_arrive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((route, bytes)) = self.said.pop_front() else { return };
            self.gateway.server_says(route, &bytes);
        }
    }

    fn link_down(&mut self) {
        let mut lost = self.gateway.effects.to_server.iter();
        self.forgotten |= lost.any(|(_, bytes)| AgentScan::parse(bytes).unwrap().disconnects());
        self.gateway.link_down();
        self.said.clear();
        self.server.link_lost();
    }

    /// The same events with and without a restored session; both see one clock.
    fn same_with_records(full: bool, server: fn() -> ServerPeer, events: &[Event]) {
        let start = crate::clock::now();
        let logs = [false, true].map(|restores| {
            let mut world = World::new(full, server());
            world.gateway.now = start;
            world.gateway.restores = restores;
            events.iter().for_each(|event| world.happen(event.clone()));
            world.quiesce();
            world.gateway.log
        });
        assert_eq!(logs[0], logs[1]);
    }

    /// Everything works from now on, for longer than any patience lasts.
    fn quiesce(&mut self) {
        self.former_links_read(200);
        self.gateway.link.room = usize::MAX;
        self.gateway.has_time = true;
        self.server.is_overloaded = false;
        self.gateway.link_up();
        for second in 0..200 {
            for _ in 0..6 {
                self.gateway.permits();
                self.server_reads(100);
                self.replies_arrive(100);
                self.agent_reads(100);
            }
            self.gateway.wait(Duration::from_secs(1));
            if second % 10 == 0 && !self.leaving {
                self.agent.heartbeat();
                self.deliver();
            }
        }
        self.gateway.permits();
        self.server_reads(100);
        self.replies_arrive(100);
        self.agent_reads(100);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_server_learns_the_truth_of_an_agent_whose_home_moves(
        full_on_reconnect: bool,
        counts: bool,
        forgets_with_link: bool,
        links_end: bool,
        events in proptest::collection::vec(event_of_moves(), 1..120),
    ) {
        let server = ServerPeer { counts, ..ServerPeer::default() };
        let mut world = World::new(full_on_reconnect, server);
        world.forgets_with_link = forgets_with_link;
        for event in events {
            world.happen(event);
        }
        world.connect();
        world.deliver();
        world.quiesce();
        while links_end && !world.former.is_empty() {
            world.former_link_ends();
        }
        world.quiesce();
        prop_assert_eq!(world.server.status(), Some(world.agent.status));
        prop_assert_eq!(world.agent.replied, world.agent.sent, "R5");
    }

    #[test]
    fn the_server_learns_the_truth(
        full_on_reconnect: bool,
        always_asks: bool,
        counts: bool,
        stays: bool,
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let server = ServerPeer { always_asks, counts, ..ServerPeer::default() };
        let mut world = World::new(full_on_reconnect, server);
        for event in events {
            world.happen(event);
        }
        if stays {
            world.connect();
            world.deliver();
            world.quiesce();
            prop_assert_eq!(world.server.status(), Some(world.agent.status));
            prop_assert_eq!(world.agent.status.remote, Some(world.server.desired), "R7");
            prop_assert_eq!(world.agent.replied, world.agent.sent, "R5");
        } else {
            world.connection_lost();
            world.quiesce();
            if !world.forgotten {
                prop_assert_eq!(world.server.status(), None, "R8: the server is told");
            }
            prop_assert!(world.gateway.session.is_none());
        }
    }

    /// A session that is replaced by one made from its record, after each event, behaves the same.
    #[test]
    fn a_restored_session_behaves_the_same(
        full_on_reconnect: bool,
        events in proptest::collection::vec(event(), 1..120),
    ) {
        World::same_with_records(full_on_reconnect, ServerPeer::default, &events);
    }
}
