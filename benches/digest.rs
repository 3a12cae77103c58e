//! What it costs to find out that a full state is unchanged, beside decoding it.
//!
//! Absolute figures drift with the machine; the ratio to the yardstick in the same group counts.
//! `cargo bench --bench digest`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use seawall::opamp::AgentScan;
use seawall::opamp::digest::{Digester, Scratch, append_canonical, report_hash};
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
fn full_state() -> AgentToServer {
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

/// The same with the entries of health's map in falling order: as unsorted as they come.
fn unsorted(state: &AgentToServer) -> Vec<u8> {
    let mut health = state.health.clone().unwrap();
    let components = std::mem::take(&mut health.component_health_map);
    let mut bytes = health.encode_to_vec();
    for (key, value) in components.into_iter().rev() {
        let mut entry = Vec::new();
        prost::encoding::string::encode(1, &key, &mut entry);
        prost::encoding::message::encode(2, &value, &mut entry);
        prost::encoding::bytes::encode(6, &entry, &mut bytes);
    }
    let mut message = AgentToServer { health: None, ..state.clone() }.encode_to_vec();
    prost::encoding::bytes::encode(5, &bytes, &mut message);
    message
}

fn unchanged(criterion: &mut Criterion) {
    let state = full_state();
    let (bytes, unsorted) = (state.encode_to_vec(), unsorted(&state));
    let digester = Digester::default();
    let mut scratch = Scratch::default();
    let mut known = Vec::new();
    digester.report(&AgentScan::parse(&bytes).unwrap(), &mut scratch, |_, d| known.push(d));
    let hash = report_hash(&digester.key, &AgentScan::parse(&bytes).unwrap());
    let mut group = criterion.benchmark_group(format!("unchanged {} bytes", bytes.len()));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("equal bytes: scan, hash", |bencher| {
        bencher.iter(|| {
            let scan = AgentScan::parse(black_box(&bytes)).unwrap();
            assert!(report_hash(&digester.key, &scan) == hash);
        });
    });
    for (name, bytes) in [("sorted maps", &bytes), ("unsorted maps", &unsorted)] {
        group.bench_function(format!("canonical, {name}: scan, digests"), |bencher| {
            bencher.iter(|| {
                let scan = AgentScan::parse(black_box(bytes)).unwrap();
                let (mut index, mut same) = (0, true);
                digester.report(&scan, &mut scratch, |_, digest| {
                    same &= known[index] == digest;
                    index += 1;
                });
                assert!(same && index == known.len());
            });
        });
    }
    group.bench_function("yardstick: prost decode", |bencher| {
        bencher.iter(|| AgentToServer::decode(black_box(&bytes[..])).unwrap());
    });
    group.finish();
}

fn store(criterion: &mut Criterion) {
    let state = full_state();
    let health = state.health.unwrap().encode_to_vec();
    let config = state.effective_config.unwrap().encode_to_vec();
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut group = criterion.benchmark_group("canonical bytes to keep");
    for (number, name, value) in [(5, "health", &health), (6, "effective_config", &config)] {
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                append_canonical(number, black_box(value), &mut scratch, &mut out)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, unchanged, store);
criterion_main!(benches);
