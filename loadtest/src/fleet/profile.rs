//! What the agents of a fleet have in common: configurations, components, names of things. Made
//! once, from the seed, and shared, so that an agent itself is small.

use super::mix::Mix;
use super::protobuf::{bytes, entry, message};

/// Distinct effective configurations in a fleet.
const CONFIGS: usize = 50;
/// The kinds of components, and how many there are of each: about 60 in all.
const KINDS: [(&str, usize); 5] = [
    ("receivers", 20),
    ("processors", 14),
    ("exporters", 15),
    ("extensions", 7),
    ("connectors", 4),
];
/// Longest and shortest main file of a configuration, in bytes.
const CONFIG_BYTES: std::ops::Range<usize> = 6_200..8_100;

/// One effective configuration.
#[derive(Debug)]
pub(crate) struct AgentConfig {
    /// Entries of `AgentConfigMap.config_map`, encoded.
    pub(crate) entries: [Vec<u8>; 2],
    /// The hash under which a server offered it.
    pub(crate) hash: [u8; 32],
}

/// The common part.
#[derive(Debug)]
pub(crate) struct Profile {
    /// From which everything follows.
    pub(crate) seed: u64,
    configs: Vec<AgentConfig>,
    /// Entries of `AvailableComponents.components`, encoded.
    pub(crate) components: [Vec<u8>; KINDS.len()],
    /// What names them.
    pub(crate) components_hash: [u8; 32],
}

impl Profile {
    /// Makes it up.
    pub(crate) fn new(seed: u64) -> Self {
        let mut components_hash = [0; 32];
        Mix::new(seed, 0, u64::from_be_bytes(*b"comphash")).fill(&mut components_hash);
        Self {
            seed,
            configs: (0..CONFIGS).map(|index| config(seed, index)).collect(),
            components: KINDS.map(|(kind, count)| component_kind(kind, count)),
            components_hash,
        }
    }

    /// The configuration that an agent runs. A few are common, most are rare, as in the field.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..CONFIGS")]
    pub(crate) fn config_of(&self, index: u32) -> &AgentConfig {
        let drawn = Mix::new(self.seed, u64::from(index), u64::from_be_bytes(*b"whichcfg")).unit();
        &self.configs[(drawn * drawn * CONFIGS as f64) as usize]
    }
}

fn config(seed: u64, index: usize) -> AgentConfig {
    let mut mix = Mix::new(seed, index as u64, u64::from_be_bytes(*b"config\0\0"));
    let length = CONFIG_BYTES.start + mix.below(CONFIG_BYTES.len());
    let mut text = format!("# configuration {index}\nreceivers:\n");
    while text.len() < length {
        let port = 1024 + mix.below(60_000);
        let kind = ["otlp", "filelog", "hostmetrics", "prometheus", "kafka"][mix.below(5)];
        text.push_str(&format!(
            "  {kind}/{:04x}:\n    endpoint: 0.0.0.0:{port}\n    include: [/var/log/{:08x}/*.log]\n    retry_on_failure: {{enabled: true, max_elapsed_time: {}s}}\n",
            mix.below(65_536),
            mix.below(1 << 30),
            mix.below(600)
        ));
    }
    let environment = format!("region: zone-{}\ntier: {}\n", mix.below(9), mix.below(4));
    let mut hash = [0; 32];
    mix.fill(&mut hash);
    let file = |name: &str, body: &str| {
        let mut out = Vec::new();
        entry(1, name, &mut out, |out| {
            bytes(1, body, out);
            bytes(2, "text/yaml", out);
        });
        out
    };
    AgentConfig { entries: [file("", &text), file("environment.yaml", &environment)], hash }
}

/// An entry of `AvailableComponents.components` with its `sub_component_map`.
fn component_kind(kind: &str, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    entry(1, kind, &mut out, |out| {
        for number in 0..count {
            let module =
                format!("go.opentelemetry.io/contrib/{kind}/{kind}{number:02} v0.139.{number}");
            entry(2, &format!("{kind}{number:02}"), out, |out| {
                message(1, out, |out| {
                    bytes(1, "code.namespace", out);
                    message(2, out, |out| bytes(1, &module, out));
                });
            });
        }
    });
    out
}
