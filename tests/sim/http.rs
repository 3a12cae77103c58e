//! Mode `http`: drives the real `core::http_mode` as `src/upstream/http` does, with exchanges in place of
//! sockets. A server answers, refuses, asks for a pause, stays silent, or loses the connection before
//! or after it has taken the message.

use std::sync::Arc;

use prost::Message;
use seawall::clock;
use seawall::core::http_mode::{
    Answered, ChannelEffect, ChannelEvent, ChannelFacts, HttpChannel, Objection, is_withheld,
};
use seawall::core::server::{FailedDial, ServerEvent};
use seawall::opamp::agent::AgentScan;
use seawall::opamp::server::ServerScan;
use seawall::opamp::splice;

use crate::links::Sender;
use crate::oracle::{Cause, Post};
use crate::status::{self, Report};
use crate::wires::{Key, Link, State, Wires, backoff_rule, node_of_key};
use crate::world::{Event, Time, World, show};

/// How long a response may take: `upstream.ping_interval` and `ping_timeout`, shorter.
pub(crate) const TIMEOUT: Time = Time::from_secs(12);
/// How long a channel that came up waits for others before its agents are announced.
pub(crate) const GATHER: Time = seawall::core::http_mode::GATHER;

/// How a server that is up fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// It answers each message with this status.
    Status(u16),
    /// It reads each message and stays silent.
    Silent,
    /// It closes each connection at its first request.
    Closes,
}

impl HttpFault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Status(500),
        Self::Status(502),
        Self::Status(401),
        Self::Status(404),
        Self::Status(429),
        Self::Status(503),
        Self::Silent,
        Self::Closes,
    ];
}

/// A message under way.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) body: Vec<u8>,
    pub(crate) report: Report,
    /// What has come back.
    pub(crate) answered: Answered,
    pub(crate) response: Vec<u8>,
}

/// One channel: the machine, and what its task holds.
#[derive(Debug)]
pub(crate) struct ChannelEnd {
    machine: HttpChannel,
    /// Counts what the channel waits for, so that a timer of an earlier wait is recognised as stale.
    step: u32,
    /// It waits, and for what besides time.
    waits: Option<Waits>,
    pub(crate) post: Option<Exchange>,
    connected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Any { closable: bool },
    Dialled,
    Answered,
}

impl ChannelEnd {
    pub(crate) fn new() -> Self {
        let machine = HttpChannel::new(backoff_rule(), clock::now());
        Self { machine, step: 0, waits: None, post: None, connected: false }
    }

    fn wait(&mut self, waits: Waits) -> u32 {
        self.step += 1;
        self.waits = Some(waits);
        self.step
    }
}

impl World {
    fn wires_of(&self, key: Key) -> Option<Arc<Wires>> {
        Some(Arc::clone(&self.nodes.get(&node_of_key(key))?.wires))
    }

    fn channel_end(&mut self, key: Key) -> Option<&mut ChannelEnd> {
        self.nodes.get_mut(&node_of_key(key))?.channels.get_mut(&key)
    }

    /// Something has changed that a channel may wait for.
    pub(crate) fn wake_channel(&mut self, key: Key) {
        if self
            .channel_end(key)
            .is_some_and(|end| matches!(end.waits, None | Some(Waits::Any { .. })))
        {
            self.drive(key, ChannelEvent::Wake);
        }
    }

    /// A moment has come that a channel waited for.
    pub(crate) fn channel_due(&mut self, key: Key, step: u32) {
        if self.channel_end(key).is_some_and(|end| end.step == step) {
            self.wake_channel(key);
            self.settle(Cause::Permit);
        }
    }

