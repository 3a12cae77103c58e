//! Everything that can happen, in any order: then, once it has stopped happening, what the server
//! believes about the agent is the truth.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;

use super::harness::{Gateway, route};
use super::message::Status;
use super::peers::{AgentPeer, ServerPeer};
use super::test_nodes::{NODES, TestNodes};
use crate::core::server::Keying;
use crate::core::session::{FormerLinksEnded, LateReply, Move, Peer, Route, Wire};
use crate::ident::Incarnation;
use crate::opamp::agent::AgentScan;
use crate::opamp::proto::AgentToServer;

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
    /// The session's shard goes to this node.
    Moves(Keying, usize),
    /// What is under way on the links of other nodes arrives, and its answers are passed on.
    OtherLinksRead(usize),
    /// A node's link ends, and is up again at once.
    LinkEndsAt(usize),
    /// A node that is not the session's home dies, and another life of it begins.
    NodeDies(usize),
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
    let node = 0..NODES;
    prop_oneof![
        20 => event().prop_filter("order", |event| {
            !matches!(event, Event::Custom | Event::ServerRestarts | Event::GatewayRestarts)
        }),
        3 => (keying, node.clone()).prop_map(|(keying, node)| Event::Moves(keying, node)),
        2 => (0_usize..4).prop_map(Event::OtherLinksRead),
        1 => node.clone().prop_map(Event::LinkEndsAt),
        1 => node.prop_map(Event::NodeDies),
    ]
}

pub(super) struct World {
    /// The node where the session is.
    pub(super) gateway: Gateway,
    pub(super) nodes: TestNodes,
    /// The server forgets the agent with any link on which it has heard of it.
    forgets_with_link: bool,
    pub(super) agent: AgentPeer,
    server: ServerPeer,
    /// What the server has heard.
    pub(super) received: Vec<AgentToServer>,
    /// On the way from the server to the gateway.
    said: VecDeque<(Route, Vec<u8>)>,
    /// The agent has said that it leaves.
    leaving: bool,
    /// The server may not learn that the agent left: the gateway has restarted and the agent has
    /// not spoken since, or the link took the message with it.
    forgotten: bool,
}

impl World {
    pub(super) fn new(full_on_reconnect: bool, server: ServerPeer) -> Self {
        let gateway = Gateway::new(crate::clock::now());
        let agent = AgentPeer::new(full_on_reconnect);
        Self {
            gateway,
            nodes: TestNodes::new(),
            forgets_with_link: false,
            agent,
            server,
            received: Vec::new(),
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
            Event::Moves(keying, node) => self.move_to(node, keying),
            Event::OtherLinksRead(count) => self.other_links_read(count),
            Event::LinkEndsAt(node) => self.link_ends_at(node),
            Event::NodeDies(node) => self.node_dies(node),
        }
        self.deliver();
    }

    /// What is on its way to the server stays on its way, and so do its answers.
    pub(super) fn move_to(&mut self, node: usize, keying: Keying) {
        if self.gateway.session.is_none() || node == self.nodes.at {
            return;
        }
        let from = self.nodes.at;
        self.nodes.leave(&mut self.gateway, &mut self.said);
        self.nodes.enter(node, &mut self.gateway, &mut self.said);
        let has_ended = |wire: Wire| self.nodes.has_ended(wire);
        let route = route(self.gateway.link.incarnation);
        let is_late = !self.said.is_empty() || !self.nodes.all[node].to_server.is_empty();
        let until = self.gateway.now + Duration::from_secs(30);
        let how = Move {
            from: self.nodes.all[from].peer(),
            me: self.nodes.all[node].peer(),
            keying,
            own: Some(route),
            has_ended: &has_ended,
        };
        self.gateway.moves_back(&how, is_late.then_some(LateReply { route, until }));
    }

    /// What a node has written arrives at the server. Returns the answer.
    fn server_receives(&mut self, node: usize, (route, bytes): &(Route, Vec<u8>)) -> Vec<u8> {
        let heard_on = (node, route.incarnation);
        if !self.nodes.heard.contains(&heard_on) {
            self.nodes.heard.push(heard_on);
        }
        // Each tenure of each node counts by itself: what is late must not be taken for the next one.
        let on = Route::of_peer(self.nodes.tenure_of(*route), route.link, route.incarnation);
        self.received.push(AgentToServer::decode(&**bytes).unwrap());
        self.server.receive(on, bytes)
    }

