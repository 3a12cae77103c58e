//! The session behind a home, as simple as it can be: it follows numbers, stores parts by their digests, asks for the
//! full state after a gap, answers each message once, and makes offers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prost::Message;
use seawall::core::attachment::SessionCall;
use seawall::core::node_link::{AgentConnection, AgentReport};
use seawall::opamp::digest::Digest;
use seawall::opamp::proto::{AgentRemoteConfig, AgentToServer, ServerToAgent, ServerToAgentFlags};
use seawall::opamp::{AgentScan, FieldSet, agent_field};

use super::agent::DESCRIBED;

/// How long the agent has to answer a question.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What a session wants to happen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// One reply, now or later, by chance.
    Reply,
    /// The state is in doubt: it was asked for.
    Gap(&'static str),
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimSession {
    pub(super) number: Option<u64>,
    parts: BTreeMap<u32, (Digest, Vec<u8>)>,
    wanted: bool,
    asked: Option<Instant>,
    /// Custom messages, in the order in which they were taken.
    pub(super) customs: Vec<u64>,
    pub(super) customs_on_connection: usize,
    /// The number of the last message that was taken on this connection.
    pub(super) on_connection: Option<u64>,
    /// Counts connections: replies to messages of an earlier one are owed no more.
    pub(super) generation: u64,
    pub(super) attached: bool,
    /// The present connection is a request: its answer is all that it takes.
    is_request: bool,
    /// The latest offer.
    pub(super) offer: Option<u64>,
    greeted: bool,
}

impl SimSession {
    /// What a message must carry: what travelled as a digest alone and is not stored.
    pub(super) fn needs(&self, report: &AgentReport<'_>, secret: u64) -> FieldSet {
        let Some(digests) = report.digests else { return FieldSet::EMPTY };
        let carried = AgentScan::parse(report.fields).unwrap().present;
        let mut needs = FieldSet::EMPTY;
        for (number, digest) in digests.iter() {
            let known = digests.secret() == secret
                && self.parts.get(&number).is_some_and(|(known, _)| *known == digest);
            if !known && !carried.contains(number) && !report.gone.contains(number) {
                needs.insert(number);
            }
        }
        needs
    }

    pub(super) fn call(&mut self, call: &SessionCall<'_>, secret: u64) -> Vec<Wish> {
        match call {
            SessionCall::Open { gap, newcomer } => {
                self.attached = true;
                self.is_request = newcomer.transport == AgentConnection::PlainHttp;
                self.greeted = false;
                self.generation += 1;
                self.on_connection = None;
                self.customs_on_connection = 0;
                if self.wanted {
                    self.asked = None;
                }
                if *gap { self.gap("messages before the attachment are lost") } else { Vec::new() }
            }
            SessionCall::Message(report) => self.message(report, secret),
            SessionCall::Heartbeats(last) => {
                let wishes = match self.number {
                    None => self.gap("heartbeats of an unknown agent"),
                    Some(_) => Vec::new(),
                };
                if self.number.is_none_or(|number| number < last.0) {
                    self.number = Some(last.0);
                }
                wishes
            }
            SessionCall::Missed => self.gap("something is lost"),
            SessionCall::Lost { .. } => {
                self.attached = false;
                self.generation += 1;
                Vec::new()
            }
            SessionCall::Heard | SessionCall::Confirmed(_) | SessionCall::ReplyOverdue => {
                Vec::new()
            }
        }
    }

    fn gap(&mut self, why: &'static str) -> Vec<Wish> {
        self.wanted = true;
        vec![Wish::Gap(why)]
    }

    fn message(&mut self, report: &AgentReport<'_>, secret: u64) -> Vec<Wish> {
        let number = report.sequence_num.0;
        let mut wishes = vec![Wish::Reply];
        let full = report.present.contains(agent_field::AGENT_DESCRIPTION);
        match self.number.replace(number) {
            Some(last) if number == last + 1 => {}
            // A new process whose first messages are lost: its front says so, or has yet to.
            Some(last) if number == last && number > 0 => {}
            Some(_) | None if number == 0 => {
                // What the old process said is past; what this message repeats by its digest is not.
                self.parts.retain(|part, _| report.present.contains(*part));
                if !full {
                    wishes.extend(self.gap("a new process"));
                }
            }
            None => wishes.extend(self.gap("an unknown agent")),
            Some(_) => wishes.extend(self.gap("its number jumped")),
        }
        if self.on_connection.is_some_and(|last| last >= number) {
            panic!("message {number} was taken after {:?}", self.on_connection);
        }
        self.on_connection = Some(number);
        if self.store(report, secret) {
            wishes.extend(self.gap("a part was given up"));
        } else if full {
            self.wanted = false;
            self.asked = None;
        }
        let said = AgentToServer::decode(report.fields).unwrap();
        if let Some(custom) = said.custom_message {
            self.customs.push(custom.r#type.parse().unwrap());
            self.customs_on_connection += 1;
        }
        wishes
    }

    /// Stores the parts of a report. `true`: one of them is unknown.
    fn store(&mut self, report: &AgentReport<'_>, secret: u64) -> bool {
        let Some(digests) = report.digests else { return false };
        let whole = AgentScan::parse(report.fields).unwrap();
        let mut unknown = false;
        for (number, digest) in digests.iter() {
            let known = self.parts.get(&number).is_some_and(|(known, _)| *known == digest);
            if whole.present.contains(number) {
                let mut bytes = Vec::new();
                let only = FieldSet::of(&[number]);
                seawall::opamp::splice::bare_fields(&whole, only, &mut bytes);
                self.parts.insert(number, (digest, bytes));
            } else if digests.secret() != secret || !known {
                assert!(report.gone.contains(number), "part {number} was taken unseen");
                self.parts.remove(&number);
                unknown = true;
            }
        }
        unknown
    }

    /// Whether the session is sure of the agent's state.
    pub(super) const fn is_sure(&self) -> bool {
        !self.wanted
    }

    /// What the session believes of the agent.
    pub(super) fn belief(&self) -> AgentToServer {
        let all: Vec<u8> = self.parts.values().flat_map(|(_, bytes)| bytes.clone()).collect();
        let said = AgentToServer::decode(&all[..]).unwrap();
        AgentToServer { custom_message: None, ..said }
    }

    /// One message for the agent: a question if one is open, the latest offer if it has to be told, a greeting.
    pub(super) fn next_message(&mut self, offer: Option<u64>, now: Instant) -> Vec<u8> {
        let mut message = ServerToAgent::default();
        if self.wanted && self.asked.is_none_or(|at| now - at >= ASK_AGAIN) {
            self.asked = Some(now);
            message.flags = ServerToAgentFlags::ReportFullState as u64;
        }
        if !std::mem::replace(&mut self.greeted, true) {
            message.capabilities = 1;
        }
        message.remote_config = offer.map(|offer| AgentRemoteConfig {
            config_hash: offer.to_be_bytes().to_vec(),
            ..Default::default()
        });
        message.encode_to_vec()
    }

    /// Whether the agent has to be asked now.
    pub(super) fn has_question(&self, now: Instant) -> bool {
        self.attached
            && !self.is_request
            && self.wanted
            && self.asked.is_none_or(|at| now - at >= ASK_AGAIN)
    }

    /// The parts that are compared in the end.
    pub(super) fn knows_all(&self) -> bool {
        DESCRIBED.iter().all(|part| self.parts.contains_key(part))
    }
}