    /// Has a channel do all that it can do now.
    pub(crate) fn drive(&mut self, key: Key, first: ChannelEvent) {
        let mut event = Some(first);
        while let Some(happened) = event.take() {
            let Some(facts) = self.channel_facts(key) else { return };
            let Some(end) = self.channel_end(key) else { return };
            end.waits = None;
            let effects = end.machine.handle(happened, facts, clock::now());
            event = Some(ChannelEvent::Wake);
            for effect in effects {
                match effect {
                    ChannelEffect::Wait { until, closable } => {
                        self.channel_waits(key, until, closable);
                        event = None;
                    }
                    ChannelEffect::Dial => {
                        let Some(end) = self.channel_end(key) else { return };
                        let step = end.wait(Waits::Dialled);
                        let delay = self.random.ms(1, 30);
                        self.after(delay, Event::ChannelDials(key, step));
                        event = None;
                    }
                    ChannelEffect::Post => {
                        event = self.post(key).then_some(ChannelEvent::NotPosted)
                    }
                    ChannelEffect::Deliver => {
                        let taken = self.deliver(key);
                        event = Some(ChannelEvent::Delivered { taken });
                    }
                    ChannelEffect::End => {
                        if let Some(gateway) = self.nodes.get_mut(&node_of_key(key)) {
                            gateway.channels.remove(&key);
                        }
                        return;
                    }
                    other => self.carry_out_effect(key, other),
                }
            }
        }
    }

    fn channel_facts(&mut self, key: Key) -> Option<ChannelFacts> {
        let jitter = self.random.unit();
        let wires = self.wires_of(key)?;
        let ends = wires.ends.lock();
        let link = ends.links.get(&key)?;
        let server = &ends.servers[usize::from(link.id.server.0)];
        Some(ChannelFacts {
            healthy: !server.state.is_failing(),
            released: link.state == State::Closing,
            holds_still: server.state.holds_still(),
            waiting: !link.queue.is_empty(),
            pause: server.pace.paused(),
            jitter,
        })
    }

    fn channel_waits(&mut self, key: Key, until: Option<std::time::Instant>, closable: bool) {
        let Some(end) = self.channel_end(key) else { return };
        let step = end.wait(Waits::Any { closable });
        if let Some(until) = until {
            let wait = until.saturating_duration_since(clock::now()).max(Time::from_millis(1));
            self.after(wait, Event::ChannelDue(key, step));
        }
    }

    /// A dial comes to something.
    pub(crate) fn channel_dials(&mut self, key: Key, step: u32) {
        let server = self.server_of(key);
        let up = self.servers[server].up;
        let Some(wires) = self.wires_of(key) else { return };
        let accepted = wires.ends.lock().links.get(&key).is_some_and(|l| l.state != State::Closing);
        let Some(end) = self.channel_end(key).filter(|end| end.step == step) else { return };
        end.connected = up;
        let event = if up { ChannelEvent::Dialled { accepted } } else { ChannelEvent::DialFailed };
        self.drive(key, event);
        self.settle(Cause::Permit);
    }

    /// Sends the first message of the queue. Returns whether the queue was empty or held it back.
    fn post(&mut self, key: Key) -> bool {
        let Some(wires) = self.wires_of(key) else { return true };
        let body = wires.ends.lock().links.get_mut(&key).and_then(|link| link.queue.take());
        let Some(body) = body else { return true };
        let report = status::decode(&body).expect("what was handed to a link has been decoded");
        let node = node_of_key(key);
        let Some(gateway) = self.nodes.get(&node) else { return true };
        let drained = gateway.sessions.is_drained_from(crate::world::uid_of(report.agent));
        if is_withheld(drained, report.disconnects) {
            self.oracle.queue_emptied(key);
            self.oracle.lost_on_link(node, self.server_of(key), &report);
            return true;
        }
        let server = self.server_of(key);
        let paused = self.servers[server].paused_until.get(&node).copied();
        let post = Post { report: &report, paused_until: paused };
        self.oracle.posts((node, key), post, self.now);
        self.say(|| format!("  posted on {key}: {}", show(&report)));
        let Some(end) = self.channel_end(key) else { return true };
        let step = end.wait(Waits::Answered);
        end.post =
            Some(Exchange { body, report, answered: Answered::Timeout, response: Vec::new() });
        let delay = self.random.ms(1, self.plan.away);
        self.after(delay, Event::PostArrives(key, step));
        self.after(TIMEOUT, Event::PostAnswered(key, step));
        false
    }

