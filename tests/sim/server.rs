//! A server: what it believes of each agent, and how it answers. Keyed by uid, and careful about
//! which of two links an agent is on now, as servers are that let uids share connections.
//!
//! The network is outside of it: the story gives it messages, and takes its answers.

use std::collections::BTreeMap;

use seawall::opamp::proto::{
    AgentRemoteConfig, CustomCapabilities, CustomMessage, RetryInfo, ServerErrorResponse,
    ServerErrorResponseType, ServerToAgent, ServerToAgentCommand, server_error_response,
};

use crate::http::HttpFault;
use crate::status::{self, ACCEPTS_CONFIG, Part, Report, Status, uid_bytes};
use crate::wires::Key;
use crate::world::{NodeKey, Time};

/// What stays the same about a server for the whole story.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    /// It keeps its records over a restart.
    pub(crate) keeps_state: bool,
    /// Finds by their numbers that messages were lost. Only such a server pushes: a push of another
    /// may pass for the answer to a message that is lost, and both sides would stay unaware.
    pub(crate) counts: bool,
    /// Asks for full state on every reply.
    pub(crate) always_asks: bool,
    /// Wants the component map besides its hash.
    pub(crate) wants_map: bool,
    /// How many percent of the replies take seconds.
    pub(crate) late: u64,
    /// Leaves the uid out of what it says.
    pub(crate) omits_uid: bool,
    /// Forgets an agent that says it leaves; otherwise it keeps what it knows, for its return.
    pub(crate) forgets_leavers: bool,
    /// Forgets the agents of a link that closes.
    pub(crate) forgets_with_link: bool,
    /// Offers the configuration on every reply until the agent has it; otherwise once, and again
    /// when the link has closed or the agent says that it has another.
    pub(crate) reoffers: bool,
}

/// What it believes of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// On which line the agent was last heard.
    pub(crate) line: (Key, u32),
    pub(crate) connected: bool,
    pub(crate) status: Status,
    last: u64,
    wants_all: bool,
    offered: Option<u32>,
    capabilities: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) traits: Traits,
    pub(crate) up: bool,
    pub(crate) overloaded: bool,
    /// Mode `http`: how it fails though it is up, and from when on it reads again.
    pub(crate) fault: Option<HttpFault>,
    pub(crate) stalled_until: Time,
    /// Until when each node was asked to pause.
    pub(crate) paused_until: BTreeMap<NodeKey, Time>,
    pub(crate) records: BTreeMap<usize, Record>,
    /// Custom messages it has sent.
    customs: u32,
}

/// The line that a message comes over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over {
    pub(crate) line: (Key, u32),
    /// The agent has come again on another line, which is open.
    pub(crate) elsewhere: bool,
}

impl Server {
    pub(crate) const fn new(traits: Traits) -> Self {
        Self {
            traits,
            up: true,
            overloaded: false,
            fault: None,
            stalled_until: Time::ZERO,
            paused_until: BTreeMap::new(),
            records: BTreeMap::new(),
            customs: 0,
        }
    }

    /// The process dies.
    pub(crate) fn kill(&mut self) {
        self.up = false;
        self.overloaded = false;
        if !self.traits.keeps_state {
            self.records.clear();
        }
        for record in self.records.values_mut() {
            record.offered = None;
        }
    }

    /// A line has closed.
    pub(crate) fn line_closed(&mut self, line: (Key, u32)) {
        let forgets = self.traits.forgets_with_link;
        self.records.retain(|_, record| !forgets || record.line != line);
        for record in self.records.values_mut().filter(|record| record.line == line) {
            record.offered = None;
        }
    }

