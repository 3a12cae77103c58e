//! Everything that exists, the time, and what happens next. One thread, one source of chance: the
//! same seed is the same story, to the last byte.
//!
//! What happens to agents is in `agents`, to links and servers in `links`, what goes wrong in
//! `faults`; what must be true of it in `oracle`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use prost::Message;
use seawall::clock;
use seawall::ident::InstanceUid;
use seawall::mutation::Breach;
use seawall::opamp::proto::ServerToAgent;
use seawall::sessions::Outgoing;

use crate::agent::Agent;
use crate::agents::Request;
use crate::arrivals::{Applicant, OBSERVE_EVERY};
pub(crate) use crate::events::Event;
use crate::gateway::{Gateway, unframe};
use crate::http::ChannelEnd;
use crate::network::{Conn, Line, as_control};
use crate::oracle::{Cause, Given, Oracle, Sent};
use crate::plan::Plan;
use crate::probes::HttpServerEnd;
use crate::server::Server;
use crate::simulation::queue::Queue;
use crate::simulation::random::Random;
use crate::simulation::runner::{Outcome, Story};
use crate::simulation::trace::Trace;
use crate::status::{self, uid_bytes};
use crate::wires::{Key, Note, node_of_key};

/// Since the start of the story.
pub(crate) type Time = std::time::Duration;

/// Names a node's process: the first is 1, and each that starts has the next number.
pub(crate) type NodeKey = u32;

/// How long everything works before the oracle compares: longer than any patience lasts.
const CALM: Time = Time::from_secs(240);
const SWEEP_EVERY: Time = Time::from_secs(1);
pub(crate) const WATCH_EVERY: Time = Time::from_millis(500);

/// See the module's text.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: Time,
    pub(crate) start: Instant,
    queue: Queue<Time, Event>,
    pub(crate) agents: Vec<Agent>,
    /// When each agent dials again.
    pub(crate) away_until: Vec<Time>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    pub(crate) requests: BTreeMap<u64, Request>,
    /// Agents that ask to be admitted, by the connection or request that follows.
    pub(crate) applicants: BTreeMap<u64, Applicant>,
    next_wire: u64,
    /// The gateway's nodes that are alive, by the order in which they started.
    pub(crate) nodes: BTreeMap<NodeKey, Gateway>,
    /// The node that the balancer sends new connections to.
    pub(crate) serving: Option<NodeKey>,
    /// Nodes that hold still towards servers.
    pub(crate) still: BTreeSet<NodeKey>,
    last_node: NodeKey,
    /// Nodes that are about to start.
    pub(crate) starting: u32,
    pub(crate) lines: BTreeMap<(Key, u32), Line>,
    pub(crate) servers: Vec<Server>,
    /// When each server was last unwell: down, cut off, overloaded, slow to read.
    pub(crate) unwell_until: Vec<Time>,
    /// The remote configuration each agent should have.
    pub(crate) desired: Vec<u32>,
    pub(crate) oracle: Oracle,
    pub(crate) calm: bool,
    pub(crate) log: Option<Vec<String>>,
    /// Depends on all that went over any wire.
    trace: Trace,
    events: u64,
}

impl Story for World {
    fn begin(seed: u64, start: Instant, tells: bool) -> Self {
        Self::new(seed, start, tells)
    }

    fn looks_from(breach: Breach) -> u64 {
        if breach == Breach::HttpForgetsLost { 1_500 } else { 0 }
    }

