//! Judges what the gateway does, knowing everything: what every agent said and heard, what every
//! server said and believes, and what was lost on the way. What the gateway itself believes is left out of it.
//!
//! Each rule has a file of its own. Where the gateway may rightly doubt that a server has something,
//! the oracle doubts too, from its own knowledge of what went wrong.

mod admission;
mod calm;
mod customs;
mod drain;
mod heartbeats;
mod news;
mod numbers;
mod offers;
mod posts;
mod presence;
mod replies;

use std::collections::BTreeMap;

use seawall::opamp::proto::ServerToAgent;
use seawall::sessions::params::SessionsParams;

use crate::gate::GatePlan;
use crate::links::LineKey;
use crate::plan::{Plan, STORE_BYTES};
use crate::probes::POLL_INTERVAL;
use crate::status::Report;
use crate::wires::node_of_key;
use crate::world::{NodeKey, Time};

pub(crate) use admission::Asked;
use admission::GateSeen;
use customs::Customs;
use drain::{DrainSeen, Handover};
use heartbeats::Heartbeats;
use news::{Mirror, Speaks};
use numbers::Numbers;
use offers::Offers;
pub(crate) use posts::Post;
use posts::Posts;
use presence::Presence;
use replies::Replies;

/// Why the gateway wrote to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// At once, when the agent spoke.
    Answer,
    /// Because it spoke, some time later.
    Heard,
    /// A server spoke.
    Server,
    /// Its permit came, or its link did.
    Permit,
    /// Time has passed.
    Timer,
}

/// A message that a node handed to a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) node: NodeKey,
    pub(crate) line: LineKey,
    pub(crate) server: usize,
    /// The server the agent belongs to now.
    pub(crate) place: usize,
    pub(crate) report: Report,
    pub(crate) at: Time,
}

/// What the oracle knows of an agent at one node.
#[derive(Debug, Default)]
struct Seen {
    presence: Presence,
    mirror: Mirror,
    numbers: Numbers,
    heartbeats: Heartbeats,
    offers: Offers,
    customs: Customs,
    /// The server that the last message went to.
    on: Option<usize>,
    /// The last number of the agent's that the gateway heard, and in which process.
    heard: Option<(u64, u32)>,
    /// What this node owes the agent's next one.
    handover: Handover,
    /// All that it said last was that it is alive.
    alive: bool,
    /// A new process's first messages were lost, and its number followed the old one's: what is missing
    /// shows nowhere.
    covert: bool,
}

/// What is true of an agent whichever node it is at.
#[derive(Debug, Default)]
struct Truth {
    /// Where each server was told of it last.
    told: BTreeMap<usize, Told>,
    /// The newest node that has heard it, and the newest that each server has heard of it from.
    newest: NodeKey,
    newest_at: BTreeMap<usize, NodeKey>,
    /// An older node has said something of it after a newer one. Each node knows its own part alone, so
    /// only the agent's next message mends it.
    overtaken: bool,
    /// An offer was lost with the reply to a request that the agent has given up: only luck brings it back.
    offer_lost: bool,
}

