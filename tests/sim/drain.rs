//! A node hands its agents over to the next one: as `gateway::drain` carries `core::drain` out, with time
//! moved by hand. The next node runs beside it, with links of its own to the same servers, and the
//! balancer moves to it at some moment around the end of the notice.

use seawall::clock;
use seawall::core::drain::{AgentDrain, DrainPhase, DrainStep};
use seawall::ident::InstanceUid;

use crate::gateway::Gateway;
use crate::oracle::Cause;
use crate::status::{self, uid_bytes};
use crate::wires::{Key, State};
use crate::world::{Event, NodeKey, Time, World, agent_of};

/// How often a node that drains looks at what changes by itself.
const LOOK_AGAIN: Time = Time::from_millis(100);
/// How long links may take to write what waits on them.
const STOP_PATIENCE: Time = Time::from_secs(5);
/// `edge.ping_interval`: how often a silent connection is looked at.
const PING_INTERVAL: u64 = 30_000;
/// Longer than all phases of a drain beside the notice and the closing together.
const REST_OF_DRAIN: Time = Time::from_secs(16);

impl World {
    /// The serving node is told to hand its agents over, and another one starts.
    pub(crate) fn begin_drain(&mut self) {
        let Some(node) = self.serving.filter(|_| self.nodes.len() == 1 && self.starting == 0)
        else {
            return;
        };
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        gateway.drain.begin(clock::now());
        self.say(|| format!("node {node} drains"));
        self.starting += 1;
        let wait = self.random.ms(0, 2_000);
        self.after(wait, Event::NodeStarts);
        let notice = u64::try_from(self.plan.drain.notice.as_millis()).unwrap();
        let wait = self.random.ms(0, notice + 500);
        self.after(wait, Event::BalancerMoves);
        self.after(Time::ZERO, Event::DrainStep(node));
    }

    /// The balancer sends new connections to the newest node that serves.
    pub(crate) fn balancer_moves(&mut self) {
        self.elect();
        if self.serving.is_none_or(|node| self.nodes[&node].is_draining()) {
            self.after(LOOK_AGAIN, Event::BalancerMoves);
        }
    }

    /// Chooses the node that serves; while every node drains, the one that did before goes on.
    pub(crate) fn elect(&mut self) {
        let fresh = self.nodes.iter().rev().find(|(_, gateway)| !gateway.is_draining());
        let before = self.serving.filter(|node| self.nodes.contains_key(node));
        self.serving = fresh.map(|(node, _)| *node).or(before);
    }

    /// Does what the drain of a node says until it has to wait.
    pub(crate) fn drain_step(&mut self, node: NodeKey) {
        loop {
            let now = clock::now();
            let Some(gateway) = self.nodes.get_mut(&node) else { return };
            let left = gateway.left();
            match gateway.drain.next(now, left) {
                DrainStep::Wait(until) => {
                    let wait = until.saturating_duration_since(now).min(LOOK_AGAIN);
                    self.judge_drain(node);
                    return self.after(wait.max(Time::from_millis(1)), Event::DrainStep(node));
                }
                DrainStep::AssumeMoves => {
                    gateway.sessions.begin_drain();
                    self.oracle.drain_begins(node, self.now);
                }
                DrainStep::StopAccepting { .. } => self.stop_accepting(node),
                DrainStep::Census => {
                    let here = gateway.sessions.here(|| self.random.next());
                    gateway.drain.line_up(here, now);
                }
                DrainStep::Close { uid, patient } => self.close_agent(node, uid, patient),
                DrainStep::CloseAll => {
                    gateway.cut_channels();
                    gateway.sessions.stop();
                    self.say(|| format!("node {node} closes all that is left"));
                    self.settle(Cause::Timer);
                }
                DrainStep::ForgetMoved => {
                    self.oracle.drain_delivers(node);
                    gateway.sessions.forget_drained();
                    self.settle(Cause::Timer);
                }
                DrainStep::StopLinks => return self.stop_links(node),
                DrainStep::Over => return,
            }
        }
    }

    fn stop_accepting(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        gateway.stops_accepting = true;
        gateway.gate.close();
        self.oracle.drain_closes(node);
        gateway.sessions.forget_absent();
        let silent = gateway.silent();
        self.say(|| format!("node {node} accepts no more connections"));
        self.tick(node);
        for wire in silent {
            let wait = self.random.ms(0, PING_INTERVAL);
            self.after(wait, Event::Ping(wire));
        }
        self.settle(Cause::Timer);
    }

    fn close_agent(&mut self, node: NodeKey, uid: InstanceUid, patient: bool) {
        let now = clock::now();
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let outcome = gateway.sessions.drain_agent(uid, patient);
        gateway.drain.closed(outcome, now);
        if outcome == AgentDrain::Closing {
            let agent = agent_of(uid);
            self.say(|| format!("node {node} closes agent {agent}, patient: {patient}"));
            self.count_close(node);
            self.oracle.drain_closes_agent((node, agent), patient, self.now);
        }
        self.settle(Cause::Timer);
    }

