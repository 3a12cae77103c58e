//! What happens between the gateway and its servers: as src/upstream's tasks do it, with time moved by
//! hand. `link_dial`, `link_writes` and `cut_line` are `keep_link`; `permit` is `grant_permits`; `watch` carries out
//! what `core::server` says; `incoming` is `incoming::take`.

use std::sync::Arc;

use prost::Message;
use seawall::core::link::{Recipient, recipient};
use seawall::core::pacing::{Class, Grant, GrantFacts, GrantLink, Next};
use seawall::core::server::{FailedDial, ServerEffect, ServerEvent};
use seawall::core::session::Route;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::ServerToAgent;
use seawall::opamp::server::{ErrorKind, ServerScan};
use seawall::sessions::{Delivered, PermitUse, Uplink};

use crate::network::{Line, Pipe};
use crate::oracle::{Cause, Said};
use crate::server::Over;
use crate::status::{self, Report};
use crate::wires::{Key, State, Wires, node_of_key};
use crate::world::{Event, NodeKey, Time, WATCH_EVERY, World, agent_of, show, show_answer};

/// How long before a link, or room on it, is looked for again.
const LOOK_AGAIN: Time = Time::from_millis(100);
/// The shortest time that a timer knows.
const WAIT_MIN: Time = Time::from_millis(1);
/// A line, by its link and incarnation.
pub(crate) type LineKey = (Key, u32);

/// Where a server's message comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) node: NodeKey,
    pub(crate) server: usize,
    pub(crate) route: Route,
    /// The one agent that it can be for, if there is one.
    pub(crate) owner: Option<usize>,
}

impl World {
    pub(crate) fn server_of(&self, key: Key) -> usize {
        let live = self.nodes.get(&node_of_key(key)).and_then(|gateway| {
            let ends = gateway.wires.ends.lock();
            ends.links.get(&key).map(|link| usize::from(link.id.server.0))
        });
        live.unwrap_or(0)
    }

    pub(crate) fn link_dial(&mut self, key: Key) {
        let Some(gateway) = self.nodes.get(&node_of_key(key)) else { return };
        let wires = Arc::clone(&gateway.wires);
        let mut ends = wires.ends.lock();
        let ends = &mut *ends;
        let Some(link) = ends.links.get_mut(&key) else { return };
        let server = usize::from(link.id.server.0);
        match link.state {
            State::Up => return,
            State::Closing => return self.after(Time::ZERO, Event::LinkWrites(key)),
            State::Down => {}
        }
        let owner = link.owner.map(agent_of);
        // A server reads an old connection to its end before it takes from the one that follows it.
        let old = |line: &Line| !line.gateway_end && line.server == server && line.owner == owner;
        if ends.servers[server].state.holds_still() {
            return self.after(LOOK_AGAIN, Event::LinkDial(key));
        }
        if !self.servers[server].up || self.lines.values().any(old) {
            ends.handle(server, ServerEvent::DialFailed(FailedDial::default()));
            let wait = self.random.ms(300, 3_000);
            return self.after(wait, Event::LinkDial(key));
        }
        link.state = State::Up;
        link.counted = true;
        let (route, incarnation) = (link.route(), link.incarnation);
        ends.handle(server, ServerEvent::LinkUp);
        self.say(|| format!("link {key} of server {server} is up, incarnation {incarnation}"));
        let line = Line {
            server,
            route,
            owner,
            gateway_end: true,
            up: Pipe::new(),
            down: Pipe::new(),
            stalled_until: Time::ZERO,
            hello_sent: false,
        };
        self.lines.insert((key, incarnation), line);
        self.after(Time::ZERO, Event::LinkWrites(key));
        let delay = self.random.ms(0, 20);
        self.after(delay, Event::Enqueue(key, incarnation));
    }

    /// A link is up: its agents are to be introduced to the server, each in its turn.
    pub(crate) fn enqueue(&mut self, key: Key, incarnation: u32) {
        let Some(gateway) = self.nodes.get(&node_of_key(key)) else { return };
        let (id, owner) = {
            let ends = gateway.wires.ends.lock();
            let Some(link) = ends.links.get(&key).filter(|l| l.incarnation == incarnation) else {
                return;
            };
            (link.id, link.owner)
        };
        if let Some(owner) = owner {
            gateway.sessions.enqueue_one(owner);
        } else {
            let wires = Arc::clone(&gateway.wires);
            gateway.sessions.enqueue_all(&|uid| {
                let ends = wires.ends.lock();
                let server = ends.place(uid);
                server == usize::from(id.server.0) && ends.link_of(server, uid) == Some(key)
            });
        }
        self.settle(Cause::Permit);
    }

