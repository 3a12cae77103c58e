//! Mode `http`: probes of a server that fails, and polls on behalf of agents, as `upstream::http` carries
//! them out.

use std::sync::Arc;

use prost::Message;
use seawall::clock;
use seawall::core::http_mode::{
    Answered, HttpProbe, PollParts, PollSchedule, ProbeEvent, ProbeFacts, ProbeOutcome, ProbeStep,
};
use seawall::core::server::ServerEvent;
use seawall::ident::ServerId;
use seawall::sessions::Polled;

use crate::http::HttpFault;
use crate::links::Sender;
use crate::oracle::Cause;
use crate::status;
use crate::wires::{State, backoff_rule};
use crate::world::{Event, NodeKey, Time, World, agent_of};

/// `poll_interval` of a server.
pub(crate) const POLL_INTERVAL: Time = Time::from_secs(30);
/// Parts of the interval that are looked at for one event.
const PARTS_AT_ONCE: usize = 20;

/// What one server of mode `http` is to a node besides its channels.
#[derive(Debug)]
pub(crate) struct HttpServerEnd {
    probe: HttpProbe,
    /// Counts what the probe waits for.
    step: u32,
    parts: PollParts,
    schedule: PollSchedule,
}

impl HttpServerEnd {
    pub(crate) fn new() -> Self {
        let parts = PollParts::new(POLL_INTERVAL);
        Self {
            probe: HttpProbe::new(backoff_rule(), clock::now()),
            step: 0,
            parts,
            schedule: PollSchedule::new(parts, clock::now()),
        }
    }
}

impl World {
    /// A probe may be due. `step` 0: the server's health has changed.
    pub(crate) fn probe_due(&mut self, node: NodeKey, server: usize, step: u32) {
        let jitter = self.random.unit();
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let wires = Arc::clone(&gateway.wires);
        let Some(end) = gateway.http.get_mut(server) else { return };
        if step != 0 && step != end.step {
            return;
        }
        let mut event = ProbeEvent::Wake;
        loop {
            let facts = {
                let ends = wires.ends.lock();
                let one = &ends.servers[server];
                ProbeFacts {
                    healthy: !one.state.is_failing(),
                    holds_still: one.state.holds_still(),
                    pause: one.pace.paused(),
                    jitter,
                }
            };
            let Some(end) = self.nodes.get_mut(&node).and_then(|one| one.http.get_mut(server))
            else {
                return;
            };
            end.step += 1;
            let next = end.step;
            match end.probe.handle(event, facts, clock::now()) {
                ProbeStep::Wait(None) => return,
                ProbeStep::Wait(Some(until)) => {
                    let wait = until.saturating_duration_since(clock::now());
                    return self.after(
                        wait.max(Time::from_millis(1)),
                        Event::ProbeDue(node, server, next),
                    );
                }
                ProbeStep::Try(number) => {
                    event = ProbeEvent::Tried(self.probe(node, server, number));
                }
                ProbeStep::Served => {
                    self.server_event(node, server, ServerEvent::MessageServed);
                    event = ProbeEvent::Wake;
                }
            }
            self.settle(Cause::Server);
        }
    }

    /// One probe, in an instant.
    fn probe(&mut self, node: NodeKey, server: usize, number: usize) -> ProbeOutcome {
        let jitter = self.random.unit();
        let Some(gateway) = self.nodes.get(&node) else { return ProbeOutcome::BAD };
        let (wires, sessions) = (Arc::clone(&gateway.wires), Arc::clone(&gateway.sessions));
        if !self.servers[server].up {
            let event = ServerEvent::ProbeFailed { dial: Default::default(), jitter };
            self.server_event(node, server, event);
            return ProbeOutcome::BAD;
        }
        let (uid, key, route) = {
            let ends = wires.ends.lock();
            let Some(uid) = ends.servers[server].state.reporter(number) else {
                return ProbeOutcome::BAD;
            };
            let Some(key) = ends.link_of(server, uid) else { return ProbeOutcome::BAD };
            if ends.links[&key].state == State::Up {
                return ProbeOutcome::BAD;
            }
            (uid, key, ends.links[&key].route())
        };
        let id = ServerId(u16::try_from(server).unwrap());
        let Some(probe) = sessions.probe(uid, id) else { return ProbeOutcome::Good };
        let agent = agent_of(uid);
        self.say(|| format!("server {server} is probed for {agent}: {}", probe.introduces));
        let line = (key, route.incarnation.0);
        if probe.introduces {
            wires.ends.lock().servers[server].pace.sent(route.link.index);
            self.sent(line, uid, &probe.body);
        }
        let report = status::decode(&probe.body).expect("what has just been built");
        let answered = match self.servers[server].fault {
            Some(HttpFault::Status(status)) => Answered::Status { status, retry_after: None },
            Some(HttpFault::Silent) => Answered::Timeout,
            Some(HttpFault::Closes) => Answered::Lost,
            None => Answered::Message,
        };
        let outcome = ProbeOutcome::of(answered);
        let mut taken = false;
        if answered == Answered::Message {
            let message = self.server_hears(line, server, &report);
            if probe.introduces {
                let sender = Sender { node, server, route, owner: Some(agent) };
                taken = self.incoming(sender, &message.encode_to_vec());
            }
        }
        if probe.introduces && !taken {
            self.oracle.not_taken((node, agent), server, &report);
            let again = outcome != ProbeOutcome::Good;
            if let Some(answer) = sessions.not_taken(uid, route, again) {
                wires.ends.lock().servers[server].pace.answered(route.link.index, answer);
            }
        }
        outcome
    }

    /// The next parts of the interval have come: their agents are polled for.
    pub(crate) fn poll_due(&mut self, node: NodeKey, server: usize) {
        let now = clock::now();
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let (wires, sessions) = (Arc::clone(&gateway.wires), Arc::clone(&gateway.sessions));
        let Some(end) = gateway.http.get_mut(server) else { return };
        let parts = end.parts;
        let still = wires.ends.lock().servers[server].state.holds_still();
        let polled: Vec<_> = wires.ends.lock().servers[server].polled.iter().copied().collect();
        let mut next = now;
        for _ in 0..PARTS_AT_ONCE {
            let (part, at) = end.schedule.next(now);
            next = at;
            for uid in polled.iter().filter(|uid| !still && parts.part_of(**uid) == part) {
                let id = ServerId(u16::try_from(server).unwrap());
                if sessions.poll(*uid, id, parts.quiet_for()) == Polled::Away {
                    wires.ends.lock().servers[server].polled.remove(uid);
                }
            }
        }
        let wait = next.saturating_duration_since(now);
        self.after(wait, Event::PollDue(node, server));
        self.settle(Cause::Permit);
    }
}
