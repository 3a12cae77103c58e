//! R7: what servers offer reaches its agent alone, the latest of each kind, and once more if the agent may have
//! missed it; a restart command ends with the process it is meant for.

use std::collections::VecDeque;

use seawall::opamp::proto::ServerToAgent;

use super::Fault;
use crate::status::{agent_of, parse_hash};
use crate::world::Time;

#[derive(Debug, Default)]
pub(super) struct Offers {
    /// The last configuration that came from a server.
    latest: Option<Vec<u8>>,
    /// It came while the agent was away and has to be given to it when it is back.
    kept: bool,
    /// The custom messages that came, by the order in which they did.
    customs: Vec<Vec<u8>>,
    /// The first of them that must reach the agent: earlier ones may have ended with a session.
    owed_from: usize,
    /// How far the gateway is with them, and with configurations, on the present connection.
    given: Progress,
    /// How much of that the agent has confirmed.
    confirmed: Progress,
    /// Pings under way, with what was given before each.
    pings: VecDeque<(Vec<u8>, Progress)>,
    /// When the last command came.
    command_at: Option<Time>,
    /// Its first message looked like one of the process before it.
    covert: bool,
}

/// How many custom messages are past, and how many configurations were given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Progress {
    customs: usize,
    configs: usize,
}

impl Offers {
    /// A process is heard for the first time. `plain`: its number says that it is new.
    pub(super) const fn new_process(&mut self, plain: bool) {
        self.covert = !plain;
    }

    /// The agent speaks; `over`: after its session has ended, or was about to.
    pub(super) fn agent_speaks(&mut self, over: bool) {
        if over {
            self.forget_kept();
        }
    }

    /// A ping follows what was given.
    pub(super) fn pinged(&mut self, payload: &[u8]) {
        self.pings.push_back((payload.into(), self.given));
    }

    /// The agent has answered it.
    pub(super) fn ponged(&mut self, payload: &[u8]) {
        if let Some(place) = self.pings.iter().position(|(sent, _)| sent == payload) {
            self.confirmed = self.pings.drain(..=place).next_back().unwrap().1;
        }
    }

    /// What is given from now on goes another way than before. `sure`: the agent has had all.
    pub(super) fn goes_on(&mut self, sure: bool) {
        self.pings.clear();
        if sure {
            self.confirmed = self.given;
        }
        self.kept |= self.given.configs > self.confirmed.configs;
        self.given = self.confirmed;
    }

    /// It has spoken on a WebSocket, and the gateway has dealt with it.
    pub(super) fn agent_is_there(&mut self, leaves: bool) -> Result<(), Fault> {
        let kept = std::mem::take(&mut self.kept);
        if leaves {
            // It has no use for what it has yet to read.
            (self.confirmed, self.owed_from) = (self.given, self.customs.len());
            return Ok(());
        }
        if kept {
            return Err(("R7", "what it may have missed is not given to it".to_owned()));
        }
        self.lacks(self.customs.len())
    }

    /// Custom messages before this one have been given, or were lost with a session.
    fn lacks(&self, before: usize) -> Result<(), Fault> {
        let first = self.given.customs.max(self.owed_from);
        let Some(custom) = self.customs.get(first).filter(|_| first < before) else {
            return Ok(());
        };
        let data = String::from_utf8_lossy(custom).into_owned();
        Err(("R7", format!("custom message {data} is not given to it")))
    }

    /// A server's message is there. `kept`: the agent is away. `over`: its session may have ended.
    pub(super) fn offered(
        &mut self,
        message: &ServerToAgent,
        (kept, over): (bool, bool),
        now: Time,
    ) {
        if let Some(config) = &message.remote_config {
            self.latest = Some(config.config_hash.clone());
            self.kept |= kept;
        }
        if let Some(custom) = &message.custom_message {
            self.customs.push(custom.data.clone());
            if over {
                self.owed_from = self.customs.len();
            }
        }
        if message.command.is_some() {
            self.command_at = Some(now);
        }
    }

    /// The gateway writes to the agent.
    pub(super) fn given(&mut self, agent: usize, message: &ServerToAgent) -> Result<(), Fault> {
        if agent_of(&message.instance_uid) != Some(agent) {
            return Err(("R7", format!("is given what is for {:?}", message.instance_uid)));
        }
        if let Some(config) = &message.remote_config {
            let hash = String::from_utf8_lossy(&config.config_hash).into_owned();
            if parse_hash(&config.config_hash).is_none_or(|(owner, _)| owner != agent) {
                return Err(("R7", format!("is given another's configuration {hash}")));
            }
            if self.latest.as_ref() != Some(&config.config_hash) {
                return Err(("R7", format!("is given {hash}, which is not the latest")));
            }
            self.kept = false;
            self.given.configs += 1;
        }
        if let Some(custom) = &message.custom_message {
            let rest = &self.customs[self.given.customs..];
            let Some(place) = rest.iter().position(|data| *data == custom.data) else {
                let data = String::from_utf8_lossy(&custom.data).into_owned();
                return Err(("R7", format!("custom message {data} is another's, or comes again")));
            };
            let place = self.given.customs + place;
            self.lacks(place)?;
            self.given.customs = place + 1;
        }
        Ok(())
    }

    /// The agent's process, which runs since then, reads it.
    pub(super) fn got(&self, since: Time, message: &ServerToAgent) -> Result<(), Fault> {
        let stale = self.command_at.is_none_or(|at| at < since);
        if message.command.is_some() && stale && !self.covert {
            return Err(("R7", "is told to restart, and has restarted since".to_owned()));
        }
        Ok(())
    }

    /// The node lets the agent go. What it wrote before may still be on its way.
    pub(super) fn let_go(&self) -> Self {
        Self { command_at: self.command_at, ..Self::default() }
    }

    /// What waits for an agent ends when it has left.
    pub(super) const fn forget_kept(&mut self) {
        self.kept = false;
        self.owed_from = self.customs.len();
    }
}