    pub(crate) fn link_writes(&mut self, key: Key) {
        let Some(gateway) = self.nodes.get(&node_of_key(key)) else { return };
        let wires = Arc::clone(&gateway.wires);
        let mut ends = wires.ends.lock();
        let Some(link) = ends.links.get_mut(&key) else { return };
        let (incarnation, closing) = (link.incarnation, link.state == State::Closing);
        if let Some(line) = self.lines.get_mut(&(key, incarnation)) {
            if self.now < line.stalled_until {
                let until = line.stalled_until;
                return self.at(until, Event::LinkWrites(key));
            }
            let mut drained = line.up.drained().max(self.now);
            let mut arrivals = Vec::new();
            for bytes in link.take_all() {
                drained = line.up.put(bytes, self.now, self.random.ms(1, self.plan.away));
                arrivals.push(drained);
            }
            line.gateway_end = !closing;
            for at in arrivals {
                self.at(at, Event::ToServer(key, incarnation));
            }
            if closing {
                self.at(drained, Event::LineClosed(key, incarnation));
            }
        }
        if closing {
            // Of a link that was still being dialled, what waited is lost.
            let lost = link.take_all();
            let server = usize::from(link.id.server.0);
            let (owner, counted) = (link.owner, std::mem::take(&mut link.counted));
            if owner.is_some() {
                ends.links.remove(&key);
            }
            if counted {
                ends.handle(server, ServerEvent::LinkLost);
            }
            if let Some(owner) = owner
                && ends.servers[server].owned.get(&owner) == Some(&key)
            {
                ends.servers[server].owned.remove(&owner);
            }
            self.note_lost((node_of_key(key), server), &lost);
        }
    }

    /// The oracle learns which messages are lost: a lost goodbye explains what a server believes.
    pub(crate) fn note_lost(&mut self, (node, server): (NodeKey, usize), lost: &[Vec<u8>]) {
        for report in lost.iter().filter_map(|bytes| status::decode(bytes).ok()) {
            self.say(|| format!("  lost: {}", show(&report)));
            self.oracle.lost_on_link(node, server, &report);
        }
    }

    /// A line is cut: the gateway finds out at once, the server when it has read what still comes.
    /// If the server died, all of it is lost.
    pub(crate) fn cut_line(&mut self, line: LineKey, dead: bool) {
        let Some(wire) = self.lines.get_mut(&line) else { return };
        let server = wire.server;
        let mut lost = if dead { wire.up.lose() } else { wire.up.cut(&mut self.random) };
        wire.down.lose();
        self.unwell_until[server] = self.unwell_until[server].max(self.now);
        let drained = wire.up.drained().max(self.now);
        let (wire_owner, index) = (wire.owner, wire.route.link.index);
        let was_open = std::mem::replace(&mut wire.gateway_end, false);
        let noticed = if dead { self.now } else { drained + self.random.ms(0, 200) };
        self.at(noticed, Event::LineClosed(line.0, line.1));
        self.say(|| format!("line {line:?} to server {server} is cut"));
        if was_open && let Some(gateway) = self.nodes.get(&node_of_key(line.0)) {
            let wires = Arc::clone(&gateway.wires);
            let mut ends = wires.ends.lock();
            let mut counted = false;
            if let Some(link) = ends.links.get_mut(&line.0) {
                counted = std::mem::take(&mut link.counted);
                lost.extend(link.take_all());
                link.incarnation += 1;
                if link.state == State::Up {
                    link.state = State::Down;
                }
            }
            if wire_owner.is_none() {
                ends.servers[server].pace.link_lost(index);
            }
            if counted {
                ends.handle(server, ServerEvent::LinkLost);
            }
            let wait = self.random.ms(250, 1_000);
            self.after(wait, Event::LinkDial(line.0));
        }
        self.note_lost((node_of_key(line.0), server), &lost);
    }

    /// The server finds out that a line is over.
    pub(crate) fn line_closed(&mut self, line: LineKey) {
        if let Some(wire) = self.lines.remove(&line) {
            self.servers[wire.server].line_closed(line);
        }
    }

    pub(crate) fn reaches_server(&mut self, line: LineKey) {
        let Some(wire) = self.lines.get_mut(&line) else { return };
        let Some(bytes) = wire.up.take(self.now) else { return };
        let server = wire.server;
        let report = status::decode(&bytes).expect("what was sent has been decoded");
        let answer = self.server_hears(line, server, &report);
        let late = self.random.percent(self.servers[server].traits.late);
        let delay = if late { self.random.ms(1_000, 6_000) } else { self.random.ms(1, 60) };
        self.server_says(line, &answer, delay);
    }

