//! Judges what the gateway does, knowing everything: what every agent said and heard, what every
//! server said and believes, and what was lost on the way. It never asks the gateway.
//!
//! Each rule has a file of its own. Where the gateway may rightly doubt that a server has something,
//! the oracle doubts too, from its own knowledge of what went wrong.

mod beats;
mod calm;
mod customs;
mod news;
mod numbers;
mod offers;
mod presence;
mod replies;

use std::collections::BTreeMap;

use seawall::opamp::proto::ServerToAgent;
use seawall::sessions::params::SessionsParams;

use crate::links::LineKey;
use crate::plan::{Plan, STORE_BYTES};
use crate::status::Report;
use crate::world::Time;

use beats::Beats;
use customs::Customs;
use news::{Mirror, Speaks};
use numbers::Numbers;
use offers::Offers;
use presence::Presence;
use replies::Replies;

/// Why the gateway wrote to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// At once, when the agent spoke.
    Answer,
    /// Because it spoke, but not at once.
    Heard,
    /// A server spoke.
    Server,
    /// Its turn came, or its link did.
    Turn,
    /// Time has passed.
    Timer,
}

/// A message that the gateway handed to a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) line: LineKey,
    pub(crate) server: usize,
    /// The server the agent belongs to now.
    pub(crate) place: usize,
    pub(crate) report: Report,
    pub(crate) at: Time,
}

/// What the oracle keeps of an agent.
#[derive(Debug, Default)]
struct Seen {
    presence: Presence,
    mirror: Mirror,
    numbers: Numbers,
    beats: Beats,
    offers: Offers,
    customs: Customs,
    /// The server that the last message went to.
    on: Option<usize>,
    /// The last number of the agent's that the gateway heard, and in which process.
    heard: Option<(u64, u32)>,
    /// The last it said was that it is alive.
    alive: bool,
    /// A new process's first messages were lost, and its number followed the old one's: nobody can
    /// know what is missing.
    covert: bool,
    /// Where each server was told of it last.
    told: BTreeMap<usize, Told>,
}

/// What was last sent to a server about an agent.
#[derive(Debug, Clone, Copy)]
struct Told {
    line: LineKey,
    /// That it is wrong by now is nobody's fault.
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
    agents: Vec<Seen>,
    conns: BTreeMap<u64, Replies>,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            violation: None,
            params: plan.params.clone(),
            alone: plan.servers.len() == 1,
            agents: plan.agents.iter().map(|_| Seen::default()).collect(),
            conns: BTreeMap::new(),
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

    /// The gateway is about to hear an agent on a WebSocket.
    pub(crate) fn heard(
        &mut self,
        report: &Report,
        (wire, place): (u64, usize),
        process: u32,
        now: Time,
    ) {
        self.moves(report.agent, place);
        let anew = !self.agents[report.agent].presence.is_on(wire);
        self.hear(report, process, anew, now);
        self.agents[report.agent].presence = Presence::Connected(wire);
        if report.disconnects {
            self.agents[report.agent].presence = Presence::Left;
        }
        self.conns.entry(wire).or_default().owe(now);
    }

    /// The same over plain HTTP.
    pub(crate) fn asked(&mut self, report: &Report, place: usize, process: u32, now: Time) {
        self.moves(report.agent, place);
        let anew = !matches!(self.agents[report.agent].presence, Presence::Polling(_));
        self.hear(report, process, anew, now);
        self.agents[report.agent].presence = Presence::Polling(now);
    }

    /// The gateway looks at an agent that belongs to this server now. What it knew of another is gone.
    pub(crate) fn moves(&mut self, agent: usize, place: usize) {
        let seen = &mut self.agents[agent];
        if seen.on.is_some_and(|on| on != place) {
            seen.mirror.begin(None);
        }
    }

    /// Another choice of servers is in use. Whoever speaks now may have to be introduced at another
    /// one, and if that comes to nothing before it is back at its own, it is introduced there.
    pub(crate) fn servers_change(&mut self) {
        self.agents.iter_mut().for_each(|seen| seen.beats.forget());
    }

    fn hear(&mut self, report: &Report, process: u32, anew: bool, now: Time) {
        let params = self.params.clone();
        let seen = &mut self.agents[report.agent];
        let over = seen.presence.is_over(now, &params);
        let last = seen.heard.map(|(number, _)| number);
        let jumps = last.is_some_and(|last| report.number != last + 1);
        if seen.heard.is_none_or(|(_, before)| before != process) {
            seen.covert = last.is_some() && (!jumps || last == Some(report.number));
            seen.offers.new_process(report.number <= 1 && jumps);
        }
        let new_process = jumps && report.number <= 1;
        let doubtful = anew || last == Some(report.number);
        seen.mirror.agent_speaks(report, Speaks { new_process, doubtful, over }, now);
        seen.offers.agent_speaks(over);
        seen.alive = report.is_heartbeat();
        seen.heard = Some((report.number, process));
        if let Some(custom) = report.custom {
            seen.customs.heard(custom);
        }
    }

    /// The gateway has dealt with what it heard on a WebSocket.
    pub(crate) fn has_heard(&mut self, report: &Report, _: Time) {
        let found = self.agents[report.agent].offers.agent_is_there(report.disconnects);
        self.note(report.agent, found);
    }

    /// The gateway knows that a connection is over.
    pub(crate) fn lost(&mut self, agent: usize, wire: u64, now: Time) {
        self.conns.remove(&wire);
        let presence = &mut self.agents[agent].presence;
        if presence.is_on(wire) {
            *presence = Presence::Absent(now);
        }
    }

