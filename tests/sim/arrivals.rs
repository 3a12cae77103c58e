//! Agents at a node's admission: they arrive, wait, are refused, give up, obey or come early.
//!
//! An arrival is a WebSocket's dial or the first request of a plain-HTTP connection. Its number is that
//! of the WebSocket or the request that follows from it.

use seawall::core::admission::{
    AdmissionVerdict, Arrival, Capacity, Identity, ParkVerdict, Refusal,
};

use crate::agent::Channel;
use crate::network::Conn;
use crate::oracle::Asked;
use crate::world::{Event, NodeKey, Time, World, uid_of};

/// `edge::listen::measure`, somewhat slower.
pub(crate) const OBSERVE_EVERY: Time = Time::from_millis(500);
/// How soon the kernel offers a connection again that the node has yet to accept.
const ACCEPT_AGAIN: Time = Time::from_millis(200);

/// An agent that asks to be admitted.
#[derive(Debug)]
pub(crate) struct Applicant {
    pub(crate) agent: usize,
    process: u32,
    pub(crate) node: NodeKey,
    /// The node has accepted the connection and decides.
    accepted: bool,
    /// The answer, which may be held.
    refusal: Option<Refusal>,
    /// See `Arrival`.
    needs_no_place: bool,
    /// The agent has gone, and the node has yet to notice.
    gone: bool,
}

impl World {
    /// An agent's connection reaches the serving node. `false`: every node refuses it.
    pub(crate) fn arrive(&mut self, agent: usize, wire: u64) -> bool {
        let Some(node) = self.accepting() else { return false };
        let process = self.agents[agent].process;
        let applicant = Applicant {
            agent,
            process,
            node,
            accepted: false,
            refusal: None,
            needs_no_place: false,
            gone: false,
        };
        self.applicants.insert(wire, applicant);
        let patience = self.agents[agent].kind.patience;
        self.after(patience, Event::GivesUp(wire));
        self.accept(wire);
        true
    }

    /// The node accepts a connection, if it has one left, and asks admission.
    pub(crate) fn accept(&mut self, wire: u64) {
        let Some(applicant) = self.applicants.get(&wire).filter(|one| !one.accepted) else {
            return;
        };
        let (agent, node, gone) = (applicant.agent, applicant.node, applicant.gone);
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gone {
            self.applicants.remove(&wire);
            return;
        }
        if gateway.stops_accepting {
            return self.turned_away(wire);
        }
        if !gateway.accepts() {
            return self.after(ACCEPT_AGAIN, Event::Accept(wire));
        }
        gateway.open_channel(wire);
        let kind = &self.agents[agent].kind;
        let needs_no_place =
            if kind.shows_uid { gateway.sessions.has(uid_of(agent)) } else { kind.polls };
        if let Some(applicant) = self.applicants.get_mut(&wire) {
            (applicant.accepted, applicant.needs_no_place) = (true, needs_no_place);
        }
        self.tick(node);
        let kind = &self.agents[agent].kind;
        let identity = kind.shows_uid.then(|| Identity::new(agent as u64 + 1));
        let over_share = self.random.percent(self.plan.gate.over_share);
        let arrival = Arrival { over_share, identity, needs_no_place, ..Arrival::default() };
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let capacity = gateway.capacity();
        let asked = Asked { node, agent, obeys: kind.obeys, known: identity.is_some() };
        let verdict = gateway.gate.arrive(wire, arrival, capacity);
        self.oracle.applies(asked, self.now);
        match verdict {
            AdmissionVerdict::Admit | AdmissionVerdict::Pass(_) => self.admitted(wire, capacity),
            AdmissionVerdict::Park { .. } => {
                self.say(|| format!("agent {agent} is parked at node {node}: {wire}"));
                self.oracle.is_parked(asked, self.now);
                self.tick_later(node);
            }
            AdmissionVerdict::Refuse(refusal) => self.refuse(wire, refusal),
        }
    }

    /// The probe ticks: parked arrivals are decided.
    pub(crate) fn tick(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let capacity = gateway.capacity();
        for (wire, verdict) in gateway.gate.tick(capacity) {
            let Some(wire) = wire else {
                return self.oracle.fail("admission", || {
                    format!("node {node} decides on an agent that has gone: {verdict:?}")
                });
            };
            match verdict {
                ParkVerdict::Admit | ParkVerdict::Pass => {
                    self.admitted(wire, Capacity { free: usize::MAX, ..capacity })
                }
                ParkVerdict::Refuse(refusal) => self.refuse(wire, refusal),
            }
        }
    }

