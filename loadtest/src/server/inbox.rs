//! What a server has to say to agents that it reaches only when they ask, or whose connection closed before it was said:
//! each answer brings one push.

use std::collections::VecDeque;

use seawall::opamp::proto::ServerToAgent;

/// Pushes that wait for one agent.
const PUSHES_MAX: usize = 64;

/// Of one agent.
#[derive(Debug, Default)]
pub(super) struct Inbox(VecDeque<ServerToAgent>);

impl Inbox {
    /// A push waits for the agent's next message. `false`: there is no room.
    pub(super) fn put(&mut self, push: ServerToAgent) -> bool {
        let fits = self.0.len() < PUSHES_MAX;
        if fits {
            self.0.push_back(push);
        }
        fits
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the next push to the answer.
    pub(super) fn add_to(&mut self, reply: &mut ServerToAgent) {
        let Some(push) = self.0.pop_front() else { return };
        reply.remote_config = push.remote_config;
        reply.connection_settings = push.connection_settings;
        reply.custom_message = push.custom_message;
        reply.agent_identification = push.agent_identification;
        reply.command = push.command;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall::opamp::proto::{CustomMessage, ServerToAgentCommand};

    #[test]
    fn each_answer_brings_one_push_in_order_and_few_wait() {
        let custom = |data: u8| ServerToAgent {
            custom_message: Some(CustomMessage { data: vec![data], ..Default::default() }),
            ..Default::default()
        };
        let mut inbox = Inbox::default();
        let mut reply = ServerToAgent { flags: 1, ..Default::default() };
        inbox.add_to(&mut reply);
        assert_eq!(reply, ServerToAgent { flags: 1, ..Default::default() });
        assert!(inbox.put(custom(1)));
        let command = Some(ServerToAgentCommand::default());
        assert!(inbox.put(ServerToAgent { command, ..Default::default() }));
        inbox.add_to(&mut reply);
        assert_eq!(reply, ServerToAgent { flags: 1, ..custom(1) });
        let mut next = ServerToAgent::default();
        inbox.add_to(&mut next);
        assert!(next.command.is_some() && next.custom_message.is_none());
        assert!((0..200).filter(|_| inbox.put(custom(2))).count() == PUSHES_MAX);
    }
}
