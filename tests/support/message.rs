//! OpAMP messages as a small agent would write them.

use prost::Message as _;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentToServer, AnyValue, ComponentHealth,
    CustomMessage, EffectiveConfig, KeyValue, ServerToAgent, any_value,
};

/// Reports status, effective configuration and health.
pub(crate) const CAPABILITIES: u64 = 0x1 | 0x4 | 0x800;
/// `ServerToAgentFlags_ReportFullState`.
pub(crate) const REPORT_FULL_STATE: u64 = 1;

/// The uid of a test's n-th agent.
pub(crate) fn uid(n: u16) -> Vec<u8> {
    let mut bytes = vec![0xa5; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// Uid, number and capabilities: what every message carries, and all that a heartbeat does.
pub(crate) fn heartbeat(uid: &[u8], sequence_num: u64) -> AgentToServer {
    AgentToServer {
        instance_uid: uid.to_vec(),
        sequence_num,
        capabilities: CAPABILITIES,
        ..AgentToServer::default()
    }
}

/// Everything that [`CAPABILITIES`] promise.
pub(crate) fn full_report(uid: &[u8], sequence_num: u64) -> AgentToServer {
    AgentToServer {
        agent_description: Some(description("scene")),
        health: Some(health("started")),
        effective_config: Some(config(b"receivers: {}")),
        ..heartbeat(uid, sequence_num)
    }
}

/// A description that names a service.
pub(crate) fn description(service: &str) -> AgentDescription {
    let value = AnyValue { value: Some(any_value::Value::StringValue(service.to_owned())) };
    let name = KeyValue { key: "service.name".to_owned(), value: Some(value) };
    AgentDescription { identifying_attributes: vec![name], ..AgentDescription::default() }
}

/// Good health, with a word for it.
pub(crate) fn health(status: &str) -> ComponentHealth {
    ComponentHealth { healthy: true, status: status.to_owned(), ..ComponentHealth::default() }
}

/// An effective configuration of one file.
pub(crate) fn config(body: &[u8]) -> EffectiveConfig {
    let file = AgentConfigFile { body: body.to_vec(), ..AgentConfigFile::default() };
    let config_map = [(String::new(), file)].into_iter().collect();
    EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) }
}

/// A server's custom message with `bytes` bytes of data.
pub(crate) fn custom(uid: &[u8], bytes: usize) -> ServerToAgent {
    let message = CustomMessage {
        capability: "test.scene".to_owned(),
        r#type: "filler".to_owned(),
        data: vec![b'.'; bytes],
    };
    ServerToAgent {
        instance_uid: uid.to_vec(),
        custom_message: Some(message),
        ..ServerToAgent::default()
    }
}

/// A message as a WebSocket carries it, behind the header byte.
pub(crate) fn with_header(message: &AgentToServer) -> Vec<u8> {
    let mut bytes = vec![0];
    message.encode(&mut bytes).expect("a vector grows");
    bytes
}

/// A server's message from the payload of a WebSocket message, which must begin with the header.
pub(crate) fn from_payload(payload: &[u8]) -> ServerToAgent {
    let (header, message) = payload.split_first().expect("a header at least");
    assert_eq!(*header, 0, "some clients require the header");
    ServerToAgent::decode(message).expect("a ServerToAgent")
}