    /// A server takes a message in. Returns its answer.
    pub(crate) fn server_hears(
        &mut self,
        line: LineKey,
        server: usize,
        report: &Report,
    ) -> ServerToAgent {
        let known = self.servers[server].records.get(&report.agent).map(|record| record.line);
        let elsewhere = known.is_some_and(|known| known != line && self.lines.contains_key(&known));
        let other_node = known.is_some_and(|known| node_of_key(known.0) != node_of_key(line.0));
        if elsewhere && other_node && report.disconnects {
            // The server still has the agent where another node has let it go.
            self.oracle.refused_by_server(server, report);
        }
        let one = &mut self.servers[server];
        let answer = one.receive(Over { line, elsewhere }, report, self.desired[report.agent]);
        if one.overloaded {
            self.oracle.refused_by_server(server, report);
        }
        self.oracle.at_server((node_of_key(line.0), server), report, self.now);
        // Over plain HTTP each answer says what the server is.
        let first = self
            .lines
            .get_mut(&line)
            .is_none_or(|wire| !std::mem::replace(&mut wire.hello_sent, true));
        let answer = self.servers[server].address(answer, report.agent, first);
        self.say(|| format!("server {server} hears {}; {}", show(report), show_answer(&answer)));
        answer
    }

    /// A server's message sets out for the gateway.
    pub(crate) fn server_says(&mut self, line: LineKey, message: &ServerToAgent, delay: Time) {
        let Some(wire) = self.lines.get_mut(&line).filter(|wire| wire.gateway_end) else { return };
        let bytes = message.encode_to_vec();
        let at = wire.down.put(bytes, self.now, delay);
        self.at(at, Event::FromServer(line.0, line.1));
    }

    pub(crate) fn server_is_heard(&mut self, line: LineKey) {
        let Some(wire) = self.lines.get_mut(&line).filter(|wire| wire.gateway_end) else { return };
        let Some(bytes) = wire.down.take(self.now) else { return };
        self.mark(&bytes);
        let wire = &self.lines[&line];
        let node = node_of_key(line.0);
        let sender = Sender { node, server: wire.server, route: wire.route, owner: wire.owner };
        self.incoming(sender, &bytes);
        self.settle(Cause::Server);
    }

    /// A server's message, as `upstream::incoming` takes it. Returns whether it was for an agent here.
    pub(crate) fn incoming(&mut self, sender: Sender, bytes: &[u8]) -> bool {
        let Sender { node, server, route, owner } = sender;
        let Some(gateway) = self.nodes.get(&node) else { return false };
        let scan = ServerScan::parse(bytes).expect("what a server has written");
        let message = ServerToAgent::decode(bytes).expect("what a server has written");
        gateway.wires.ends.lock().learn(server, &scan);
        let owner = owner.map(|agent| InstanceUid::from_bytes(status::uid_bytes(agent)));
        let named = scan.uid.map(|uid| InstanceUid::from_wire(uid).expect("a uid"));
        let Recipient::Agent(uid) = recipient(owner, named) else {
            if let Some(error) = scan.error().filter(|e| e.kind == ErrorKind::Unavailable) {
                self.pause(node, server, error.retry_after);
            }
            return false;
        };
        let agent = agent_of(uid);
        self.say(|| format!("server {server} has said to {agent}: {}", show_answer(&message)));
        let Some(gateway) = self.nodes.get(&node) else { return false };
        self.oracle.server_said((node, agent), Said { server, message: &message }, self.now);
        let delivery = gateway.sessions.from_server(uid, route, &scan);
        if let Some(answer) = delivery.answer {
            gateway.wires.ends.lock().servers[server].pace.answered(route.link.index, answer);
        }
        if let Delivered::Unavailable(retry_after) = delivery.delivered {
            self.pause(node, server, retry_after);
        }
        delivery.delivered != Delivered::Unknown || delivery.answer.is_some()
    }