    fn run(&mut self) {
        let end = self.plan.lasts + CALM;
        while self.oracle.violation.is_none()
            && let Some((at, event)) = self.queue.pop()
            && at <= end
        {
            self.now = at;
            clock::simulated::set(self.start, self.now);
            self.events += 1;
            self.happen(event);
        }
        if self.oracle.violation.is_none() {
            self.judge();
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
        let plan = Plan::new(&mut random, &mut Random::new(!seed));
        let agents: Vec<Agent> = plan
            .agents
            .iter()
            .enumerate()
            .map(|(index, kind)| Agent::new(index, kind.clone(), &mut random))
            .collect();
        let mut world = Self {
            random,
            now: Time::ZERO,
            start,
            queue: Queue::new(),
            away_until: vec![Time::ZERO; agents.len()],
            unwell_until: vec![Time::ZERO; plan.servers.len()],
            desired: vec![0; agents.len()],
            oracle: Oracle::new(&plan),
            agents,
            conns: BTreeMap::new(),
            requests: BTreeMap::new(),
            applicants: BTreeMap::new(),
            next_wire: 1,
            nodes: BTreeMap::new(),
            serving: None,
            still: BTreeSet::new(),
            last_node: 0,
            starting: 1,
            lines: BTreeMap::new(),
            servers: plan.servers.iter().cloned().map(Server::new).collect(),
            calm: false,
            log: log.then(Vec::new),
            trace: Trace::new(),
            events: 0,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let text = format!("{:#?}", self.plan);
        self.say(|| text);
        self.at(Time::ZERO, Event::NodeStarts);
        for agent in 0..self.agents.len() {
            let at = self.random.ms(1, 5_000);
            self.at(at, Event::Start(agent));
            self.at(at, Event::Act(agent));
            self.at(at, Event::HeartbeatDue(agent));
        }
        self.at(SWEEP_EVERY, Event::Sweep);
        self.at(WATCH_EVERY, Event::Watch);
        self.at(OBSERVE_EVERY, Event::Observe);
        self.at(Time::from_secs(5), Event::ServerActs);
        self.at(Time::from_secs(5), Event::Fault);
        self.at(self.plan.lasts, Event::Calm);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(agent) => self.start_agent(agent),
            Event::Dial(agent, process) => self.dial(agent, process),
            Event::HeartbeatDue(agent) => self.heartbeat_due(agent),
            Event::Act(agent) => self.act(agent),
            Event::ToGateway(wire) => self.reaches_gateway(wire),
            Event::ToAgent(wire) => self.reaches_agent(wire),
            Event::GatewayNotices(wire) => self.gateway_notices(wire),
            Event::AgentNotices(wire) => self.agent_notices(wire),
            Event::ReplyDue(wire) => self.reply_due(wire),
            Event::Asks(wire) => self.asks(wire),
            Event::Answered(wire) => self.answered(wire),
            Event::Fails(wire) => self.fails(wire),
            Event::Retries(wire) => self.retries(wire),
            Event::RequestDue(wire) => self.request_due(wire),
            Event::LinkDial(key) => self.link_dial(key),
            Event::LinkWrites(key) => self.link_writes(key),
            Event::Enqueue(key, incarnation) => self.enqueue(key, incarnation),
            Event::ToServer(key, incarnation) => self.reaches_server((key, incarnation)),
            Event::FromServer(key, incarnation) => self.server_is_heard((key, incarnation)),
            Event::LineClosed(key, incarnation) => self.line_closed((key, incarnation)),
            Event::Permit(node, server) => self.permit(node, server),
            Event::ServerStarts(server) | Event::Recovers(server) | Event::HttpHeals(server) => {
                self.server_recovers(event, server);
            }
            Event::ChannelWakes(key) => {
                self.wake_channel(key);
                self.settle(Cause::Permit);
            }
            Event::ChannelDue(key, step) => self.channel_due(key, step),
            Event::ChannelDials(key, step) => self.channel_dials(key, step),
            Event::PostArrives(key, step) => self.post_arrives(key, step),
            Event::PostAnswered(key, step) => self.post_answered(key, step),
            Event::ProbeDue(node, server, step) => self.probe_due(node, server, step),
            Event::PollDue(node, server) => self.poll_due(node, server),
            Event::ServerActs => self.server_acts(),
            Event::Accept(wire) => self.accept(wire),
            Event::GivesUp(wire) => self.gives_up(wire),
            Event::ApplicantGone(wire) => self.applicant_gone(wire),
            Event::HoldEnds(wire) => self.refusal_is_sent(wire),
            Event::Tick(node) => self.tick_due(node),
            Event::Observe => self.observe(),
            Event::CrowdLeaves(node) => self.crowd_leaves(node),
            Event::NodeStarts => self.node_starts(),
            Event::DrainStep(node) => self.drain_step(node),
            Event::BalancerMoves => self.balancer_moves(),
            Event::NodeEnds(node) => self.node_ends(node),
            Event::Ping(wire) => self.ping(wire),
            Event::Sweep => self.sweep(),
            Event::Watch => self.watch(),
            Event::Fault => self.fault(),
            Event::MaySpeak(node) => self.may_speak(node),
            Event::Calm => self.become_calm(),
        }
    }

    /// A reply is due: the connection's task looks at its session.
    fn reply_due(&mut self, wire: u64) {
        self.poll_task(wire, Cause::Timer);
        self.settle(Cause::Timer);
    }

    /// A request has waited long enough: its task looks at its session.
    fn request_due(&mut self, wire: u64) {
        self.poll_request(wire, true);
        self.settle(Cause::Timer);
    }

    /// One kind of trouble of a server is over.
    fn server_recovers(&mut self, event: Event, server: usize) {
        let one = &mut self.servers[server];
        match event {
            Event::ServerStarts(_) => one.up = true,
            Event::Recovers(_) => one.overloaded = false,
            _ => one.fault = None,
        }
        self.unwell_until[server] = self.now;
        self.say(|| format!("server {server}: {event:?}"));
    }

    fn node_starts(&mut self) {
        self.starting = self.starting.saturating_sub(1);
        self.last_node += 1;
        let node = self.last_node;
        self.say(|| format!("node {node} starts"));
        let gateway = Gateway::new(node, &self.plan, &mut self.random);
        let keys: Vec<Key> = gateway.wires.ends.lock().links.keys().copied().collect();
        self.nodes.insert(node, gateway);
        self.oracle.node_started(node);
        if self.serving.is_none() {
            self.elect();
        }
        if self.plan.http {
            return self.http_starts(node, keys);
        }
        for key in keys {
            let delay = self.random.ms(1, 20);
            self.after(delay, Event::LinkDial(key));
        }
    }

    fn http_starts(&mut self, node: NodeKey, keys: Vec<Key>) {
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        gateway.channels = keys.iter().map(|key| (*key, ChannelEnd::new())).collect();
        gateway.http = self.servers.iter().map(|_| HttpServerEnd::new()).collect();
        for key in keys {
            let delay = self.random.ms(0, 10);
            self.after(delay, Event::ChannelWakes(key));
        }
        for server in 0..self.servers.len() {
            self.after(Time::from_millis(50), Event::PollDue(node, server));
        }
    }

    fn sweep(&mut self) {
        for node in self.live_nodes() {
            let Some(gateway) = self.nodes.get(&node) else { continue };
            gateway.sessions.sweep(clock::now());
            self.settle(Cause::Timer);
            self.oracle.replies_are_in_time(self.now);
        }
        self.after(SWEEP_EVERY, Event::Sweep);
    }

    /// Carries out what the last call of any node's led to.
    pub(crate) fn settle(&mut self, cause: Cause) {
        for node in self.live_nodes() {
            while self.settle_step(node, cause) {}
        }
    }

    /// Carries out what one node has to do now. Returns whether there was anything.
    fn settle_step(&mut self, node: NodeKey, cause: Cause) -> bool {
        let Some(gateway) = self.nodes.get(&node) else { return false };
        let notes = std::mem::take(&mut gateway.wires.ends.lock().notes);
        let (tasks, requests) = gateway.woken();
        self.wake_pacers(node);
        let busy = !(notes.is_empty() && tasks.is_empty() && requests.is_empty());
        for note in notes {
            self.carry_out(node, note);
        }
        for wire in tasks {
            self.poll_task(wire, cause);
        }
        for wire in requests {
            self.poll_request(wire, false);
        }
        busy
    }

    /// The nodes that are alive now.
    pub(crate) fn live_nodes(&self) -> Vec<NodeKey> {
        self.nodes.keys().copied().collect()
    }

    /// Something is wrong with a server until then at least.
    pub(crate) fn unwell(&mut self, server: usize, until: Time) {
        self.unwell_until[server] = self.unwell_until[server].max(until);
    }

    /// The node whose connection or request this is.
    pub(crate) fn node_of(&self, wire: u64) -> Option<NodeKey> {
        self.nodes.iter().find(|(_, gateway)| gateway.has(wire)).map(|(node, _)| *node)
    }

    fn carry_out(&mut self, node: NodeKey, note: Note) {
        match note {
            Note::Sent { key, incarnation, uid, bytes } => {
                if let Some(report) = status::decode(&bytes).ok().filter(|_| self.plan.http) {
                    self.oracle.queued(key, &report);
                }
                self.sent((key, incarnation), uid, &bytes);
            }
            Note::Refused { uid, route, why } => {
                let agent = agent_of(uid);
                self.say(|| format!("  not sent for {agent} on {route:?}: {why:?}"));
                let place = self.place(node, agent);
                self.oracle.refused((node, agent), usize::from(route.link.server.0), place);
            }
            Note::Made(key) => {
                let delay = self.random.ms(1, 30);
                self.after(delay, Event::LinkDial(key));
            }
            Note::Released(key) => self.after(Time::ZERO, Event::LinkWrites(key)),
        }
    }

    pub(crate) fn sent(&mut self, line: (Key, u32), uid: InstanceUid, bytes: &[u8]) {
        self.mark(bytes);
        if self.plan.http {
            self.after(Time::ZERO, Event::ChannelWakes(line.0));
        } else {
            let delay = self.random.ms(0, 3);
            self.after(delay, Event::LinkWrites(line.0));
        }
        let agent = agent_of(uid);
        match status::decode(bytes) {
            Ok(report) if report.agent == agent => {
                self.say(|| format!("  sent on {line:?}: {}", show(&report)));
                let server = self.server_of(line.0);
                let node = node_of_key(line.0);
                if self.is_still(node) {
                    self.oracle.fail("O1", || format!("node {node} speaks, and must hold still"));
                }
                let place = self.place(node, agent);
                self.oracle.sent(&Sent { node, line, server, place, report, at: self.now });
            }
            Ok(report) => {
                self.oracle.fail("R7", || format!("{} speaks as {agent}", report.agent));
            }
            Err(fault) => self.oracle.fail("R2", || format!("agent {agent}: {fault}")),
        }
    }

    /// A connection's task looks at its session.
    pub(crate) fn poll_task(&mut self, wire: u64, cause: Cause) {
        loop {
            let Some(node) = self.node_of(wire) else { return };
            let Some(gateway) = self.nodes.get_mut(&node) else { return };
            match gateway.poll_task(wire) {
                None => return,
                Some(Outgoing::Nothing { reply_due }) => {
                    let due = reply_due.map(|at| at - self.start);
                    if due.is_some_and(|due| due <= self.now) {
                        return self.oracle.fail("R5", || format!("on {wire} a reply is overdue"));
                    }
                    if let Some(due) = due {
                        self.at(due, Event::ReplyDue(wire));
                    }
                    return;
                }
                Some(Outgoing::Bytes(frames)) => {
                    for message in unframe(frames) {
                        self.give(wire, message, cause);
                    }
                }
                Some(_) => return self.gateway_closes(wire),
            }
        }
    }

    /// The gateway writes to an agent's WebSocket.
    pub(crate) fn give(&mut self, wire: u64, bytes: Vec<u8>, cause: Cause) {
        self.mark(&bytes);
        if let Some(ping) = as_control(&bytes) {
            if let Some(conn) = self.conns.get(&wire) {
                self.oracle.pinged((conn.node, conn.agent), wire, ping);
            }
            return self.send_down(wire, bytes);
        }
        let Some(message) = self.understand(&bytes) else { return };
        let Some(conn) = self.conns.get(&wire) else { return };
        let (agent, node) = (conn.agent, conn.node);
        self.send_down(wire, bytes);
        self.say(|| format!("  given to {agent} on {wire}: {}", show_answer(&message)));
        self.oracle.given((node, agent), Given { message: &message, cause, wire });
    }

    fn send_down(&mut self, wire: u64, bytes: Vec<u8>) {
        let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.cut) else { return };
        let delay = self.random.ms(1, 80);
        let arrives = conn.down.put(bytes, self.now, delay);
        self.at(arrives, Event::ToAgent(wire));
    }