    /// The gateway hands a message to a link.
    pub(crate) fn sent(&mut self, sent: &Sent) {
        let agent = sent.report.agent;
        let (params, alone) = (self.params.clone(), self.alone);
        let seen = &mut self.agents[agent];
        // One that is leaving, and has no more to say, need not be introduced to the server it has been
        // moved to.
        let over = seen.presence.is_over(sent.at, &params) && seen.customs.first().is_none();
        let ended = sent.report.disconnects && (sent.server == sent.place || over);
        let found = [
            seen.numbers.sent(sent, alone),
            seen.presence.sent(sent, &params),
            seen.beats.sent(sent, params.heartbeat_forward_interval),
            seen.customs.sent(sent),
            seen.mirror.sent(sent, ended).or_else(|fault| {
                // Of a state that is not kept, what is reported anew cannot be known to be the same.
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
        let heard_at = seen.told.get(&sent.server).map_or(Time::ZERO, |told| told.heard_at);
        let told = Told { line: sent.line, excused: false, heard_at };
        seen.told.insert(sent.server, told);
        for found in found {
            self.note(agent, found);
        }
    }

    /// A link took no message of an agent's.
    pub(crate) fn refused(&mut self, agent: usize, server: usize, place: usize) {
        let seen = &mut self.agents[agent];
        if server != place {
            // The farewell to the server it came from: that one counts as left all the same.
            seen.numbers.forget();
            seen.mirror.begin(None);
            seen.beats.forget();
            if let Some(told) = seen.told.get_mut(&server) {
                told.excused = true;
            }
        }
    }

    /// A message was lost with a link.
    pub(crate) fn lost_on_link(&mut self, server: usize, report: &Report) {
        if report.disconnects
            && let Some(told) = self.agents[report.agent].told.get_mut(&server)
        {
            told.excused = true;
        }
    }

    /// The gateway is about to hear a server.
    pub(crate) fn server_said(
        &mut self,
        agent: usize,
        server: usize,
        message: &ServerToAgent,
        now: Time,
    ) {
        let seen = &mut self.agents[agent];
        if seen.on.is_some_and(|on| on != server) {
            // It has been moved away: the server where it is now decides.
            return;
        }
        if message.error_response.is_some() {
            // It may have been an introduction that was refused.
            seen.beats.forget();
        }
        if matches!(seen.presence, Presence::Unknown | Presence::Left) {
            // Nobody is there to hear it.
            return;
        }
        let kept = matches!(seen.presence, Presence::Absent(_))
            && !seen.presence.is_over(now, &self.params);
        seen.offers.offered(message, kept, now);
        seen.mirror.server_said(message);
    }

    /// The gateway gives an agent something, on a WebSocket.
    pub(crate) fn given(
        &mut self,
        (agent, wire): (usize, u64),
        message: &ServerToAgent,
        cause: Cause,
        now: Time,
    ) {
        let found = self.conns.entry(wire).or_default().given(message, cause);
        self.note(agent, found);
        self.given_content(agent, message, now);
    }

    /// The same in reply to a request.
    pub(crate) fn given_in_reply(
        &mut self,
        agent: usize,
        _: u64,
        message: &ServerToAgent,
        now: Time,
    ) {
        if message.capabilities != 0 {
            // What the server says of itself has waited for the agent as an offer does.
            self.agents[agent].mirror.content_given(now);
        }
        self.given_content(agent, message, now);
    }

    /// A reply was lost, and the agent does not ask again.
    pub(crate) fn reply_lost(&mut self, agent: usize, message: &ServerToAgent) {
        self.agents[agent].offers.reply_lost(message);
    }

    fn given_content(&mut self, agent: usize, message: &ServerToAgent, now: Time) {
        let seen = &mut self.agents[agent];
        if !replies::is_empty(message) {
            seen.mirror.content_given(now);
        }
        let found = seen.offers.given(agent, message);
        self.note(agent, found);
    }

    /// An agent gets something. `since`: its process's start.
    pub(crate) fn got(&mut self, agent: usize, _: u32, since: Time, message: &ServerToAgent) {
        let found = self.agents[agent].offers.got(since, message);
        self.note(agent, found);
    }

    /// A server has taken a message in.
    pub(crate) fn at_server(&mut self, server: usize, report: &Report, now: Time) {
        if let Some(told) = self.agents[report.agent].told.get_mut(&server) {
            told.heard_at = now;
        }
    }

    /// The gateway's process is dead, and all it knew.
    pub(crate) fn gateway_died(&mut self) {
        self.conns.clear();
        for seen in &mut self.agents {
            seen.presence = Presence::Unknown;
            seen.mirror.forget();
            seen.numbers.forget();
            seen.beats.forget();
            seen.offers.gateway_died();
            seen.customs.forget();
            (seen.heard, seen.covert, seen.on) = (None, false, None);
            for told in seen.told.values_mut() {
                told.excused = true;
            }
        }
    }

    /// No agent has waited longer for a reply than it may.
    pub(crate) fn nobody_waits(&mut self, now: Time) {
        let most = self.params.reply_wait + Time::from_millis(10);
        let waits = self.conns.iter().find(|(_, replies)| replies.waits_since(now) > most);
        if let Some(wire) = waits.map(|(wire, _)| *wire) {
            self.fail("R5", || format!("on {wire} a message has got no reply"));
        }
    }
}

/// The rule, and how it is broken.
type Fault = (&'static str, String);