    fn pause(&self, node: NodeKey, server: usize, retry_after: Option<Time>) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        gateway.wires.ends.lock().handle(server, ServerEvent::PauseAsked(retry_after));
    }

    /// Asks the pacers of a node that may grant a permit sooner than they said.
    pub(crate) fn wake_pacers(&mut self, node: NodeKey) {
        for server in 0..self.servers.len() {
            let Some(gateway) = self.nodes.get(&node) else { return };
            if gateway.wires.ends.lock().servers[server].pace.take_woken() {
                let delay = self.random.ms(0, 3);
                self.ask_pacer(node, server, delay);
            }
        }
    }

    /// Asks a server's pacer for the next permit after a while, unless it is asked sooner.
    fn ask_pacer(&mut self, node: NodeKey, server: usize, delay: Time) {
        let at = self.now + delay;
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gateway.permit_due[server].is_none_or(|due| due > at) {
            gateway.permit_due[server] = Some(at);
            self.at(at, Event::Permit(node, server));
        }
    }

    /// Grants a session its permit at a server, if the pacer says so.
    pub(crate) fn permit(&mut self, node: NodeKey, server: usize) {
        let now = self.now;
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gateway.permit_due[server].take_if(|due| *due == now).is_none() {
            return;
        }
        let wires = Arc::clone(&gateway.wires);
        let mut ends = wires.ends.lock();
        let end = &mut ends.servers[server];
        if end.state.holds_still() || !end.state.is_reached() && !end.pace.is_empty() {
            return self.ask_pacer(node, server, LOOK_AGAIN);
        }
        let (uid, class) = match end.pace.next() {
            Next::Permit(uid, class) => (uid, class),
            Next::Wait(wait) => return self.ask_pacer(node, server, wait.max(WAIT_MIN)),
            Next::Empty => return,
        };
        drop(ends);
        let wait = self.grant(node, server, (uid, class));
        self.settle(Cause::Permit);
        self.ask_pacer(node, server, wait);
    }

    /// Has a session use its permit. Returns how long to wait before the next.
    fn grant(&mut self, node: NodeKey, server: usize, permit: (InstanceUid, Class)) -> Time {
        let (uid, class) = permit;
        let Some(gateway) = self.nodes.get(&node) else { return LOOK_AGAIN };
        let (wires, sessions) = (Arc::clone(&gateway.wires), Arc::clone(&gateway.sessions));
        let mut ends = wires.ends.lock();
        let of = |key| GrantLink {
            is_up: ends.links[&key].state == State::Up,
            has_room: ends.has_room(key),
        };
        let placed_here = ends.place(uid) == server;
        let link = ends.link_of(server, uid).map(of);
        match Grant::of(GrantFacts { class, placed_here, link }) {
            Grant::Use => drop(ends),
            Grant::Elsewhere => {
                ends.servers[server].pace.refund(class);
                drop(ends);
                wires.enqueue(uid, class);
                return Time::ZERO;
            }
            Grant::LinkDown => {
                drop(ends);
                sessions.skip_permit(uid, class, &|| true);
                wires.ends.lock().servers[server].pace.refund(class);
                return Time::ZERO;
            }
            Grant::LinkFull => {
                ends.servers[server].pace.requeue(uid, class);
                return LOOK_AGAIN;
            }
        }
        self.say(|| format!("a permit for {} at server {server}: {class:?}", agent_of(uid)));
        self.oracle.moves((node, agent_of(uid)), server);
        let used = sessions.permit_granted(uid, class);
        let mut ends = wires.ends.lock();
        match used {
            PermitUse::Idle => ends.servers[server].pace.refund(class),
            PermitUse::Again => ends.servers[server].pace.requeue(uid, class),
            PermitUse::Used => {}
        }
        Time::ZERO
    }

    /// Time passes for the state of each server.
    pub(crate) fn watch(&mut self) {
        self.after(WATCH_EVERY, Event::Watch);
        for node in self.live_nodes() {
            self.watch_servers(node);
        }
    }

    fn watch_servers(&mut self, node: NodeKey) {
        for server in 0..self.servers.len() {
            let Some(gateway) = self.nodes.get(&node) else { return };
            let effects = gateway.wires.ends.lock().handle(server, ServerEvent::Tick);
            for effect in effects {
                self.follow_server(node, server, effect);
            }
            self.settle(Cause::Permit);
        }
    }

    pub(crate) fn follow_server(&mut self, node: NodeKey, server: usize, effect: ServerEffect) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        let (wires, sessions) = (Arc::clone(&gateway.wires), Arc::clone(&gateway.sessions));
        match effect {
            ServerEffect::Probe => {
                let event = if self.servers[server].up {
                    ServerEvent::ProbeAnswered
                } else {
                    let jitter = f64::from(u8::from(self.random.percent(50)));
                    ServerEvent::ProbeFailed { dial: FailedDial::default(), jitter }
                };
                wires.ends.lock().handle(server, event);
            }
            ServerEffect::InUse(in_use) if self.servers.len() > 1 => {
                Self::pass_on(&wires, server);
                self.say(|| format!("server {server} is in use at node {node}: {in_use}"));
                let all = 0..self.servers.len();
                all.for_each(|server| self.unwell(server, self.now));
                self.oracle.servers_change(node);
                sessions.enqueue_all(&|_| true);
            }
            ServerEffect::PassOn if self.servers.len() > 1 => Self::pass_on(&wires, server),
            _ => {}
        }
    }

    /// What waits at a server goes where it belongs now.
    fn pass_on(wires: &Wires, server: usize) {
        let waiting = wires.ends.lock().servers[server].pace.drain();
        for (uid, class) in waiting {
            wires.enqueue(uid, class);
        }
    }
}
