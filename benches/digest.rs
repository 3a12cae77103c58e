//! What it costs to find out that a full state is unchanged, beside decoding it.
//!
//! Absolute figures drift with the machine; the ratio to the yardstick in the same group counts.
//! `cargo bench --bench digest`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

mod state;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use seawall::opamp::AgentScan;
use seawall::opamp::digest::{Digester, Scratch, canonical_field, report_hash};
use seawall::opamp::proto::AgentToServer;
use state::full_state;

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
    group.bench_function("canonical, unsorted maps: scan, digests, bytes to keep", |bencher| {
        bencher.iter(|| {
            let scan = AgentScan::parse(black_box(&unsorted)).unwrap();
            digester.report_to_store(&scan, &mut scratch, |_, digest| {
                black_box(digest);
            });
            black_box(scratch.kept(&unsorted, 5)).unwrap().len()
        });
    });
    group.bench_function("yardstick: prost decode", |bencher| {
        bencher.iter(|| AgentToServer::decode(black_box(&bytes[..])).unwrap());
    });
    group.finish();
}

fn store(criterion: &mut Criterion) {
    let state = full_state();
    let health = state.health.unwrap().encode_to_vec();
    let config = state.effective_config.unwrap().encode_to_vec();
    let mut scratch = Scratch::default();
    let mut group = criterion.benchmark_group("canonical bytes to keep");
    for (number, name, value) in [(5, "health", &health), (6, "effective_config", &config)] {
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                canonical_field(number, black_box(value), &mut scratch, |field| {
                    black_box(field).len()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, unchanged, store);
criterion_main!(benches);
