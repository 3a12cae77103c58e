//! What a fleet takes: contents in the shape of the load generator's, which differ between agents where real
//! ones do. Made here, since the load generator builds on this crate.

use super::*;

/// What the load generator's fleets have, too.
const CONFIGS: u32 = 50;

/// Chance that can be repeated: SplitMix64.
pub(super) struct Mix(u64);

impl Mix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e6c_63d0_876a_3f6b))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(value.len(), &mut out);
    out.extend_from_slice(value);
    out
}

fn attribute(number: u8, key: &str, value: &str) -> Vec<u8> {
    let value = field(2, &field(1, value.as_bytes()));
    field(number, &[field(1, key.as_bytes()), value].concat())
}

/// About 650 bytes, of which names, addresses and ids are the agent's own.
pub(super) fn description(index: u32) -> Vec<u8> {
    let mut mix = Mix::new(u64::from(index));
    let (id, zone, rack) = (mix.next(), mix.next() % 3, mix.next() % 400);
    let [a, b, c, _] = index.to_le_bytes();
    let parts = [
        attribute(1, "service.name", "io.opentelemetry.collector"),
        attribute(1, "service.version", &format!("0.139.{}", index % 3)),
        attribute(1, "service.instance.id", &format!("{id:016x}-{index:08x}")),
        attribute(1, "service.namespace", &format!("telemetry-{}", index % 7)),
        attribute(2, "host.name", &format!("node-{index:06}.rack{rack}.zone{zone}.example.net")),
        attribute(2, "host.id", &format!("{id:016x}{index:016x}")),
        attribute(2, "host.arch", if id & 1 == 0 { "amd64" } else { "arm64" }),
        attribute(2, "host.ip", &format!("10.{c}.{b}.{a}")),
        attribute(2, "os.type", "linux"),
        attribute(
            2,
            "os.description",
            &format!(
                "Debian GNU/Linux 13 (trixie) (Linux node-{index:06} 6.12.{rack}-amd64 #1 SMP PREEMPT_DYNAMIC x86_64)"
            ),
        ),
        attribute(2, "cloud.provider", "example"),
        attribute(2, "cloud.region", &format!("region-{}", rack % 5)),
        attribute(2, "cloud.availability_zone", &format!("region-{}{zone}", rack % 5)),
        attribute(2, "deployment.environment", "production"),
    ];
    field(3, &parts.concat())
}

/// About 600 bytes: thirteen components, each with the agent's own times.
pub(super) fn health(index: u32) -> Vec<u8> {
    let start = 1_750_000_000_000_000_000 + u64::from(index);
    let now = start + (Mix::new(u64::from(index)).next() >> 10);
    let mut one = vec![1 << 3, 1, 2 << 3 | 1];
    one.extend_from_slice(&start.to_le_bytes());
    one.extend(field(4, b"StatusOK"));
    one.push(5 << 3 | 1);
    one.extend_from_slice(&now.to_le_bytes());
    let entry =
        |key: &str, value: &[u8]| field(6, &[field(1, key.as_bytes()), field(2, value)].concat());
    let parts = ["exporter:otlphttp", "processor:batch", "receiver:otlp"];
    let parts = parts.map(|part| entry(part, &one)).concat();
    let pipeline = [one.clone(), parts].concat();
    let pipelines = ["pipeline:logs", "pipeline:metrics", "pipeline:traces"];
    let pipelines = pipelines.map(|name| entry(name, &pipeline)).concat();
    field(5, &[one, pipelines].concat())
}

/// About 7 KB.
pub(super) fn config(number: u32) -> Vec<u8> {
    let mut mix = Mix::new(u64::from(number));
    let mut text = String::new();
    while text.len() < 7_000 {
        let (name, port) = (mix.next() % 65_536, mix.next() % 60_000);
        text.push_str(&format!("  otlp/{name:04x}:\n    endpoint: 0.0.0.0:{port}\n"));
    }
    field(6, &field(1, &field(1, text.as_bytes())))
}

/// Reports of one agent, each with its digest.
fn report(index: u32) -> [(Digest, Vec<u8>); 6] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&Mix::new(u64::from(index % CONFIGS)).next().to_le_bytes());
    let package = [b"opentelemetry-collector 0.139.0 ".as_slice(), &[0xa5; 32]].concat();
    let contents = [
        description(index),
        health(index),
        config(index % CONFIGS),
        field(7, &[field(1, &hash), vec![2 << 3, 1]].concat()),
        field(8, &[field(1, &package), field(2, &[0xa5; 32])].concat()),
        field(12, &field(1, b"org.seawall.loadtest")),
    ];
    contents.map(|bytes| (Digest(sha256(&[&bytes])), bytes))
}

#[test]
fn a_fleet_takes_little_memory() {
    const AGENTS: u32 = 15_000;
    let store = ContentStore::new(StoreParams::default());
    let mut handles = Vec::new();
    let mut longest = 0;
    for index in 0..AGENTS {
        for (digest, bytes) in report(index) {
            longest = longest.max(bytes.len());
            handles.push(store.put(Scope::SHARED, digest, &bytes).unwrap());
        }
    }
    let figures = store.figures();
    assert_eq!(figures.entries, usize::try_from(2 * AGENTS + 2 * CONFIGS + 2).unwrap());
    let per_agent = figures.memory / usize::try_from(AGENTS).unwrap();
    assert!(per_agent <= 1024, "{per_agent} bytes an agent: {figures:?}");
    for (index, handles) in handles.chunks(6).enumerate().step_by(997) {
        for ((_, bytes), handle) in report(u32::try_from(index).unwrap()).iter().zip(handles) {
            assert_eq!(handle.bytes().unwrap(), bytes);
        }
    }
    drop(handles);
    let figures = store.figures();
    assert_eq!((figures.bytes, figures.entries, figures.handles), (0, 0, 0));
    // Slots and the index stay for the next.
    assert!(figures.memory < 200 * 2 * usize::try_from(AGENTS).unwrap());
}