/// What was last sent to a server about an agent.
#[derive(Debug, Clone, Copy)]
struct Told {
    line: LineKey,
    /// It may be wrong by now, through a fault outside of the gateway.
    excused: bool,
    /// When the server last heard of it.
    heard_at: Time,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) violation: Option<String>,
    params: SessionsParams,
    alone: bool,
    /// What each node that has ever been can know of each agent.
    nodes: BTreeMap<NodeKey, Vec<Seen>>,
    agents: Vec<Truth>,
    conns: BTreeMap<(NodeKey, u64), Replies>,
    drains: BTreeMap<NodeKey, DrainSeen>,
    gates: BTreeMap<NodeKey, GateSeen>,
    gate: GatePlan,
    posts: Posts,
    /// Mode `http`: after this silence the server is asked on behalf of an agent.
    quiet_for: Option<Time>,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            violation: None,
            params: plan.params.clone(),
            alone: plan.servers.len() == 1,
            nodes: BTreeMap::new(),
            agents: plan.agents.iter().map(|_| Truth::default()).collect(),
            conns: BTreeMap::new(),
            drains: BTreeMap::new(),
            gates: BTreeMap::new(),
            gate: plan.gate.clone(),
            posts: Posts::default(),
            quiet_for: plan.http.then(|| POLL_INTERVAL / 2),
        }
    }

    /// A rule is broken. The first breach counts.
    pub(crate) fn fail(&mut self, rule: &str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(format!("{rule}: {}", what()));
        }
    }

    fn note(&mut self, agent: usize, found: Result<(), Fault>) {
        if let Err((rule, what)) = found {
            self.fail(rule, || format!("agent {agent}: {what}"));
        }
    }

    /// A node's process has started, with an empty table.
    pub(crate) fn node_started(&mut self, node: NodeKey) {
        self.nodes.insert(node, self.agents.iter().map(|_| Seen::default()).collect());
        let agents = self.agents.len();
        let crowded = self.params.sessions_max as usize <= agents;
        self.gates.insert(node, GateSeen::new(&self.gate, agents, crowded));
    }

    fn seen(&mut self, (node, agent): (NodeKey, usize)) -> &mut Seen {
        &mut self.nodes.get_mut(&node).expect("a node that has started")[agent]
    }

    /// A node is about to hear an agent on a WebSocket.
    pub(crate) fn heard(&mut self, heard: Heard<'_>, wire: u64, now: Time) {
        let Heard { report, node, place, .. } = heard;
        let at = (node, report.agent);
        self.moves(at, place);
        let anew = !self.seen(at).presence.is_on(wire);
        self.hear(heard, anew, now);
        self.seen(at).presence =
            if report.disconnects { Presence::Left } else { Presence::Connected(wire) };
        self.conns.entry((node, wire)).or_default().owe(now);
    }

    /// The same over plain HTTP.
    pub(crate) fn asked(&mut self, heard: Heard<'_>, now: Time) {
        let at = (heard.node, heard.report.agent);
        self.moves(at, heard.place);
        let anew = !matches!(self.seen(at).presence, Presence::Polling(_));
        self.hear(heard, anew, now);
        self.seen(at).presence = Presence::Polling(now);
    }

    /// A node looks at an agent that it has at this server now. What it knew of another is gone.
    pub(crate) fn moves(&mut self, at: (NodeKey, usize), place: usize) {
        let seen = self.seen(at);
        if seen.on.is_some_and(|on| on != place) {
            seen.mirror.begin(None);
        }
    }

    /// Another choice of servers is in use. An agent that speaks now may have to be introduced at another
    /// one, and if that fails before it is back at its own, it is introduced there.
    pub(crate) fn servers_change(&mut self, node: NodeKey) {
        let seen = self.nodes.get_mut(&node).into_iter().flatten();
        seen.for_each(|seen| seen.heartbeats.forget());
    }

    /// What both have in common. `anew`: over another connection than before.
    fn hear(&mut self, heard: Heard<'_>, anew: bool, now: Time) {
        let Heard { report, node, process, .. } = heard;
        let at = (node, report.agent);
        let params = self.params.clone();
        let draining = self.drains.contains_key(&at.0);
        let truth = &mut self.agents[report.agent];
        truth.newest = truth.newest.max(at.0);
        let seen = self.seen(at);
        let over = seen.presence.is_over(now, &params);
        if over && draining && seen.presence != Presence::Left {
            // A node that drains forgets it silently, if it has looked by now: what waits for the agent may
            // still reach it.
            let offers = std::mem::take(&mut seen.offers);
            seen.let_go();
            seen.offers = offers;
        }
        let seen = self.seen(at);
        seen.handover.heard();
        let last = seen.heard.map(|(number, _)| number);
        let jumps = last.is_some_and(|last| report.number != last + 1);
        if seen.heard.is_none_or(|(_, before)| before != process) {
            seen.covert = last.is_some() && (!jumps || last == Some(report.number));
            seen.offers.new_process(report.number <= 1 && jumps);
        }
        let new_process = jumps && report.number <= 1;
        let polls = matches!(seen.presence, Presence::Polling(_));
        if anew || polls {
            // Over plain HTTP the agent's next number says that it has the last answer.
            seen.offers.goes_on(polls && last == Some(report.number.wrapping_sub(1)));
        }
        seen.mirror.agent_speaks(report, Speaks { new_process, over });
        seen.offers.agent_speaks(over);
        seen.alive = report.is_heartbeat();
        let before = seen.heard.replace((report.number, process));
        if let Some(custom) = report.custom {
            let is_retry = before == Some((report.number, process));
            seen.customs.heard(custom, is_retry);
        }
    }

    /// The gateway has dealt with what it heard on a WebSocket.
    pub(crate) fn has_heard(&mut self, node: NodeKey, report: &Report) {
        let seen = self.seen((node, report.agent));
        let found = seen.offers.agent_is_there(report.disconnects);
        self.note(report.agent, found);
    }

    /// The gateway knows that a connection is over.
    pub(crate) fn lost(&mut self, at: (NodeKey, usize), wire: u64, now: Time) {
        self.conns.remove(&(at.0, wire));
        let draining = self.drains.contains_key(&at.0);
        let seen = self.seen(at);
        if !seen.presence.is_on(wire) {
            return;
        }
        seen.presence = Presence::Absent(now);
        seen.offers.goes_on(false);
        if draining {
            seen.let_go();
        }
    }

    /// A node hands a message to a link.
    pub(crate) fn sent(&mut self, sent: &Sent) {
        let agent = sent.report.agent;
        let (params, alone) = (self.params.clone(), self.alone);
        let every = params.heartbeat_forward_interval;
        let heartbeats_every = self.quiet_for.map_or(every, |quiet| every.min(quiet));
        let drains_since = self.drains.get(&sent.node).map(|drain| drain.begun);
        let truth = &mut self.agents[agent];
        truth.overtaken |= sent.node < truth.newest && !sent.report.disconnects;
        let presence = self.seen((sent.node, agent)).presence;
        let disconnects = sent.report.disconnects && sent.server == sent.place;
        if disconnects && self.keeps_away((sent.node, agent), presence, sent.at) {
            self.fail("R8", || format!("the session of agent {agent} ends, which is kept away"));
        }
        let excused_until =
            self.gates.get(&sent.node).map_or(Time::ZERO, |gate| gate.excused_until);
        let seen = self.seen((sent.node, agent));
        // An agent that is leaving, and has said everything, may leave before it is introduced to the
        // server that it has been moved to.
        let over = seen.presence.is_over(sent.at, &params)
            && (seen.presence == Presence::Left || sent.at >= excused_until)
            && seen.customs.first().is_none();
        let ended = sent.report.disconnects && (sent.server == sent.place || over);
        let found = [
            seen.numbers.sent(sent, alone),
            seen.presence.sent(sent, drains_since, &params),
            seen.handover.sent(sent),
            seen.heartbeats.sent(sent, heartbeats_every),
            seen.customs.sent(sent),
            seen.mirror.sent(sent, ended).or_else(|fault| {
                // Of a state that had to go from the store, a repeated report looks new.
                if params.store.bytes_max < STORE_BYTES { Ok(()) } else { Err(fault) }
            }),
        ];
        if !sent.report.disconnects {
            seen.on = Some(sent.server);
        }
        if ended {
            // The next is another session.
            seen.on = None;
            if sent.server == sent.place {
                seen.presence.told();
            }
            seen.offers.forget_kept();
        }
        let told = &mut self.agents[agent].told;
        let heard_at = told.get(&sent.server).map_or(Time::ZERO, |told| told.heard_at);
        told.insert(sent.server, Told { line: sent.line, excused: false, heard_at });
        for found in found {
            self.note(agent, found);
        }
    }

    /// A link refused a message of an agent's.
    pub(crate) fn refused(&mut self, at: (NodeKey, usize), server: usize, place: usize) {
        if server != place {
            let seen = self.seen(at);
            // The farewell to the server it came from: that one counts as left all the same.
            seen.numbers.forget();
            seen.mirror.begin(None);
            seen.heartbeats.forget();
            if let Some(told) = self.agents[at.1].told.get_mut(&server) {
                told.excused = true;
            }
        }
    }

    /// A message was lost with a link.
    pub(crate) fn lost_on_link(&mut self, node: NodeKey, server: usize, report: &Report) {
        self.seen((node, report.agent)).handover.arrived(server);
        self.refused_by_server(server, report);
    }

    /// A server refused a message: a goodbye is as good as lost.
    pub(crate) fn refused_by_server(&mut self, server: usize, report: &Report) {
        if report.disconnects
            && let Some(told) = self.agents[report.agent].told.get_mut(&server)
        {
            told.excused = true;
        }
    }

    /// The gateway is about to hear a server.
    pub(crate) fn server_said(&mut self, at: (NodeKey, usize), said: Said<'_>, now: Time) {
        let Said { server, message } = said;
        let params = self.params.clone();
        let seen = self.seen(at);
        if seen.on.is_some_and(|on| on != server) {
            // It has been moved away: the server where it is now decides.
            return;
        }
        if message.error_response.is_some() {
            // It may have been an introduction that was refused.
            seen.heartbeats.forget();
        }
        if matches!(seen.presence, Presence::Unknown | Presence::Left) {
            // The agent that it was for has left.
            return;
        }
        let over = seen.presence.is_over(now, &params);
        let kept = matches!(seen.presence, Presence::Absent(_)) && !over;
        seen.offers.offered(message, (kept, over), now);
        seen.mirror.server_said(message);
    }

    /// The gateway gives an agent something, on a WebSocket.
    pub(crate) fn given(&mut self, at: (NodeKey, usize), given: Given<'_>) {
        let Given { message, cause, wire } = given;
        let found = self.conns.entry((at.0, wire)).or_default().given(message, cause);
        self.note(at.1, found);
        self.given_content(at, message);
    }

    /// The same in reply to a request.
    pub(crate) fn given_in_reply(&mut self, at: (NodeKey, usize), message: &ServerToAgent) {
        self.given_content(at, message);
    }

    /// The gateway wants an agent to confirm what it was given.
    pub(crate) fn pinged(&mut self, at: (NodeKey, usize), wire: u64, payload: &[u8]) {
        if self.seen(at).presence.is_on(wire) {
            self.seen(at).offers.pinged(payload);
        }
    }

    /// The agent's answer to that is about to reach the gateway.
    pub(crate) fn ponged(&mut self, at: (NodeKey, usize), wire: u64, payload: &[u8]) {
        if self.seen(at).presence.is_on(wire) {
            self.seen(at).offers.ponged(payload);
        }
    }

    /// A reply was lost, and the agent has given its request up.
    pub(crate) fn reply_lost(&mut self, agent: usize, message: &ServerToAgent) {
        self.agents[agent].offer_lost |= message.remote_config.is_some();
    }

    fn given_content(&mut self, at: (NodeKey, usize), message: &ServerToAgent) {
        let agent = at.1;
        if message.remote_config.is_some() {
            self.agents[agent].offer_lost = false;
        }
        let found = self.seen(at).offers.given(agent, message);
        self.note(agent, found);
    }

    /// An agent gets something. `since`: its process's start.
    pub(crate) fn got(&mut self, at: (NodeKey, usize), since: Time, message: &ServerToAgent) {
        let found = self.seen(at).offers.got(since, message);
        self.note(at.1, found);
    }

    /// A server has taken a message in.
    pub(crate) fn at_server(
        &mut self,
        (node, server): (NodeKey, usize),
        report: &Report,
        now: Time,
    ) {
        self.seen((node, report.agent)).handover.arrived(server);
        let disconnects = report.disconnects && self.quiet_for.is_none();
        self.agents[report.agent].heard_by(server, node, disconnects);
        if let Some(told) = self.agents[report.agent].told.get_mut(&server) {
            told.heard_at = now;
        }
    }

    /// A node's process is dead, and all it knew.
    pub(crate) fn node_ended(&mut self, node: NodeKey) {
        self.conns.retain(|(its, _), _| *its != node);
        for truth in &mut self.agents {
            for told in truth.told.values_mut().filter(|told| node_of_key(told.line.0) == node) {
                told.excused = true;
            }
        }
    }

    /// Every agent gets its replies in time.
    pub(crate) fn replies_are_in_time(&mut self, now: Time) {
        let most = self.params.reply_wait + Time::from_millis(10);
        let waits = self.conns.iter().find(|(_, replies)| replies.waits_since(now) > most);
        if let Some(wire) = waits.map(|((_, wire), _)| *wire) {
            self.fail("R5", || format!("on {wire} a message has got no reply"));
        }
    }
}

/// An agent's message as a node hears it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) report: &'a Report,
    pub(crate) node: NodeKey,
    /// The server at which the node has the agent then.
    pub(crate) place: usize,
    /// Which process of the agent it comes from.
    pub(crate) process: u32,
}

/// A server's message for an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) server: usize,
    pub(crate) message: &'a ServerToAgent,
}

/// A message that a node gives an agent on a WebSocket, and why it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) message: &'a ServerToAgent,
    pub(crate) cause: Cause,
    pub(crate) wire: u64,
}

/// The rule, and how it is broken.
type Fault = (&'static str, String);
