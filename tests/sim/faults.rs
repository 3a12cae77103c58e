//! What goes wrong, what servers do of their own accord, and the end of both.

use prost::Message;
use seawall::opamp::proto::ServerToAgent;

use crate::agents::Request;
use crate::gateway::Gateway;
use crate::http::HttpFault;
use crate::links::LineKey;
use crate::plan::{EVERY, Fault};
use crate::server;
use crate::wires::node_of_key;
use crate::world::{Event, NodeKey, Time, World};

/// How long a server stays unwell that is about to recover at some moment.
const UNKNOWN: Time = Time::from_secs(1_000_000);

impl World {
    /// Something of what the plan allows goes wrong.
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let most = u64::try_from(self.plan.fault_every.as_millis()).unwrap() * 2;
        let wait = self.random.ms(50, most);
        self.after(wait, Event::Fault);
        if self.plan.faults.is_empty() {
            return;
        }
        let fault = self.random.pick(&self.plan.faults);
        let agent = self.random.index(self.agents.len());
        let server = self.random.index(self.servers.len());
        match fault {
            Fault::AgentCut => self.cut_agent(agent),
            Fault::AgentAway => {
                let away = self.random.ms(1_000, 130_000);
                self.away_until[agent] = self.now + away;
                self.oracle.withdraws_everywhere(agent);
                self.say(|| format!("agent {agent} is away for {away:?}"));
                self.cut_agent(agent);
            }
            Fault::AgentCrash | Fault::AgentStop | Fault::AgentGone => self.end_agent(agent, fault),
            Fault::LinkCut if self.plan.http => {
                let channels: Vec<_> =
                    self.nodes.values().flat_map(|one| one.channels.keys().copied()).collect();
                if !channels.is_empty() {
                    let key = self.random.pick(&channels);
                    self.break_channel(key);
                }
            }
            Fault::LinkCut => {
                let open: Vec<_> =
                    self.lines.iter().filter(|(_, l)| l.gateway_end).map(|(k, _)| *k).collect();
                if !open.is_empty() {
                    let line = self.random.pick(&open);
                    self.cut_line(line, false);
                }
            }
            Fault::ServerKill => self.kill_server(server),
            Fault::Overload => {
                self.say(|| format!("server {server} is overloaded"));
                self.servers[server].overloaded = true;
                self.unwell(server, UNKNOWN);
                let wait = self.random.ms(500, 10_000);
                self.after(wait, Event::Recovers(server));
            }
            Fault::Stall => {
                let until = self.now + self.random.ms(500, 6_000);
                self.unwell(server, until);
                self.servers[server].stalled_until = until;
                let shared = self.lines.values_mut().filter(|line| line.owner.is_none());
                for line in shared.filter(|line| line.server == server) {
                    line.stalled_until = until;
                }
            }
            Fault::NodeKill => self.kill_node(),
            Fault::Drain => self.begin_drain(),
            Fault::Crowd => self.crowd(),
            Fault::HttpFails if self.plan.http => {
                let fault = self.random.pick(&HttpFault::ALL);
                self.say(|| format!("server {server} fails: {fault:?}"));
                self.servers[server].fault = Some(fault);
                self.unwell(server, UNKNOWN);
                let wait = self.random.ms(500, 60_000);
                self.after(wait, Event::HttpHeals(server));
            }
            Fault::HttpFails => {}
            Fault::HoldStill => self.hold_still(),
        }
    }

    fn end_agent(&mut self, agent: usize, fault: Fault) {
        if !self.agents[agent].running {
            return;
        }
        if fault == Fault::AgentStop || fault == Fault::AgentGone && self.random.percent(50) {
            self.say(|| format!("agent {agent} stops"));
            self.stop(agent);
        } else {
            self.crash(agent);
        }
        if fault == Fault::AgentGone && self.random.percent(70) {
            self.agents[agent].gone = true;
            return;
        }
        let wait = self.patience(100_000);
        self.after(wait, Event::Start(agent));
    }

    /// An agent's connection, or request, is cut in the middle of whatever is under way.
    fn cut_agent(&mut self, agent: usize) {
        if let Some(wire) = self.agents[agent].dialling.take() {
            self.applicant_goes(wire);
            let (process, wait) = (self.agents[agent].process, self.random.ms(0, 100));
            return self.after(wait, Event::Dial(agent, process));
        }
        let Some(wire) = self.agents[agent].wire else { return };
        self.applicant_goes(wire);
        let reachable = self.has_channel(agent);
        if let Some(request) = self.requests.get_mut(&wire) {
            if request.cut {
                return;
            }
            request.cut = true;
            let reply = request.reply.take().filter(|_| !self.agents[agent].kind.retries);
            if let Some(message) = reply.and_then(|reply| ServerToAgent::decode(&reply[..]).ok()) {
                self.oracle.reply_lost(agent, &message);
            }
            // Lost on its way, or its reply is.
            let lost = !request.arrived && (!reachable || self.random.percent(50));
            request.arrived |= lost;
            if request.arrived
                && let Some(gateway) = self.nodes.get_mut(&request.node)
            {
                gateway.drop_request(wire);
            }
            let wait = self.random.ms(100, 4_000);
            return self.after(wait, Event::Fails(wire));
        }
        let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.cut) else { return };
        conn.cut = true;
        conn.up.cut(&mut self.random);
        conn.down.cut(&mut self.random);
        let (up, down) = (conn.up.drained().max(self.now), conn.down.drained().max(self.now));
        self.say(|| format!("agent {agent} is cut off: {wire}"));
        let (here, there) = (self.patience(40_000), self.patience(15_000));
        self.at(up + here, Event::GatewayNotices(wire));
        self.at(down + there, Event::AgentNotices(wire));
    }

    fn kill_server(&mut self, server: usize) {
        if !self.servers[server].up {
            return;
        }
        self.say(|| format!("server {server} dies"));
        self.servers[server].kill();
        self.unwell(server, UNKNOWN);
        let lines: Vec<_> =
            self.lines.iter().filter(|(_, l)| l.server == server).map(|(key, _)| *key).collect();
        for line in lines {
            self.cut_line(line, true);
        }
        for node in self.live_nodes() {
            for key in self.channels_of(node, server) {
                self.break_channel(key);
            }
        }
        let wait = self.patience(70_000) + Time::from_millis(100);
        self.after(wait, Event::ServerStarts(server));
    }

    fn kill_node(&mut self) {
        let nodes = self.live_nodes();
        if nodes.is_empty() {
            return;
        }
        let node = self.random.pick(&nodes);
        self.say(|| format!("node {node} dies"));
        self.node_vanishes(node);
        if self.serving == Some(node) {
            self.elect();
        }
        if self.starting == 0 && self.nodes.values().all(Gateway::is_draining) {
            self.starting += 1;
            let wait = self.random.ms(100, 8_000);
            self.after(wait, Event::NodeStarts);
        }
    }

    /// A node's process ends, and its connections end with it.
    pub(crate) fn node_vanishes(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.remove(&node) else { return };
        self.oracle.node_ended(node);
        let lines: Vec<_> = self.lines.keys().copied().collect();
        for line in lines.into_iter().filter(|(key, _)| node_of_key(*key) == node) {
            self.cut_line(line, false);
        }
        gateway.die();
        self.applicants_vanish(node);
        for wire in self.conns.keys().copied().collect::<Vec<_>>() {
            let Some(conn) = self.conns.get_mut(&wire) else { continue };
            if conn.node != node || !conn.gateway_end {
                continue;
            }
            conn.gateway_end = false;
            let cut = std::mem::replace(&mut conn.cut, true);
            conn.up.lose();
            conn.down.cut(&mut self.random);
            let drained = conn.down.drained().max(self.now);
            self.forget_conn(wire);
            if !cut {
                let delay = self.random.ms(0, 500);
                self.at(drained + delay, Event::AgentNotices(wire));
            }
        }
        let mut failing = Vec::new();
        let its = |request: &Request| request.arrived && request.node == node && !request.cut;
        for (wire, request) in self.requests.iter_mut().filter(|(_, request)| its(request)) {
            request.cut = true;
            failing.push(*wire);
        }
        for wire in failing {
            let delay = self.random.ms(0, 500);
            self.after(delay, Event::Fails(wire));
        }
    }

    /// What servers do unasked: other configurations, custom messages, restarts.
    pub(crate) fn server_acts(&mut self) {
        if self.calm {
            return;
        }
        let wait = self.random.ms(100, 12_000);
        self.after(wait, Event::ServerActs);
        let server = self.random.index(self.servers.len());
        let present = self.servers[server].present();
        if present.is_empty() {
            return;
        }
        let (agent, line) = self.random.pick(&present);
        match self.random.below(10) {
            0..4 => self.desire(agent),
            4..8 => {
                let message = self.servers[server].push_custom();
                self.push(server, (agent, line), message);
            }
            _ => self.push(server, (agent, line), server::restart()),
        }
    }

    /// An agent is to have another configuration.
    fn desire(&mut self, agent: usize) {
        let all_push = self.servers.iter().all(|server| server.traits.counts);
        if !self.plan.http && !all_push && self.agents[agent].kind.heartbeat.is_none() {
            // Such a server offers in answers alone, and this agent may stay silent for good.
            return;
        }
        self.desired[agent] += 1;
        let desired = self.desired[agent];
        self.say(|| format!("agent {agent} is to have configuration {desired}"));
        for server in 0..self.servers.len() {
            let line = self.servers[server].records.get(&agent).map(|record| record.line);
            if self.plan.http {
                // Its next answer offers it.
                continue;
            }
            if let Some(line) = line.filter(|line| self.lines.contains_key(line))
                && let Some(message) = self.servers[server].push_offer(agent, desired)
            {
                self.push(server, (agent, line), message);
            }
        }
    }

    /// A server says something unasked.
    fn push(&mut self, server: usize, (agent, line): (usize, LineKey), message: ServerToAgent) {
        let one = &self.servers[server];
        if one.up && one.traits.counts && !self.plan.http {
            let message = one.address(message, agent, false);
            self.oracle.pushed((node_of_key(line.0), agent), self.now);
            let delay = self.random.ms(1, 60);
            self.server_says(line, &message, delay);
        }
    }

    /// From here on everything works, and every agent and server that has a way back takes it.
    pub(crate) fn become_calm(&mut self) {
        self.say(|| "calm".to_owned());
        self.calm = true;
        self.away_until.fill(self.now);
        for server in 0..self.servers.len() {
            self.servers[server].overloaded = false;
            self.servers[server].fault = None;
            self.servers[server].stalled_until = self.now;
            self.unwell_until[server] = self.now;
            if !self.servers[server].up {
                self.after(Time::from_secs(1), Event::ServerStarts(server));
            }
        }
        for line in self.lines.values_mut() {
            line.stalled_until = line.stalled_until.min(self.now);
        }
        if self.plan.pace.refusals < EVERY {
            self.plan.pace.refusals = 0;
        }
        for gateway in self.nodes.values() {
            for server in &mut gateway.wires.ends.lock().servers {
                server.pace.refusals = self.plan.pace.refusals;
            }
        }
        for node in self.live_nodes() {
            self.may_speak(node);
            self.crowd_leaves(node);
        }
        for agent in 0..self.agents.len() {
            self.after(Time::from_secs(1), Event::Start(agent));
            let one = &mut self.agents[agent];
            if one.running && one.kind.silent && self.random.percent(50) {
                one.change(&mut self.random);
                self.flush(agent);
            }
            let process = self.agents[agent].process;
            if !self.agents[agent].kind.polls {
                self.after(Time::ZERO, Event::Dial(agent, process));
            }
        }
    }
}