    /// A message arrives at its server, if that is up.
    pub(crate) fn post_arrives(&mut self, key: Key, step: u32) {
        let server = self.server_of(key);
        let stalled = self.servers[server].stalled_until;
        if self.now < stalled {
            return self.at(stalled, Event::PostArrives(key, step));
        }
        let incarnation = self.incarnation_of(key);
        let Some(end) = self.channel_end(key).filter(|end| end.step == step) else { return };
        let Some(report) = end.post.as_ref().map(|post| post.report) else { return };
        let fault = self.servers[server].fault;
        let late = self.random.percent(self.servers[server].traits.late);
        let delay = if late { self.random.ms(1_000, 6_000) } else { self.random.ms(1, 60) };
        let answered = match fault {
            _ if !self.servers[server].up => Some(Answered::Lost),
            Some(HttpFault::Silent) => None,
            Some(HttpFault::Closes) => Some(self.random.pick(&[Answered::Unsent, Answered::Lost])),
            Some(HttpFault::Status(status)) => Some(self.status(server, status)),
            None if self.servers[server].overloaded && self.random.percent(70) => {
                Some(self.status(server, 503))
            }
            None if self.refuses(&report) => {
                let status = self.random.pick(&[400, 413]);
                Some(Answered::Status { status, retry_after: None })
            }
            None => Some(Answered::Message),
        };
        let mut response = Vec::new();
        if answered == Some(Answered::Message) {
            let message = self.server_hears((key, incarnation), server, &report);
            response = message.encode_to_vec();
        }
        let Some(end) = self.channel_end(key) else { return };
        if let (Some(post), Some(answered)) = (&mut end.post, answered) {
            (post.answered, post.response) = (answered, response);
            self.after(delay, Event::PostAnswered(key, step));
        }
    }

    /// The message that a channel has under way, if its server has not heard it, and what the server has answered: a
    /// time-out while it has yet to arrive.
    pub(crate) fn unheard(&mut self, key: Key) -> Option<(Report, Answered)> {
        let end = self.channel_end(key).filter(|end| end.waits == Some(Waits::Answered))?;
        let post = end.post.take()?;
        post.response.is_empty().then_some((post.report, post.answered))
    }

    /// A server answers with a status; to some it adds when to come again.
    fn status(&mut self, _: usize, status: u16) -> Answered {
        let told = matches!(status, 429 | 503) && self.random.percent(50);
        let retry_after = told.then(|| Time::from_secs(self.random.below(5) + 1));
        Answered::Status { status, retry_after }
    }

    /// Whether the servers of this story refuse this message for what it says.
    fn refuses(&mut self, report: &Report) -> bool {
        !self.calm && self.plan.refuses && report.custom.is_some() && self.random.percent(30)
    }

    /// What came of a message is known to the gateway.
    pub(crate) fn post_answered(&mut self, key: Key, step: u32) {
        let Some(end) = self.channel_end(key).filter(|end| end.step == step) else { return };
        let Some(post) = end.post.clone() else { return };
        self.mark(&post.response);
        self.say(|| format!("channel {key} hears of #{}: {:?}", post.report.number, post.answered));
        let node = node_of_key(key);
        let server = self.server_of(key);
        if let Answered::Status { status: 429 | 503, retry_after } = post.answered {
            let pause = retry_after.unwrap_or(Time::from_secs(5));
            self.servers[server].paused_until.insert(node, self.now + pause);
        }
        self.oracle.post_answered((node, key), &post.report, post.answered);
        self.drive(key, ChannelEvent::Answered(post.answered));
        self.settle(Cause::Server);
    }

