//! What happens at the agents' side: processes, their connections and requests, what they say.

use seawall::ident::InstanceUid;
use seawall::opamp::proto::ServerToAgent;

use crate::agent::Channel;
use crate::gateway::HttpReply;
use crate::network::as_control;
use crate::oracle::{Cause, Heard};
use crate::status::{self, Report, uid_bytes};
use crate::world::{Event, NodeKey, Time, World, show, show_answer};

/// A plain-HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The node that it came to.
    pub(crate) node: NodeKey,
    pub(crate) agent: usize,
    pub(crate) process: u32,
    report: Report,
    bytes: Vec<u8>,
    pub(crate) reply: Option<Vec<u8>>,
    /// The node closes the connection with its reply.
    closes: bool,
    /// The request or its reply is lost.
    pub(crate) cut: bool,
    pub(crate) arrived: bool,
}

impl World {
    pub(crate) fn start_agent(&mut self, agent: usize) {
        let one = &mut self.agents[agent];
        if one.running || one.gone {
            return;
        }
        one.start(self.now, &mut self.random);
        let process = one.process;
        self.say(|| format!("agent {agent} starts, process {process}"));
        if self.agents[agent].kind.polls {
            self.flush(agent);
        } else {
            self.after(Time::ZERO, Event::Dial(agent, process));
        }
    }

    pub(crate) fn dial(&mut self, agent: usize, process: u32) {
        let one = &self.agents[agent];
        let busy = one.wire.is_some() || one.dialling.is_some();
        if !one.running || one.process != process || busy {
            return;
        }
        if self.now < self.away_until[agent] {
            return self.at(self.away_until[agent], Event::Dial(agent, process));
        }
        let wire = self.new_wire();
        self.agents[agent].dialling = Some(wire);
        if !self.arrive(agent, wire) {
            self.agents[agent].dialling = None;
            let wait = self.back_off(agent);
            self.after(wait, Event::Dial(agent, process));
        }
    }

    /// Half a second, more by half each time, with jitter, as opamp-go.
    pub(crate) fn back_off(&mut self, agent: usize) -> Time {
        let failures = &mut self.agents[agent].failures;
        *failures = (*failures + 1).min(6);
        let mean = 500.0 * 1.5_f64.powi(i32::try_from(*failures).unwrap());
        Time::from_secs_f64(mean / 1000.0).mul_f64(self.random.ms(500, 1500).as_secs_f64())
    }

    pub(crate) fn heartbeat_due(&mut self, agent: usize) {
        let one = &mut self.agents[agent];
        let Some(interval) = one.kind.heartbeat else { return };
        let can = one.running && one.wire.is_some() != one.kind.polls;
        let due = one.spoke_at + interval;
        if can && due <= self.now && one.has_spoken() {
            one.speak();
            self.flush(agent);
        }
        let next = self.agents[agent].spoke_at + interval;
        let next = if next > self.now { next } else { self.now + Time::from_secs(2) };
        self.at(next, Event::HeartbeatDue(agent));
    }

    /// The agent does something of its own accord.
    pub(crate) fn act(&mut self, agent: usize) {
        if self.calm {
            return;
        }
        if self.agents[agent].running {
            if self.random.percent(25) {
                self.agents[agent].custom();
            } else {
                self.agents[agent].change(&mut self.random);
            }
            self.flush(agent);
        }
        let most = u64::try_from(self.plan.act_every.as_millis()).unwrap() * 2;
        let wait = self.random.ms(50, most);
        self.after(wait, Event::Act(agent));
    }

    /// Says what there is to say, if there is a way.
    pub(crate) fn flush(&mut self, agent: usize) {
        if self.agents[agent].kind.polls {
            if self.agents[agent].wire.is_none()
                && let Some(report) = self.agents[agent].next_message()
            {
                let bytes = status::encode(&report, &mut self.random);
                self.request(agent, report, bytes);
            }
            return;
        }
        while let Some(wire) = self.agents[agent].wire
            && let Some(report) = self.agents[agent].next_message()
        {
            self.write(wire, &report);
        }
    }

