//! R7: what servers offer reaches its agent alone, the latest of each kind; a restart command ends with
//! the process it is meant for.

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
    /// The last custom messages that came, by the order in which they did.
    customs: Vec<Vec<u8>>,
    /// How many of them are past: the agent has had them, or later ones.
    passed: usize,
    /// When the last command came.
    command_at: Option<Time>,
    /// Its first message looked like one of the process before it.
    covert: bool,
}

impl Offers {
    /// A process is heard for the first time. `plain`: its number says that it is new.
    pub(super) const fn new_process(&mut self, plain: bool) {
        self.covert = !plain;
    }

    /// The agent speaks; `over`: after its session has ended, or was about to.
    pub(super) const fn agent_speaks(&mut self, over: bool) {
        self.kept &= !over;
    }

    /// It has spoken on a WebSocket, and the gateway has dealt with it.
    pub(super) fn agent_is_there(&mut self, leaves: bool) -> Result<(), Fault> {
        if !std::mem::take(&mut self.kept) || leaves {
            return Ok(());
        }
        Err(("R7", "what was offered while it was away is not given to it".to_owned()))
    }

    /// A server's message is there. `kept`: the agent is away.
    pub(super) fn offered(&mut self, message: &ServerToAgent, kept: bool, now: Time) {
        if let Some(config) = &message.remote_config {
            self.latest = Some(config.config_hash.clone());
            self.kept |= kept;
        }
        if let Some(custom) = &message.custom_message {
            self.customs.push(custom.data.clone());
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
        }
        if let Some(custom) = &message.custom_message {
            let rest = &self.customs[self.passed..];
            let Some(place) = rest.iter().position(|data| *data == custom.data) else {
                let data = String::from_utf8_lossy(&custom.data).into_owned();
                return Err(("R7", format!("custom message {data} is another's, or comes again")));
            };
            self.passed += place + 1;
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
    }
}