    /// The answer's message goes to its agent. Returns whether it was for it.
    fn deliver(&mut self, key: Key) -> bool {
        let server = self.server_of(key);
        let Some(end) = self.channel_end(key) else { return false };
        let Some(post) = end.post.clone() else { return false };
        let Some(wires) = self.wires_of(key) else { return false };
        let route = wires.ends.lock().links[&key].route();
        let owner = Some(post.report.agent);
        let sender = Sender { node: node_of_key(key), server, route, owner };
        self.incoming(sender, &post.response)
    }

    fn carry_out_effect(&mut self, key: Key, effect: ChannelEffect) {
        let Some(wires) = self.wires_of(key) else { return };
        let server = self.server_of(key);
        let node = node_of_key(key);
        match effect {
            ChannelEffect::Up => self.channel_up(key),
            ChannelEffect::Down => self.channel_down(key),
            ChannelEffect::Discard | ChannelEffect::Closed { .. } => {
                if let Some(end) = self.channel_end(key) {
                    end.connected = false;
                }
            }
            ChannelEffect::DialFailed { .. } => {
                self.unwell(server, self.now);
                let event = ServerEvent::DialFailed(FailedDial::default());
                self.server_event(node, server, event);
            }
            ChannelEffect::GiveUp => {
                let lost: Vec<Vec<u8>> = {
                    let mut ends = wires.ends.lock();
                    ends.links.get_mut(&key).map(Link::take_all).unwrap_or_default()
                };
                self.oracle.queue_emptied(key);
                self.note_lost((node, server), &lost);
            }
            ChannelEffect::Requeue => {
                let post = self.channel_end(key).and_then(|end| end.post.take());
                if let (Some(post), Some(link)) = (post, wires.ends.lock().links.get_mut(&key)) {
                    link.queue.put_back(post.body);
                }
            }
            ChannelEffect::ServerServed => {
                self.server_event(node, server, ServerEvent::MessageServed);
            }
            ChannelEffect::PauseServer(asked) => {
                self.unwell(server, self.now);
                self.server_event(node, server, ServerEvent::PauseAsked(asked));
            }
            other => self.judge_message(key, other),
        }
    }

    /// What follows from an answer for the message and its agent.
    fn judge_message(&mut self, key: Key, effect: ChannelEffect) {
        let (node, server) = (node_of_key(key), self.server_of(key));
        let Some(end) = self.channel_end(key) else { return };
        let Some(post) = end.post.clone() else { return };
        let (uid, agent) = (crate::world::uid_of(post.report.agent), post.report.agent);
        let Some(gateway) = self.nodes.get(&node) else { return };
        let (wires, sessions) = (Arc::clone(&gateway.wires), Arc::clone(&gateway.sessions));
        let (route, agents) = {
            let ends = wires.ends.lock();
            (ends.links[&key].route(), ends.servers[server].polled.len())
        };
        let answer = match effect {
            ChannelEffect::NotTaken { again } => {
                self.unwell(server, self.now);
                self.oracle.not_taken((node, agent), server, &post.report);
                sessions.not_taken(uid, route, again)
            }
            ChannelEffect::ServerFailed(_) => {
                return self.server_event(node, server, ServerEvent::MessageFailed { uid, agents });
            }
            ChannelEffect::Refuse { objection, .. } => {
                self.refuse_message(&post, objection, (node, server));
                let mut refusal = Vec::new();
                splice::bad_request(
                    Some(uid),
                    &objection.text(&"4xx", post.body.len()),
                    &mut refusal,
                );
                let scan = ServerScan::parse(&refusal).expect("what has just been built");
                let says = AgentScan::parse(&post.body).is_ok_and(|scan| !scan.is_heartbeat());
                sessions.refused(uid, route, &scan, says)
            }
            _ => None,
        };
        if let Some(answer) = answer {
            wires.ends.lock().servers[server].pace.answered(route.link.index, answer);
        }
    }