    /// A request's task looks at its session.
    pub(crate) fn poll_request(&mut self, wire: u64, expired: bool) {
        let Some(node) = self.node_of(wire) else { return };
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        match gateway.poll_request(wire, expired) {
            None => {}
            Some(Ok(reply)) => self.answer((node, wire), reply),
            Some(Err(_)) if expired => {
                self.oracle.fail("R5", || format!("request {wire} is past its time and waits"));
            }
            Some(Err(None)) => {
                self.oracle.fail("R5", || format!("request {wire} waits without end"));
            }
            Some(Err(Some(due))) => self.at(due - self.start, Event::RequestDue(wire)),
        }
    }

    pub(crate) fn understand(&mut self, bytes: &[u8]) -> Option<ServerToAgent> {
        let message = ServerToAgent::decode(bytes);
        if let Err(error) = &message {
            self.oracle.fail("R7", || format!("an agent is sent what it cannot read: {error}"));
        }
        message.ok()
    }

    /// The server that a node has the agent at now.
    pub(crate) fn place(&self, node: NodeKey, agent: usize) -> usize {
        let uid = InstanceUid::from_bytes(uid_bytes(agent));
        self.nodes.get(&node).map_or(0, |gateway| gateway.wires.ends.lock().place(uid))
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) const fn new_wire(&mut self) -> u64 {
        let wire = self.next_wire;
        self.next_wire += 1;
        wire
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10.3} {}", self.now.as_secs_f64(), what()));
        }
    }

    /// Notes what went over a wire.
    pub(crate) fn mark(&mut self, bytes: &[u8]) {
        self.trace.mark(bytes.iter().copied());
        self.trace.mark([u64::try_from(self.now.as_micros()).unwrap()]);
    }
}

