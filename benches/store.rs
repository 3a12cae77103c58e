//! What it costs to store what agents report, and to give it out again.
//!
//! Absolute figures drift with the machine; the ratio to the yardstick in the same group counts.
//! `cargo bench --bench store`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use seawall::opamp::digest::Digest;
use seawall::opamp::proto::{self, AgentToServer};
use seawall::store::{Content, ContentStore, Scope, StoreParams};

/// Contents put in one go, so that dropping them stays outside of the measurement.
const BATCH: u32 = 1000;

fn attribute(key: &str, value: String) -> proto::KeyValue {
    let text = proto::any_value::Value::StringValue(value);
    let value = Some(proto::AnyValue { value: Some(text) });
    proto::KeyValue { key: key.to_owned(), value }
}

/// About 650 bytes; names, addresses and ids are the agent's own.
fn description(index: u32) -> Vec<u8> {
    let id = u128::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15_9e6c_63d0_876a_3f6b);
    let [a, b, c, _] = index.to_le_bytes();
    let system =
        format!("Debian GNU/Linux 13 (trixie) (Linux node-{index:06} 6.12.74-amd64 x86_64)");
    let attributes = [
        ("host.name", format!("node-{index:06}.rack{}.zone{}.example.net", index % 400, index % 3)),
        ("host.id", format!("{id:032x}")),
        ("host.arch", "amd64".to_owned()),
        ("host.ip", format!("10.{c}.{b}.{a}")),
        ("os.type", "linux".to_owned()),
        ("os.description", system),
        ("cloud.provider", "example".to_owned()),
        ("cloud.region", format!("region-{}", index % 5)),
        ("cloud.availability_zone", format!("region-{}-zone-{}", index % 5, index % 3)),
        ("deployment.environment", "production".to_owned()),
        ("k8s.cluster.name", format!("cluster-{}", index % 7)),
    ];
    let identifying = [
        ("service.name", "io.opentelemetry.collector".to_owned()),
        ("service.version", "0.139.0".to_owned()),
        ("service.instance.id", format!("{id:016x}-{index:08x}")),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value));
    let identifying = identifying.into_iter().map(|(key, value)| attribute(key, value));
    let description = proto::AgentDescription {
        identifying_attributes: identifying.collect(),
        non_identifying_attributes: attributes.collect(),
    };
    AgentToServer { agent_description: Some(description), ..Default::default() }.encode_to_vec()
}

/// About 8 KB.
fn config() -> Vec<u8> {
    let line = "      - job_name: node # scrape every host\n";
    let body = line.repeat(8_000 / line.len()).into_bytes();
    let file = proto::AgentConfigFile { body, ..Default::default() };
    let config_map = std::iter::once((String::new(), file)).collect();
    let config = proto::EffectiveConfig { config_map: Some(proto::AgentConfigMap { config_map }) };
    AgentToServer { effective_config: Some(config), ..Default::default() }.encode_to_vec()
}

/// Bytes that differ from all others.
fn junk(index: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(index);
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect();
    bytes[0] = 3 << 3 | 2;
    bytes
}

/// A digest that is each content's own.
fn digest(index: u32) -> Digest {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&index.to_be_bytes());
    Digest(bytes)
}

fn put(criterion: &mut Criterion) {
    let store = ContentStore::new(StoreParams::default());
    let stored = |index: u32, bytes: &[u8]| store.put(Scope::SHARED, digest(index), bytes).unwrap();
    let (first, config) = (description(BATCH), config());
    let _held = [stored(BATCH, &first), stored(BATCH, &config)];
    let descriptions: Vec<_> = (0..BATCH).map(description).collect();
    let short_junk: Vec<_> = (0..BATCH).map(|index| junk(index, first.len())).collect();
    let long_junk: Vec<_> = (0..BATCH).map(|index| junk(index, 4096)).collect();
    let mut group = criterion.benchmark_group(format!("put, {} bytes", first.len()));
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let copy = |bytes: &[u8]| Box::<[u8]>::from(bytes);
    group.bench_function("yardstick: a copy", |bencher| {
        let all = || descriptions.iter().map(|bytes| copy(bytes)).collect::<Vec<_>>();
        bencher.iter_batched(|| (), |()| all(), BatchSize::PerIteration);
    });
    let new = [
        ("new description", &descriptions),
        ("new junk", &short_junk),
        ("new junk of 4,096 bytes", &long_junk),
    ];
    for (name, contents) in new {
        group.bench_function(name, |bencher| {
            let all = || {
                let pairs = (0..).zip(contents);
                pairs.map(|(index, bytes)| stored(index, bytes)).collect::<Vec<Content>>()
            };
            bencher.iter_batched(|| (), |()| all(), BatchSize::PerIteration);
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("put what is there");
    for (name, bytes) in [("description", &first), ("config", &config)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| stored(BATCH, black_box(bytes))));
    }
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let store = ContentStore::new(StoreParams::default());
    let stored = |index: u32, bytes: &[u8]| store.put(Scope::SHARED, digest(index), bytes).unwrap();
    let (_reference, config) = (stored(1, &description(1)), config());
    let mut group = criterion.benchmark_group("append");
    for (index, name, bytes) in [(2, "description", &description(2)), (3, "config", &config)] {
        let content = stored(index, bytes);
        let mut out = Vec::with_capacity(2 * bytes.len());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                assert!(content.append_to(&mut out));
            });
        });
        group.bench_function(format!("yardstick: a copy of the {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(bytes));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, put, append);
criterion_main!(benches);