    fn refuse_message(&mut self, post: &Exchange, objection: Objection, at: (u32, usize)) {
        let agent = post.report.agent;
        self.say(|| {
            format!("server {} refuses #{} of {agent}: {objection:?}", at.1, post.report.number)
        });
        self.oracle.message_refused((at.0, agent), at.1, &post.report);
    }

    fn channel_up(&mut self, key: Key) {
        let (node, server) = (node_of_key(key), self.server_of(key));
        let Some(wires) = self.wires_of(key) else { return };
        let incarnation = {
            let mut ends = wires.ends.lock();
            let Some(link) = ends.links.get_mut(&key) else { return };
            link.state = State::Up;
            link.counted = true;
            link.incarnation
        };
        self.say(|| format!("channel {key} of server {server} is up, incarnation {incarnation}"));
        self.server_event(node, server, ServerEvent::LinkUp);
        self.after(GATHER, Event::Enqueue(key, incarnation));
    }

    fn channel_down(&mut self, key: Key) {
        let (node, server) = (node_of_key(key), self.server_of(key));
        self.unwell(server, self.now);
        let Some(wires) = self.wires_of(key) else { return };
        let (lost, counted) = {
            let mut ends = wires.ends.lock();
            let Some(link) = ends.links.get_mut(&key) else { return };
            let lost = link.take_all();
            link.incarnation += 1;
            if link.state == State::Up {
                link.state = State::Down;
            }
            let counted = std::mem::take(&mut link.counted);
            let index = link.id.index;
            if counted {
                ends.servers[server].pace.link_lost(index);
            }
            (lost, counted)
        };
        self.say(|| format!("channel {key} of server {server} is down"));
        self.oracle.queue_emptied(key);
        self.note_lost((node, server), &lost);
        if counted {
            self.server_event(node, server, ServerEvent::LinkLost);
        }
    }

    /// Breaks the connection of a channel: what is under way is lost before or after it was taken.
    pub(crate) fn break_channel(&mut self, key: Key) {
        let Some(end) = self.channel_end(key).filter(|end| end.connected) else { return };
        match end.waits {
            Some(Waits::Answered) => {
                let step = end.step;
                if let Some(post) = &mut end.post {
                    (post.answered, post.response) = (Answered::Lost, Vec::new());
                }
                self.after(Time::ZERO, Event::PostAnswered(key, step));
            }
            Some(Waits::Any { closable: true }) => {
                self.say(|| format!("the connection of channel {key} ends"));
                self.drive(key, ChannelEvent::ConnectionClosed);
                self.settle(Cause::Permit);
            }
            _ => {}
        }
    }

    /// The server's state learns of something, and what follows concerns all its channels.
    pub(crate) fn server_event(&mut self, node: u32, server: usize, event: ServerEvent) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        let wires = Arc::clone(&gateway.wires);
        let was = wires.ends.lock().servers[server].state.is_failing();
        let effects = wires.ends.lock().handle(server, event);
        let fails = wires.ends.lock().servers[server].state.is_failing();
        for effect in effects {
            self.follow_server(node, server, effect);
        }
        if was != fails {
            self.say(|| format!("server {server} fails at node {node}: {fails}"));
            self.unwell(server, self.now);
            for key in self.channels_of(node, server) {
                self.after(Time::ZERO, Event::ChannelWakes(key));
            }
            self.after(Time::ZERO, Event::ProbeDue(node, server, 0));
        }
    }

    /// The channels of one server at one node.
    pub(crate) fn channels_of(&self, node: u32, server: usize) -> Vec<Key> {
        let Some(gateway) = self.nodes.get(&node) else { return Vec::new() };
        let ends = gateway.wires.ends.lock();
        let its = |key: &&Key| usize::from(ends.links[key].id.server.0) == server;
        gateway.channels.keys().filter(its).copied().collect()
    }

    pub(crate) fn incarnation_of(&self, key: Key) -> u32 {
        let wires = self.wires_of(key);
        wires.and_then(|w| w.ends.lock().links.get(&key).map(|l| l.incarnation)).unwrap_or(0)
    }
}