    /// A message, and the answer to it. `elsewhere`: the agent has come again on another line, which is
    /// open.
    pub(crate) fn receive(&mut self, over: Over, report: &Report, desired: u32) -> ServerToAgent {
        let Over { line, elsewhere } = over;
        if self.overloaded {
            return unavailable();
        }
        let agent = report.agent;
        if report.disconnects {
            if let Some(record) = self.records.get_mut(&agent)
                && !elsewhere
            {
                record.connected = false;
                record.last = report.number;
                if self.traits.forgets_leavers {
                    self.records.remove(&agent);
                }
            }
            return ServerToAgent::default();
        }
        let fresh = Record {
            line,
            connected: true,
            status: Status::default(),
            last: report.number.wrapping_sub(1),
            wants_all: true,
            offered: None,
            capabilities: 0,
        };
        let record = self.records.entry(agent).or_insert(fresh);
        let gap = report.number != record.last.wrapping_add(1);
        record.wants_all |= self.traits.counts && gap;
        (record.line, record.connected, record.last) = (line, true, report.number);
        record.capabilities = report.capabilities;
        record.status.update(&report.status);
        record.wants_all &= !is_complete(report);
        let components = report.capabilities & Part::Components.capability() != 0;
        let wants_map = self.traits.wants_map && components && !record.status.map;
        let wants_all = record.wants_all || self.traits.always_asks;
        let flags = u64::from(wants_all) | u64::from(wants_map) << 1;
        let remote_config = record.offer(report, desired, self.traits.reoffers);
        ServerToAgent { flags, remote_config, ..Default::default() }
    }

    /// The agents it believes to be there, each with its line.
    pub(crate) fn present(&self) -> Vec<(usize, (Key, u32))> {
        let present = self.records.iter().filter(|(_, record)| record.connected);
        present.map(|(agent, record)| (*agent, record.line)).collect()
    }

    /// Offers a configuration unasked.
    pub(crate) fn push_offer(&mut self, agent: usize, desired: u32) -> Option<ServerToAgent> {
        let pushes = self.traits.counts && self.up;
        let record = self.records.get_mut(&agent).filter(|record| record.connected && pushes)?;
        if record.capabilities & ACCEPTS_CONFIG == 0 {
            return None;
        }
        record.offered = Some(desired);
        Some(ServerToAgent { remote_config: Some(config(agent, desired)), ..Default::default() })
    }

    /// Sends a custom message unasked; its number counts them.
    pub(crate) fn push_custom(&mut self) -> ServerToAgent {
        self.customs += 1;
        let data = self.customs.to_string().into_bytes();
        let message = CustomMessage { data, ..Default::default() };
        ServerToAgent { custom_message: Some(message), ..Default::default() }
    }

    /// Makes an answer out to its agent. The first of a line says what the server is.
    pub(crate) fn address(
        &self,
        mut message: ServerToAgent,
        agent: usize,
        first: bool,
    ) -> ServerToAgent {
        if !self.traits.omits_uid {
            message.instance_uid = uid_bytes(agent).to_vec();
        }
        if first && message.error_response.is_none() && message.command.is_none() {
            message.capabilities = 0x7;
            message.custom_capabilities =
                Some(CustomCapabilities { capabilities: vec!["of.the.server".to_owned()] });
        }
        message
    }
}

impl Record {
    fn offer(
        &mut self,
        report: &Report,
        desired: u32,
        reoffers: bool,
    ) -> Option<AgentRemoteConfig> {
        if report.capabilities & ACCEPTS_CONFIG == 0 {
            return None;
        }
        let has = self.status.get(Part::Remote);
        let lacks = has.is_some_and(|version| version != desired);
        let said = report.status.get(Part::Remote).is_some();
        if !lacks || !(said || reoffers || self.offered != Some(desired)) {
            return None;
        }
        self.offered = Some(desired);
        Some(config(report.agent, desired))
    }
}

/// Whether a report has every part that its capabilities promise.
fn is_complete(report: &Report) -> bool {
    let promised =
        |part: &Part| *part == Part::Description || report.capabilities & part.capability() != 0;
    Part::ALL.into_iter().filter(promised).all(|part| report.status.get(part).is_some())
}

fn config(agent: usize, version: u32) -> AgentRemoteConfig {
    AgentRemoteConfig { config: None, config_hash: status::config_hash(agent, version) }
}

/// The command to restart.
pub(crate) fn restart() -> ServerToAgent {
    ServerToAgent { command: Some(ServerToAgentCommand::default()), ..Default::default() }
}

fn unavailable() -> ServerToAgent {
    let info = RetryInfo { retry_after_nanoseconds: 2_000_000_000 };
    let error = ServerErrorResponse {
        r#type: ServerErrorResponseType::Unavailable.into(),
        details: Some(server_error_response::Details::RetryInfo(info)),
        ..Default::default()
    };
    ServerToAgent { error_response: Some(error), ..Default::default() }
}
