//! What a message costs on its way: scan, splice, waiting offers, frames. Each beside its yardstick.
//!
//! Absolute figures drift with the machine; the ratio to the yardstick in the same group counts.
//! `cargo bench --bench opamp`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

mod state;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use seawall::ident::{InstanceUid, SequenceNum};
use seawall::opamp::proto::{self, AgentToServer, ServerToAgent};
use seawall::opamp::{Additions, AgentScan, Offers, OffersLimits, ServerScan, agent_field, splice};
use seawall::websocket::{self, Decoder, Incoming, Role};
use state::full_state;

const MASK: [u8; 4] = [0x5a, 1, 0xff, 0x80];
const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

fn scan(criterion: &mut Criterion) {
    let bytes = full_state().encode_to_vec();
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
    let bytes = full_state().encode_to_vec();
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
    let payload = full_state().encode_to_vec();
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