    pub(super) fn other_links_read(&mut self, count: usize) {
        for node in (0..NODES).filter(|node| *node != self.nodes.at).collect::<Vec<_>>() {
            for _ in 0..count {
                if let Some(message) = self.nodes.all[node].to_server.pop_front() {
                    let answer = self.server_receives(node, &message);
                    self.nodes.all[node].said.push_back((message.0, answer));
                }
                if let Some((route, bytes)) = self.nodes.all[node].said.pop_front() {
                    let home = self.nodes.all[node].peer();
                    let on = Route::of_peer(home, route.link, route.incarnation);
                    self.gateway.server_says(on, &bytes);
                }
            }
        }
    }

    pub(super) fn link_ends_at(&mut self, node: usize) {
        if node == self.nodes.at {
            self.link_down();
            return self.gateway.link_up();
        }
        let other = &mut self.nodes.all[node];
        let up_to = Incarnation(other.incarnation);
        other.lose_link();
        let home = other.peer();
        self.server_loses(node, up_to);
        self.tell_ended(home, Some(up_to));
    }

    fn node_dies(&mut self, node: usize) {
        if node == self.nodes.at {
            return;
        }
        let other = &mut self.nodes.all[node];
        let (up_to, home) = (Incarnation(other.incarnation), other.peer());
        other.lose_link();
        other.life += NODES as u64;
        other.incarnation = 1;
        self.server_loses(node, up_to);
        self.nodes.heard.retain(|(heard, _)| *heard != node);
        self.tell_ended(home, None);
    }

    fn tell_ended(&mut self, home: Peer, up_to: Option<Incarnation>) {
        let own = route(self.gateway.link.incarnation);
        let own = Some(own).filter(|_| self.gateway.link.is_up);
        self.gateway.former_link_ended(FormerLinksEnded { home, server: None, up_to, own });
    }

    /// A link has ended, as the server sees it.
    fn server_loses(&mut self, node: usize, up_to: Incarnation) {
        self.server.link_lost();
        let before = self.nodes.heard.len();
        self.nodes.heard.retain(|(heard, on)| *heard != node || *on > up_to);
        if self.forgets_with_link && self.nodes.heard.len() < before {
            self.server.restart();
        }
    }

    pub(super) fn connect(&mut self) {
        if std::mem::take(&mut self.leaving) {
            // Its process ended; this is another.
            self.connection_lost();
            self.agent.restart();
        }
        self.agent.connect();
    }

    /// What the agent has written arrives.
    pub(super) fn deliver(&mut self) {
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

    pub(super) fn agent_reads(&mut self, count: usize) {
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

    pub(super) fn connection_lost(&mut self) {
        if let Some(connection) = self.agent.connection {
            self.gateway.lost(connection);
        }
        self.agent.disconnected();
    }

    pub(super) fn server_reads(&mut self, count: usize) {
        for _ in 0..count {
            // First what an earlier tenure has left on the link.
            let at = self.nodes.at;
            let waits = self.nodes.all[at].to_server.pop_front();
            let next = waits.or_else(|| self.gateway.effects.to_server.pop_front());
            let Some(message) = next else { return };
            let answer = self.server_receives(at, &message);
            let (link, incarnation) = (message.0.link, message.0.incarnation);
            self.said.push_back((Route::of_link(link, incarnation), answer));
        }
    }

    pub(super) fn replies_arrive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((route, bytes)) = self.said.pop_front() else { return };
            self.gateway.server_says(route, &bytes);
        }
    }

    fn link_down(&mut self) {
        let mut lost = self.gateway.effects.to_server.iter();
        self.forgotten |= lost.any(|(_, bytes)| AgentScan::parse(bytes).unwrap().disconnects());
        let (node, up_to) = (self.nodes.at, Incarnation(self.gateway.link.incarnation));
        if self.gateway.link.is_up {
            self.gateway.link_down();
            self.nodes.all[node].to_server.clear();
        }
        self.said.clear();
        self.server_loses(node, up_to);
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
        self.other_links_read(200);
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
        if links_end {
            (0..NODES).for_each(|node| world.link_ends_at(node));
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

/// What a connection took with it is asked for, though the next connection is lost before the agent has read that.
#[test]
fn what_two_lost_connections_took_with_them_is_asked_for() {
    let change = |description, health| Status { description, health, config: None, remote: None };
    let mut world = World::new(false, ServerPeer::default());
    for event in [
        Event::Connects,
        Event::ConnectionLost(change(None, Some(1))),
        Event::Connects,
        Event::Permits,
        Event::Change(change(Some(0), None)),
        Event::AgentReadsAndIsLost(0),
    ] {
        world.happen(event);
    }
    world.connect();
    world.deliver();
    world.quiesce();
    assert_eq!(world.server.status(), Some(world.agent.status));
}