    /// A connection was closed by the drain.
    pub(crate) fn count_close(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        if gateway.drain.phase() == DrainPhase::Closing {
            let rate = usize::try_from(gateway.drain.rate().get()).unwrap();
            self.oracle.drain_has_closed(node, rate, self.now);
        }
    }

    /// Every connection is gone in the time that the terms allow.
    fn judge_drain(&mut self, node: NodeKey) {
        let terms = self.plan.drain;
        self.oracle.drain_lasts(node, self.now, terms.notice + terms.time_max + REST_OF_DRAIN);
    }

    /// A WebSocket whose agent has yet to speak is looked at.
    pub(crate) fn ping(&mut self, wire: u64) {
        self.poll_task(wire, Cause::Timer);
        self.settle(Cause::Timer);
        if self.node_of(wire).is_some_and(|node| self.nodes[&node].silent().contains(&wire)) {
            self.after(Time::from_millis(PING_INTERVAL), Event::Ping(wire));
        }
    }

    /// Every link writes what waits on it and closes, and the process ends.
    fn stop_links(&mut self, node: NodeKey) {
        if self.plan.http && self.still_posts(node) {
            return self.after(LOOK_AGAIN, Event::DrainStep(node));
        }
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let keys: Vec<Key> = {
            let mut ends = gateway.wires.ends.lock();
            ends.links.values_mut().for_each(|link| link.state = State::Closing);
            ends.links.keys().copied().collect()
        };
        gateway.drain.links_stopped(clock::now());
        self.judge_goodbyes(node);
        self.say(|| format!("node {node} is drained"));
        for key in keys {
            let http = self.plan.http;
            let event = if http { Event::ChannelWakes(key) } else { Event::LinkWrites(key) };
            self.after(Time::ZERO, event);
        }
        self.after(STOP_PATIENCE, Event::NodeEnds(node));
    }

    /// Mode `http`: drops what still waits for a server that wants a pause, of agents that are elsewhere, as
    /// `upstream::stop`. Returns whether something can still be posted in time.
    fn still_posts(&mut self, node: NodeKey) -> bool {
        let Some(gateway) = self.nodes.get_mut(&node) else { return false };
        let since = *gateway.stops_since.get_or_insert(self.now);
        let until = since + STOP_PATIENCE;
        let wires = std::sync::Arc::clone(&gateway.wires);
        let (mut lost, mut posts) = (Vec::new(), false);
        let mut ends = wires.ends.lock();
        let ends = &mut *ends;
        for (key, link) in &mut ends.links {
            let server = usize::from(link.id.server.0);
            let pause = ends.servers[server].pace.paused();
            if pause.is_some() && since == self.now {
                let goodbye = |body: &Vec<u8>| status::decode(body).is_ok_and(|r| r.disconnects);
                let (stay, go) = link.take_all().into_iter().partition::<Vec<_>, _>(goodbye);
                stay.into_iter().for_each(|body| link.queue.push(body));
                lost.push((*key, server, go));
            }
            let in_vain = pause.is_some_and(|pause| self.now + pause >= until);
            posts |= !in_vain && link.state == State::Up && !link.queue.is_empty();
        }
        for (key, server, lost) in lost {
            self.oracle.queue_emptied(key);
            self.note_lost((node, server), &lost);
        }
        posts && self.now < until
    }

    /// What agents said as their last word has gone on, if their servers could take it. A node that holds still to the
    /// end may tell no server.
    fn judge_goodbyes(&mut self, node: NodeKey) {
        if self.is_still(node) {
            return;
        }
        for agent in 0..self.agents.len() {
            let uid = InstanceUid::from_bytes(uid_bytes(agent));
            let Some(gateway) = self.nodes.get(&node) else { return };
            let server = gateway.wires.ends.lock().place(uid);
            if self.is_well(server) {
                self.oracle.goodbye_is_passed_on((node, agent), server);
            }
        }
    }

    /// Whether a server has been well, and quick, for long enough to take anything that waited.
    fn is_well(&self, server: usize) -> bool {
        let pace = self.plan.pace;
        let quick = pace.most >= 20 && pace.in_flight >= 4 && pace.refusals < crate::plan::EVERY;
        let healthy = self.now >= self.unwell_until[server] + Time::from_secs(20);
        quick && healthy && self.servers[server].traits.late < 50
    }

    /// The process of a node that has drained ends.
    pub(crate) fn node_ends(&mut self, node: NodeKey) {
        if self.nodes.get(&node).is_some_and(Gateway::is_draining) {
            self.say(|| format!("node {node} ends"));
            self.node_vanishes(node);
            self.elect();
        }
    }
}
