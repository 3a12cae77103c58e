//! The full state that the benchmarks measure with. Must not know what is measured.

use seawall::opamp::proto::{self, AgentToServer};

fn attribute(key: String) -> proto::KeyValue {
    let text = proto::any_value::Value::StringValue(format!("the value of {key}"));
    proto::KeyValue { key, value: Some(proto::AnyValue { value: Some(text) }) }
}

fn component(index: u64) -> proto::ComponentHealth {
    proto::ComponentHealth {
        healthy: true,
        start_time_unix_nano: 1_700_000_000_000_000_000 + index,
        status: "StatusOK".to_owned(),
        status_time_unix_nano: 1_700_000_000_000_000_000,
        ..Default::default()
    }
}

/// About 10 KB: a dozen attributes, ten health components, a configuration, a components' hash.
pub(crate) fn full_state() -> AgentToServer {
    let line = "      - job_name: node # scrape every host\n";
    let file = proto::AgentConfigFile {
        body: line.repeat(8_000 / line.len()).into_bytes(),
        content_type: "text/yaml".to_owned(),
    };
    AgentToServer {
        instance_uid: b"0123456789abcdef".to_vec(),
        sequence_num: 1,
        capabilities: 0x7fff,
        agent_description: Some(proto::AgentDescription {
            identifying_attributes: (0..4).map(|n| attribute(format!("service.{n}"))).collect(),
            non_identifying_attributes: (0..8).map(|n| attribute(format!("host.{n}"))).collect(),
        }),
        health: Some(proto::ComponentHealth {
            component_health_map: (0..10)
                .map(|index| (format!("pipeline:metrics/{index}"), component(index)))
                .collect(),
            ..component(0)
        }),
        effective_config: Some(proto::EffectiveConfig {
            config_map: Some(proto::AgentConfigMap { config_map: [(String::new(), file)].into() }),
        }),
        remote_config_status: Some(proto::RemoteConfigStatus {
            last_remote_config_hash: vec![1; 32],
            status: 1,
            ..Default::default()
        }),
        package_statuses: Some(proto::PackageStatuses::default()),
        custom_capabilities: Some(proto::CustomCapabilities {
            capabilities: vec!["io.opentelemetry.custom".to_owned()],
        }),
        available_components: Some(proto::AvailableComponents {
            hash: vec![2; 32],
            ..Default::default()
        }),
        ..Default::default()
    }
}
