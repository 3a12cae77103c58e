//! An agent: its state, its number, and the connection that it believes in.

use std::collections::VecDeque;

use prost::Message;
use seawall::core::node_link::Handle;
use seawall::ident::InstanceUid;
use seawall::opamp::agent_field;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentToServer, AnyValue, ComponentHealth,
    CustomMessage, EffectiveConfig, KeyValue, ServerToAgent, ServerToAgentFlags, any_value,
};

/// The parts that an agent reports.
pub(super) const DESCRIBED: [u32; 3] =
    [agent_field::AGENT_DESCRIPTION, agent_field::HEALTH, agent_field::EFFECTIVE_CONFIG];

/// What it says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    Heartbeat,
    Changed,
    Custom,
    Full,
}

#[derive(Debug)]
pub(super) struct SimAgent {
    pub(super) uid: InstanceUid,
    /// It speaks plain HTTP: each message is a request of its own.
    pub(super) polls: bool,
    next_number: u64,
    process: u64,
    config: u64,
    health: u64,
    pub(super) customs: u64,
    /// Where it is connected: the node, and the connection there.
    pub(super) at: Option<(usize, Handle)>,
    pub(super) wants_to_say: VecDeque<Say>,
    /// What it said in its last request, if it may say that again.
    pub(super) said: Option<Vec<u8>>,
    /// It has given that request up, and says the same once more.
    pub(super) says_again: bool,
    /// The last offer that it got.
    pub(super) offer: Option<u64>,
    /// Custom messages that it said since all is calm.
    pub(super) calm_customs: Vec<u64>,
}

impl SimAgent {
    pub(super) fn new(uid: InstanceUid, customs: u64) -> Self {
        Self {
            uid,
            polls: false,
            next_number: 0,
            process: 0,
            config: 0,
            health: 0,
            customs,
            at: None,
            wants_to_say: VecDeque::new(),
            said: None,
            says_again: false,
            offer: None,
            calm_customs: Vec::new(),
        }
    }

    pub(super) fn restart(&mut self) {
        self.process += 1;
        self.next_number = 0;
        self.wants_to_say.clear();
        self.said = None;
        self.says_again = false;
    }

    pub(super) fn change(&mut self, by: u64) {
        self.config += by;
        self.health += 1;
    }

    /// It is not its first process.
    pub(super) const fn is_restarted(&self) -> bool {
        self.process > 0
    }

    /// What it says first on a connection. One that polls goes on where it was.
    pub(super) fn greet(&mut self, compressed: bool) {
        let is_new = self.next_number == 0;
        if self.polls && !is_new {
            return;
        }
        let first = if is_new || !compressed { Say::Full } else { Say::Heartbeat };
        self.wants_to_say.push_front(first);
    }

    pub(super) fn say(&mut self, what: Say) -> Vec<u8> {
        let number = self.next_number;
        self.next_number += 1;
        let truth = self.truth();
        let full = what == Say::Full;
        let changed = full || what == Say::Changed;
        let custom = (what == Say::Custom).then(|| {
            self.customs += 1;
            CustomMessage { r#type: self.customs.to_string(), ..Default::default() }
        });
        AgentToServer {
            instance_uid: self.uid.to_wire().to_vec(),
            sequence_num: number,
            capabilities: 7,
            agent_description: truth.agent_description.filter(|_| full),
            health: truth.health.filter(|_| changed),
            effective_config: truth.effective_config.filter(|_| changed),
            custom_message: custom,
            ..Default::default()
        }
        .encode_to_vec()
    }

    /// What is true of it.
    pub(super) fn truth(&self) -> AgentToServer {
        let text = any_value::Value::StringValue(self.process.to_string());
        let process =
            KeyValue { key: "process".to_owned(), value: Some(AnyValue { value: Some(text) }) };
        let body = self.config.to_string().repeat(20).into_bytes();
        let file = AgentConfigFile { body, ..Default::default() };
        let files = std::collections::HashMap::from([("".to_owned(), file)]);
        AgentToServer {
            agent_description: Some(AgentDescription {
                identifying_attributes: vec![process],
                ..Default::default()
            }),
            health: Some(ComponentHealth { status: self.health.to_string(), ..Default::default() }),
            effective_config: Some(EffectiveConfig {
                config_map: Some(AgentConfigMap { config_map: files.into_iter().collect() }),
            }),
            ..Default::default()
        }
    }

    /// A server's message, or the gateway's. Returns the offer in it.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Option<u64> {
        let message = ServerToAgent::decode(bytes).unwrap();
        if message.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            self.wants_to_say.push_back(Say::Full);
        }
        let hash = message.remote_config?.config_hash;
        let offer = u64::from_be_bytes(hash.try_into().unwrap());
        self.offer = Some(offer);
        Some(offer)
    }
}
