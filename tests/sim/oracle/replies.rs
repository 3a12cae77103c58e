//! R5: every message of an agent's gets exactly one reply. A reply and a push look alike; which is
//! which follows from why it was written.

use std::collections::VecDeque;

use seawall::opamp::proto::ServerToAgent;

use super::{Cause, Fault};
use crate::world::Time;

/// What a WebSocket's agent is owed.
#[derive(Debug, Default)]
pub(super) struct Replies {
    owed: VecDeque<Time>,
}

impl Replies {
    /// The agent has spoken.
    pub(super) fn owe(&mut self, now: Time) {
        self.owed.push_back(now);
    }

    /// It is given something.
    pub(super) fn given(&mut self, message: &ServerToAgent, cause: Cause) -> Result<(), Fault> {
        let empty = is_empty(message);
        let is_reply = match cause {
            _ if empty => true,
            Cause::Answer => true,
            // The first that a server says while a reply is owed is the reply.
            Cause::Server => !self.owed.is_empty(),
            // What waited for the agent; the gateway's own question.
            Cause::Heard | Cause::Permit => false,
            Cause::Timer => return Err(("R5", "time alone gave it something".to_owned())),
        };
        if is_reply && self.owed.pop_front().is_none() {
            return Err(("R5", "is given a reply too many".to_owned()));
        }
        Ok(())
    }

    /// For how long the oldest message has waited for its reply.
    pub(super) fn waits_since(&self, now: Time) -> Time {
        self.owed.front().map_or(Time::ZERO, |since| now - *since)
    }
}

/// Whether all that a message says is that the agent was heard, and what the server is.
pub(super) fn is_empty(message: &ServerToAgent) -> bool {
    let bare = ServerToAgent {
        instance_uid: message.instance_uid.clone(),
        capabilities: message.capabilities,
        custom_capabilities: message.custom_capabilities.clone(),
        ..Default::default()
    };
    bare == *message
}
