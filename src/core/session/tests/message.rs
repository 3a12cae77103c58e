//! Messages as agents and servers write them, from a few numbers.

use prost::Message;

use crate::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentDisconnect, AgentRemoteConfig,
    AgentToServer, AnyValue, ComponentHealth, CustomMessage, EffectiveConfig, KeyValue,
    RemoteConfigStatus, ServerErrorResponse, ServerErrorResponseType, ServerToAgent, any_value,
};

/// `ReportsStatus`, `AcceptsRemoteConfig`, `ReportsEffectiveConfig`, `ReportsHealth`,
/// `ReportsRemoteConfig`.
pub(in crate::core::session) const CAPABILITIES: u64 = 0x1 | 0x2 | 0x4 | 0x800 | 0x1000;

/// What an agent reports, a number for each field. `None`: left out of the message, or yet to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::core::session) struct Status {
    pub(in crate::core::session) description: Option<u32>,
    pub(in crate::core::session) health: Option<u32>,
    pub(in crate::core::session) config: Option<u32>,
    /// The last remote configuration taken.
    pub(in crate::core::session) remote: Option<u32>,
}

impl Status {
    pub(in crate::core::session) const FIRST: Self =
        Self { description: Some(0), health: Some(0), config: Some(0), remote: Some(0) };

    pub(in crate::core::session) fn update(&mut self, with: Self) {
        self.description = with.description.or(self.description);
        self.health = with.health.or(self.health);
        self.config = with.config.or(self.config);
        self.remote = with.remote.or(self.remote);
    }

    pub(in crate::core::session) fn is_complete(&self) -> bool {
        self.description.and(self.health).and(self.config).and(self.remote).is_some()
    }
}

fn text(number: u32) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(number.to_string())) }
}

/// An agent's message that carries `status`.
pub(in crate::core::session) fn report(number: u64, status: Status) -> AgentToServer {
    let attribute = |n| KeyValue { key: "v".to_owned(), value: Some(text(n)) };
    let file = |n: u32| AgentConfigFile { body: n.to_string().into(), ..Default::default() };
    AgentToServer {
        instance_uid: vec![7; 16],
        sequence_num: number,
        capabilities: CAPABILITIES,
        agent_description: status.description.map(|n| AgentDescription {
            identifying_attributes: vec![attribute(n)],
            ..Default::default()
        }),
        health: status
            .health
            .map(|n| ComponentHealth { status: n.to_string(), ..Default::default() }),
        effective_config: status.config.map(|n| EffectiveConfig {
            config_map: Some(AgentConfigMap {
                config_map: std::iter::once((String::new(), file(n))).collect(),
            }),
        }),
        remote_config_status: status.remote.map(|n| RemoteConfigStatus {
            last_remote_config_hash: n.to_string().into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The status in an agent's message.
pub(in crate::core::session) fn status(message: &AgentToServer) -> Status {
    let number = |text: &[u8]| String::from_utf8_lossy(text).parse::<u32>().ok();
    let described = message.agent_description.as_ref().and_then(|description| {
        match &description.identifying_attributes.first()?.value.as_ref()?.value {
            Some(any_value::Value::StringValue(text)) => number(text.as_bytes()),
            _ => None,
        }
    });
    let file = message
        .effective_config
        .as_ref()
        .and_then(|config| config.config_map.as_ref()?.config_map.get(""));
    let remote = message.remote_config_status.as_ref();
    Status {
        description: described,
        health: message.health.as_ref().and_then(|health| number(health.status.as_bytes())),
        config: file.and_then(|file| number(&file.body)),
        remote: remote.and_then(|status| number(&status.last_remote_config_hash)),
    }
}

pub(in crate::core::session) fn heartbeat(number: u64) -> AgentToServer {
    report(number, Status::default())
}

pub(in crate::core::session) fn custom(number: u64, data: u32) -> AgentToServer {
    let message = CustomMessage { data: data.to_string().into(), ..Default::default() };
    AgentToServer { custom_message: Some(message), ..heartbeat(number) }
}

pub(in crate::core::session) fn disconnect(number: u64) -> AgentToServer {
    AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..heartbeat(number) }
}

/// A server's acknowledgement.
pub(in crate::core::session) fn ack() -> ServerToAgent {
    ServerToAgent { instance_uid: vec![7; 16], ..Default::default() }
}

pub(in crate::core::session) fn offer(hash: u32) -> ServerToAgent {
    let config = AgentRemoteConfig { config: None, config_hash: hash.to_string().into() };
    ServerToAgent { remote_config: Some(config), ..ack() }
}

pub(in crate::core::session) fn ask() -> ServerToAgent {
    ServerToAgent { flags: 1, ..ack() }
}

pub(in crate::core::session) fn unavailable() -> ServerToAgent {
    let error = ServerErrorResponse {
        r#type: ServerErrorResponseType::Unavailable.into(),
        ..Default::default()
    };
    ServerToAgent { error_response: Some(error), ..ack() }
}

pub(in crate::core::session) fn bytes(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}