pub(crate) fn uid_of(agent: usize) -> InstanceUid {
    InstanceUid::from_bytes(uid_bytes(agent))
}

pub(crate) fn agent_of(uid: InstanceUid) -> usize {
    usize::from(uid.as_bytes()[15])
}

/// A report in a line of the log.
pub(crate) fn show(report: &status::Report) -> String {
    let parts: Vec<String> =
        report.status.iter().map(|(part, version)| format!("{part:?}={version}")).collect();
    let map = if report.status.map { " with map" } else { "" };
    let custom = report.custom.map_or(String::new(), |n| format!(" custom {n}"));
    let leaves = if report.disconnects { " leaves" } else { "" };
    format!("agent {} #{} [{}]{map}{custom}{leaves}", report.agent, report.number, parts.join(" "))
}

/// What an agent is told, in a line of the log.
pub(crate) fn show_answer(message: &ServerToAgent) -> String {
    let mut text = format!("flags {}", message.flags);
    if let Some(config) = &message.remote_config {
        text += &format!(" config {}", String::from_utf8_lossy(&config.config_hash));
    }
    if let Some(custom) = &message.custom_message {
        text += &format!(" custom {}", String::from_utf8_lossy(&custom.data));
    }
    if message.command.is_some() {
        text += " restart";
    }
    if message.error_response.is_some() {
        text += " error";
    }
    text
}
