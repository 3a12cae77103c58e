//! What a message costs on its way: scan, splice, waiting offers, frames. Each beside its yardstick.
//!
//! Absolute figures drift with the machine; the ratio to the yardstick in the same group counts.
//! `cargo bench --bench opamp`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use seawall::ident::{InstanceUid, SequenceNum};
use seawall::opamp::proto::{self, AgentToServer, ServerToAgent};
use seawall::opamp::{Additions, AgentScan, Offers, OffersLimits, ServerScan, agent_field, splice};
use seawall::websocket::{self, Decoder, Incoming, Role};

const MASK: [u8; 4] = [0x5a, 1, 0xff, 0x80];
const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

fn text_value(text: String) -> Option<proto::AnyValue> {
    Some(proto::AnyValue { value: Some(proto::any_value::Value::StringValue(text)) })
}

fn attribute(key: String) -> proto::KeyValue {
    let value = text_value(format!("the value of {key}"));
    proto::KeyValue { key, value }
}

/// About 10 KB: a dozen attributes, ten health components, a configuration, a components' hash.
fn full_state() -> Vec<u8> {
    let line = "      - job_name: node # scrape every host\n";
    let file = proto::AgentConfigFile {
        body: line.repeat(8_000 / line.len()).into_bytes(),
        content_type: "text/yaml".to_owned(),
    };
    let component = |index: u64| proto::ComponentHealth {
        healthy: true,
        start_time_unix_nano: 1_700_000_000_000_000_000 + index,
        status: "StatusOK".to_owned(),
        status_time_unix_nano: 1_700_000_000_000_000_000,
        ..Default::default()
    };
    AgentToServer {
        instance_uid: UID.to_wire().to_vec(),
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
    .encode_to_vec()
}

fn scan(criterion: &mut Criterion) {
    let bytes = full_state();
    let mut group = criterion.benchmark_group(format!("scan {} bytes", bytes.len()));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| AgentScan::parse(black_box(&bytes)).unwrap().present);
    });
    group.bench_function("yardstick: prost decode", |bencher| {
        bencher.iter(|| AgentToServer::decode(black_box(&bytes[..])).unwrap());
    });
    group.finish();
}

fn splice_forward(criterion: &mut Criterion) {
    let bytes = full_state();
    let scan = AgentScan::parse(&bytes).unwrap();
    let keep = scan.present.intersection(agent_field::STATUS);
    let mut out = Vec::with_capacity(2 * bytes.len());
    let mut group = criterion.benchmark_group(format!("splice {} bytes", bytes.len()));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
            out.clear();
            splice::forward(black_box(&scan), SequenceNum(77), &mut out);
            out.len()
        });
    });
    group.bench_function("forward_fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            splice::forward_fields(black_box(&scan), keep, SequenceNum(77), &mut out);
            out.len()
        });
    });
    group.bench_function("forward in a masked frame", |bencher| {
        bencher.iter(|| {
            out.clear();
            let open = websocket::begin_message(Some(MASK), bytes.len(), &mut out);
            splice::forward(black_box(&scan), SequenceNum(77), &mut out);
            websocket::finish_message(open, &mut out);
            out.len()
        });
    });
    group.bench_function("yardstick: memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&bytes));
            out.len()
        });
    });
    group.finish();
}

fn offers(criterion: &mut Criterion) {
    let limits = OffersLimits { bytes_max: 1 << 20, custom_messages_max: 64 };
    let offer = ServerToAgent {
        instance_uid: UID.to_wire().to_vec(),
        capabilities: 7,
        remote_config: Some(proto::AgentRemoteConfig {
            config: Some(proto::AgentConfigMap {
                config_map: [(
                    String::new(),
                    proto::AgentConfigFile { body: vec![b'x'; 4000], ..Default::default() },
                )]
                .into(),
            }),
            config_hash: vec![1; 32],
        }),
        connection_settings: Some(proto::ConnectionSettingsOffers {
            hash: vec![1; 32],
            opamp: Some(proto::OpAmpConnectionSettings::default()),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec();
    let scan = ServerScan::parse(&offer).unwrap();
    let mut out = Vec::with_capacity(2 * offer.len());
    let mut group = criterion.benchmark_group(format!("offers {} bytes", offer.len()));
    group.bench_function("absorb and take", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut offers = Offers::default();
            offers.absorb(black_box(&scan), limits);
            offers.take(UID, &Additions::default(), &mut out)
        });
    });
    group.bench_function("yardstick: prost decode and encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            ServerToAgent::decode(black_box(&offer[..])).unwrap().encode(&mut out).unwrap();
            out.len()
        });
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let payload = full_state();
    let mut frame = Vec::new();
    let open = websocket::begin_message(Some(MASK), payload.len(), &mut frame);
    frame.extend_from_slice(&payload);
    websocket::finish_message(open, &mut frame);
    let mut group = criterion.benchmark_group(format!("frame {} bytes", frame.len()));
    group.throughput(Throughput::Bytes(frame.len() as u64));
    // Decoding unmasks in place: each round needs a fresh copy, which is made outside of the measurement.
    group.bench_function("decode and unmask", |bencher| {
        let mut decoder = Decoder::new(Role::Server);
        bencher.iter_batched_ref(
            || frame.clone(),
            |bytes| match decoder.feed(black_box(bytes), &mut 0, 1 << 20) {
                Ok(Some(Incoming::Message(message))) => message.len(),
                other => panic!("{other:?}"),
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("decode and unmask, in two reads", |bencher| {
        let mut decoder = Decoder::new(Role::Server);
        bencher.iter_batched_ref(
            || frame.clone(),
            |bytes| {
                let (first, second) = bytes.split_at_mut(4096);
                assert_eq!(decoder.feed(black_box(first), &mut 0, 1 << 20), Ok(None));
                match decoder.feed(black_box(second), &mut 0, 1 << 20) {
                    Ok(Some(Incoming::Message(message))) => message.len(),
                    other => panic!("{other:?}"),
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("yardstick: memcpy", |bencher| {
        let mut out = vec![0; frame.len()];
        bencher.iter_batched_ref(
            || frame.clone(),
            |bytes| out.copy_from_slice(black_box(bytes)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, scan, splice_forward, offers, frames);
criterion_main!(benches);