    /// The tick that was due for the arrivals that wait.
    pub(crate) fn tick_due(&mut self, node: NodeKey) {
        let now = self.now;
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gateway.gate.tick_due.take_if(|due| *due == now).is_some() {
            self.tick(node);
            self.tick_later(node);
        }
    }

    fn tick_later(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gateway.gate.tick_due.is_none() && gateway.gate.parked() > 0 {
            let due = self.now + gateway.gate.tick_interval();
            gateway.gate.tick_due = Some(due);
            self.at(due, Event::Tick(node));
        }
    }

    /// A node looks how its admission stands, and excuses absences.
    pub(crate) fn observe(&mut self) {
        self.after(OBSERVE_EVERY, Event::Observe);
        for node in self.live_nodes() {
            self.tick(node);
            let Some(gateway) = self.nodes.get_mut(&node) else { continue };
            let connected = u64::try_from(gateway.sessions.count().0).unwrap_or(0);
            let status = gateway.gate.observe(connected);
            if let Some(until) = status.expected_until {
                gateway.sessions.excuse_absence(until);
                self.oracle.absences_excused(node, until.saturating_duration_since(self.start));
            }
            let (parked, held) = (gateway.gate.parked(), gateway.gate.held);
            if (status.parked, status.held) != (parked, held) {
                self.oracle.fail("admission", || {
                    format!("{parked} are parked and {held} held, not {status:?}")
                });
            }
            let waits = self.applicants.values().filter(|one| one.node == node && one.accepted);
            if waits.count() != parked + held {
                self.oracle.fail("admission", || format!("an arrival at node {node} has no end"));
            }
            self.oracle.obedient_get_in(node, self.now);
        }
    }

    /// An arrival is admitted: an agent that is there is served.
    fn admitted(&mut self, wire: u64, capacity: Capacity) {
        let Some(applicant) = self.applicants.remove(&wire) else { return };
        let Applicant { agent, process, node, gone, needs_no_place, .. } = applicant;
        let sessions_full = capacity.sessions_full && !needs_no_place;
        let capacity = Capacity { sessions_full, ..capacity };
        self.say(|| format!("agent {agent} is admitted to node {node}: {wire}"));
        self.oracle.is_admitted((node, agent), capacity, self.now);
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        if gone {
            return gateway.close_channel(wire);
        }
        self.agents[agent].dialling = None;
        if self.agents[agent].kind.polls {
            self.agents[agent].channel = Some(Channel { node, id: wire });
            return self.asks(wire);
        }
        gateway.accept(wire);
        self.conns.insert(wire, Conn::new(node, agent, process));
        self.agents[agent].connected(wire);
        self.flush(agent);
    }

    /// An arrival is refused: at once, or after the hold.
    fn refuse(&mut self, wire: u64, refusal: Refusal) {
        let Some(applicant) = self.applicants.get_mut(&wire) else { return };
        let (agent, node) = (applicant.agent, applicant.node);
        self.say(|| format!("agent {agent} is refused by node {node}: {wire} {refusal:?}"));
        let kind = &self.agents[agent].kind;
        let asked = Asked { node, agent, obeys: kind.obeys, known: kind.shows_uid };
        self.oracle.is_refused(asked, &refusal, self.now);
        if let Some(applicant) = self.applicants.get_mut(&wire) {
            applicant.refusal = Some(refusal);
        }
        if refusal.hold.is_zero() {
            return self.refusal_is_sent(wire);
        }
        self.after(refusal.hold, Event::HoldEnds(wire));
    }