    /// Writes to a WebSocket; in vain if it is cut.
    pub(crate) fn write(&mut self, wire: u64, report: &Report) {
        let bytes = status::encode(report, &mut self.random);
        self.mark(&bytes);
        self.agents[report.agent].spoke_at = self.now;
        let Some(conn) = self.conns.get(&wire) else { return };
        let lost = conn.cut;
        self.send_up(wire, bytes);
        let lost = if lost { ", in vain" } else { "" };
        self.say(|| format!("{} on {wire}{lost}", show(report)));
    }

    /// Writes to a connection, in vain if it is cut.
    fn send_up(&mut self, wire: u64, bytes: Vec<u8>) {
        let delay = self.random.ms(1, 80);
        let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.cut) else { return };
        let arrives = conn.up.put(bytes, self.now, delay);
        self.at(arrives, Event::ToGateway(wire));
    }

    pub(crate) fn reaches_gateway(&mut self, wire: u64) {
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        let agent = conn.agent;
        if !conn.gateway_end {
            return;
        }
        let Some(bytes) = conn.up.take(self.now) else { return };
        let (node, process) = (conn.node, conn.process);
        if let Some(ping) = as_control(&bytes) {
            let Some(gateway) = self.nodes.get_mut(&node) else { return };
            self.oracle.ponged((node, agent), wire, ping);
            gateway.ponged(wire, ping);
            return self.settle(Cause::Timer);
        }
        let place = self.place(node, agent);
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let report = status::decode(&bytes).expect("what an agent has written");
        self.oracle.heard(Heard { report: &report, node, place, process }, wire, self.now);
        match gateway.receive(wire, &bytes) {
            Ok(out) => {
                self.say(|| format!("node {node} hears {}", show(&report)));
                for message in out {
                    self.give(wire, message, Cause::Answer);
                }
                self.settle(Cause::Heard);
                self.oracle.has_heard(node, &report);
            }
            Err(why) => self.oracle.fail("R5", || format!("agent {agent} is refused: {why}")),
        }
    }

    /// The gateway finds out that a connection is over.
    pub(crate) fn gateway_notices(&mut self, wire: u64) {
        if self.conns.get(&wire).is_some_and(|conn| conn.gateway_end) {
            self.say(|| format!("the gateway notices the end of {wire}"));
            self.end_at_gateway(wire);
            self.settle(Cause::Timer);
        }
    }

    /// The gateway ends a connection. What it wrote before arrives.
    pub(crate) fn gateway_closes(&mut self, wire: u64) {
        self.say(|| format!("  the gateway closes {wire}"));
        self.end_at_gateway(wire);
        let Some(conn) = self.conns.get(&wire) else { return };
        let noticed = conn.down.drained().max(self.now) + self.random.ms(1, 50);
        if !conn.cut {
            self.at(noticed, Event::AgentNotices(wire));
        }
    }

    fn end_at_gateway(&mut self, wire: u64) {
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        conn.gateway_end = false;
        let (node, agent) = (conn.node, conn.agent);
        // Before it happens: what follows from it must be right already.
        self.oracle.lost((node, agent), wire, self.now);
        if let Some(gateway) = self.nodes.get_mut(&node) {
            gateway.close(wire);
        }
        self.forget_conn(wire);
    }

    pub(crate) fn forget_conn(&mut self, wire: u64) {
        if self.conns.get(&wire).is_some_and(|conn| !conn.agent_end && !conn.gateway_end) {
            self.conns.remove(&wire);
        }
    }

    /// The agent finds out that a connection is over.
    pub(crate) fn agent_notices(&mut self, wire: u64) {
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        if !conn.agent_end {
            return;
        }
        conn.agent_end = false;
        let (agent, process) = (conn.agent, conn.process);
        // What the gateway still writes is lost, and the gateway reads what the agent had written before.
        if conn.gateway_end && !conn.cut {
            let noticed = conn.up.drained().max(self.now);
            self.at(noticed, Event::GatewayNotices(wire));
        }
        self.forget_conn(wire);
        self.say(|| format!("agent {agent} notices the end of {wire}"));
        self.agents[agent].wire.take_if(|current| *current == wire);
        let delay = self.random.ms(0, 100);
        self.after(delay, Event::Dial(agent, process));
    }

    pub(crate) fn reaches_agent(&mut self, wire: u64) {
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        let (node, agent) = (conn.node, conn.agent);
        if !conn.agent_end || self.agents[agent].wire != Some(wire) {
            return;
        }
        let Some(bytes) = conn.down.take(self.now) else { return };
        if as_control(&bytes).is_some() {
            // It is answered by the library below the agent, at once and by the same bytes.
            return self.send_up(wire, bytes);
        }
        if let Some(message) = self.understand(&bytes) {
            self.agent_gets((node, agent), &message);
        }
    }

    fn agent_gets(&mut self, (node, agent): (NodeKey, usize), message: &ServerToAgent) {
        let one = &self.agents[agent];
        self.oracle.got((node, agent), one.since, message);
        self.say(|| format!("agent {agent} gets {}", show_answer(message)));
        if self.agents[agent].receive(message) {
            self.crash(agent);
            let wait = self.random.ms(100, 3_000);
            return self.after(wait, Event::Start(agent));
        }
        self.flush(agent);
    }

    fn request(&mut self, agent: usize, report: Report, bytes: Vec<u8>) {
        let wire = self.new_wire();
        let process = self.agents[agent].process;
        self.agents[agent].wire = Some(wire);
        self.agents[agent].spoke_at = self.now;
        self.mark(&bytes);
        self.say(|| format!("{} in request {wire}", show(&report)));
        let request = Request {
            node: 0,
            agent,
            process,
            report,
            bytes,
            reply: None,
            closes: false,
            cut: false,
            arrived: false,
        };
        self.requests.insert(wire, request);
        let delay = self.random.ms(1, 80);
        self.after(delay, Event::Asks(wire));
    }

    pub(crate) fn asks(&mut self, wire: u64) {
        let Some(agent) = self.requests.get(&wire).map(|request| request.agent) else { return };
        let Some(request) = self.requests.get(&wire).filter(|request| !request.arrived) else {
            return;
        };
        let cut = request.cut;
        if self.now < self.away_until[agent] {
            return self.after(Time::ZERO, Event::Fails(wire));
        }
        let Some(channel) = self.agents[agent].channel.filter(|_| self.has_channel(agent)) else {
            // The first request of a connection asks for admission.
            if !cut && !self.applicants.contains_key(&wire) && !self.arrive(agent, wire) {
                self.after(Time::ZERO, Event::Fails(wire));
            }
            return;
        };
        let node = channel.node;
        let Some(gateway) = self.nodes.get_mut(&node) else { return };
        let Some(request) = self.requests.get_mut(&wire) else { return };
        let place = gateway.wires.ends.lock().place(InstanceUid::from_bytes(uid_bytes(agent)));
        (request.arrived, request.node) = (true, node);
        let report = request.report;
        let heard = Heard { report: &report, node, place, process: request.process };
        self.oracle.asked(heard, self.now);
        let taken = gateway.request((wire, channel.id), &request.bytes);
        self.say(|| format!("node {node} is asked {wire}: {}", show(&report)));
        match taken {
            Ok(()) => self.settle(Cause::Heard),
            Err(why) => self.oracle.fail("R5", || format!("agent {agent} is refused: {why}")),
        }
    }

    /// Whether an agent's plain-HTTP connection is open at both ends.
    pub(crate) fn has_channel(&self, agent: usize) -> bool {
        let Some(Channel { node, id }) = self.agents[agent].channel else { return false };
        self.nodes.get(&node).is_some_and(|gateway| gateway.has_channel(id))
    }

    /// The node that takes new connections now.
    pub(crate) fn accepting(&self) -> Option<NodeKey> {
        self.serving.filter(|node| self.nodes.get(node).is_some_and(|one| !one.stops_accepting))
    }

    /// An agent's plain-HTTP connection is over.
    pub(crate) fn close_channel(&mut self, agent: usize) {
        if let Some(channel) = self.agents[agent].channel.take()
            && let Some(gateway) = self.nodes.get_mut(&channel.node)
        {
            gateway.close_channel(channel.id);
        }
    }

    /// A node answers a request.
    pub(crate) fn answer(&mut self, (node, wire): (NodeKey, u64), reply: HttpReply) {
        let HttpReply { bytes, closes } = reply;
        self.mark(&bytes);
        let Some(message) = self.understand(&bytes) else { return };
        let Some(request) = self.requests.get_mut(&wire) else { return };
        let agent = request.agent;
        request.closes = closes;
        self.oracle.given_in_reply((node, agent), &message);
        if closes {
            self.oracle.let_go((node, agent));
            self.count_close(node);
        }
        let Some(request) = self.requests.get_mut(&wire) else { return };
        if request.cut && !self.agents[agent].kind.retries {
            self.oracle.reply_lost(agent, &message);
        }
        if !request.cut {
            request.reply = Some(bytes);
            let delay = self.random.ms(1, 80);
            self.after(delay, Event::Answered(wire));
        }
        self.say(|| format!("  answered {wire}: {}", show_answer(&message)));
    }

    pub(crate) fn answered(&mut self, wire: u64) {
        if self.requests.get(&wire).is_none_or(|request| request.cut) {
            return;
        }
        let Some(request) = self.requests.remove(&wire) else { return };
        let (node, agent) = (request.node, request.agent);
        if request.closes || self.random.percent(10) {
            self.close_channel(agent);
        }
        self.agents[agent].wire = None;
        self.agents[agent].failures = 0;
        if let Some(message) = request.reply.and_then(|bytes| self.understand(&bytes)) {
            self.agent_gets((node, agent), &message);
        }
    }

    /// The agent's request has failed: it is made again, or given up.
    pub(crate) fn fails(&mut self, wire: u64) {
        let Some(request) = self.requests.get_mut(&wire) else { return };
        let agent = request.agent;
        request.cut = true;
        self.close_channel(agent);
        self.applicant_goes(wire);
        self.say(|| format!("request {wire} fails"));
        if self.agents[agent].kind.retries {
            let wait = self.back_off(agent);
            return self.after(wait, Event::Retries(wire));
        }
        self.requests.remove(&wire);
        self.agents[agent].wire = None;
        self.flush(agent);
    }

    pub(crate) fn retries(&mut self, wire: u64) {
        if let Some(request) = self.requests.remove(&wire) {
            self.request(request.agent, request.report, request.bytes);
        }
    }

    /// The process dies where it stands.
    pub(crate) fn crash(&mut self, agent: usize) {
        let wire = self.agents[agent].wire;
        self.agents[agent].stop();
        self.close_channel(agent);
        self.oracle.withdraws_everywhere(agent);
        let dialling = self.agents[agent].dialling.take();
        dialling.or(wire).into_iter().for_each(|wire| self.applicant_goes(wire));
        let Some(wire) = wire else { return };
        self.say(|| format!("agent {agent} dies"));
        if let Some(request) = self.requests.remove(&wire) {
            if request.arrived
                && let Some(gateway) = self.nodes.get_mut(&request.node)
            {
                gateway.drop_request(wire);
            }
            return;
        }
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        conn.agent_end = false;
        conn.up.cut(&mut self.random);
        conn.down.lose();
        let drained = conn.up.drained().max(self.now);
        let cut = std::mem::replace(&mut conn.cut, true);
        self.forget_conn(wire);
        if !cut {
            let delay = self.patience(40_000);
            self.at(drained + delay, Event::GatewayNotices(wire));
        }
    }

    /// The process ends in order, and says so if it can.
    pub(crate) fn stop(&mut self, agent: usize) {
        let wire = self.agents[agent].wire;
        let Some(wire) = wire.filter(|wire| self.conns.contains_key(wire)) else {
            return self.crash(agent);
        };
        let farewell = self.agents[agent].farewell();
        self.write(wire, &farewell);
        self.agents[agent].stop();
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        conn.agent_end = false;
        let drained = conn.up.drained().max(self.now);
        let cut = conn.cut;
        self.forget_conn(wire);
        if !cut {
            let delay = self.random.ms(0, 50);
            self.at(drained + delay, Event::GatewayNotices(wire));
        }
    }

    /// How long it takes to notice that a connection is over: mostly a moment, sometimes long.
    pub(crate) fn patience(&mut self, most: u64) -> Time {
        if self.random.percent(70) { self.random.ms(0, 200) } else { self.random.ms(200, most) }
    }
}