    /// A refusal is sent now, its hold being over. An agent that obeys waits for the moment it is told,
    /// by a clock that may go wrong.
    pub(crate) fn refusal_is_sent(&mut self, wire: u64) {
        let Some(applicant) = self.forget_applicant(wire) else { return };
        let Some(refusal) = applicant.refusal.filter(|_| !applicant.gone) else { return };
        let (agent, process) = (applicant.agent, applicant.process);
        let kind = &self.agents[agent].kind;
        let (obeys, polls) = (kind.obeys, kind.polls);
        let told = refusal.retry_after.mul_f64(f64::from(kind.clock_percent) / 100.0);
        let wait = self.back_off(agent).max(if obeys { told } else { Time::ZERO });
        let travels = self.random.ms(1, 80);
        if !polls {
            self.agents[agent].dialling = None;
            self.after(travels + wait, Event::Dial(agent, process));
        } else if obeys {
            self.after(travels + wait, Event::Retries(wire));
        } else {
            self.after(travels, Event::Fails(wire));
        }
    }

    /// Takes an arrival off the node's books.
    fn forget_applicant(&mut self, wire: u64) -> Option<Applicant> {
        let applicant = self.applicants.remove(&wire)?;
        let at = (applicant.node, applicant.agent);
        let Some(gateway) = self.nodes.get_mut(&applicant.node) else { return Some(applicant) };
        if gateway.gate.is_parked(wire) {
            gateway.gate.leave(wire);
            self.oracle.leaves_park(at);
        } else if applicant.refusal.is_some_and(|refusal| !refusal.hold.is_zero()) {
            gateway.gate.hold_ended();
        }
        gateway.close_channel(wire);
        Some(applicant)
    }

    /// An agent goes away while it waits; the node notices a little later.
    pub(crate) fn applicant_goes(&mut self, wire: u64) {
        let Some(applicant) = self.applicants.get_mut(&wire).filter(|one| !one.gone) else {
            return;
        };
        applicant.gone = true;
        let at = (applicant.node, applicant.agent);
        self.oracle.withdraws(at);
        let delay = self.random.ms(0, 200);
        self.after(delay, Event::ApplicantGone(wire));
    }

    /// The node notices that an agent that waits has gone.
    pub(crate) fn applicant_gone(&mut self, wire: u64) {
        if let Some(applicant) = self.forget_applicant(wire) {
            self.say(|| format!("agent {} has gone while it waited: {wire}", applicant.agent));
        }
    }

    /// An agent has waited for as long as it does.
    pub(crate) fn gives_up(&mut self, wire: u64) {
        let Some(applicant) = self.applicants.get(&wire).filter(|one| !one.gone) else { return };
        let (agent, process) = (applicant.agent, applicant.process);
        self.say(|| format!("agent {agent} gives up waiting: {wire}"));
        self.applicant_goes(wire);
        self.arrival_fails(wire, agent, process);
    }

    /// A node has closed its listeners: the connection is refused.
    fn turned_away(&mut self, wire: u64) {
        if let Some(applicant) = self.applicants.remove(&wire) {
            self.arrival_fails(wire, applicant.agent, applicant.process);
        }
    }

    /// An arrival has failed before it got an answer.
    fn arrival_fails(&mut self, wire: u64, agent: usize, process: u32) {
        if self.agents[agent].kind.polls {
            return self.after(Time::ZERO, Event::Fails(wire));
        }
        if self.agents[agent].dialling.take_if(|its| *its == wire).is_some() {
            let wait = self.back_off(agent);
            self.after(wait, Event::Dial(agent, process));
        }
    }

    /// A node's process is dead, and its arrivals with it.
    pub(crate) fn applicants_vanish(&mut self, node: NodeKey) {
        let its = |one: &Applicant| one.node == node;
        let wires: Vec<u64> =
            self.applicants.iter().filter(|(_, one)| its(one)).map(|(wire, _)| *wire).collect();
        for wire in wires {
            self.turned_away(wire);
        }
    }

    /// Clients outside of the story take the connections of a node.
    pub(crate) fn crowd(&mut self) {
        let Some(node) = self.serving else { return };
        let (but, clients) = (self.random.index(4), self.random.index(30));
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        gateway.crowd(but);
        gateway.gate.storm(clients);
        self.say(|| format!("node {node} is crowded by {clients} but for {but}"));
        self.oracle.disturbed(node, self.now);
        let wait = self.random.ms(1_000, 15_000);
        self.after(wait, Event::CrowdLeaves(node));
    }

    pub(crate) fn crowd_leaves(&mut self, node: NodeKey) {
        if let Some(gateway) = self.nodes.get_mut(&node) {
            gateway.gate.crowd = 0;
        }
        self.oracle.disturbed(node, self.now);
    }
}
