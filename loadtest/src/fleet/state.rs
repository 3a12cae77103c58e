//! An agent's state as report fields, made anew for each report from a few numbers.
//!
//! Map entries come in a new order each time, as Go's encoder writes them, and status times move.

use std::fmt::Write;

use super::mix::Mix;
use super::profile::Profile;
use super::protobuf::{bytes, entry, fixed, message, uint};
use crate::oracle::fields::StatusField;

/// When the fleet was started, for `start_time_unix_nano`.
const STARTED_UNIX_NANOS: u64 = 1_750_000_000_000_000_000;

/// `RemoteConfigStatuses_APPLIED` and `ConnectionSettingsStatuses_APPLIED`.
const APPLIED: u64 = 1;

/// From what an agent's state follows.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The agent's number in the whole fleet.
    pub(crate) index: u32,
    /// How often its health has changed.
    pub(crate) health_changes: u32,
    /// How often its effective configuration has changed by itself.
    pub(crate) config_changes: u32,
    /// The hash of the last remote configuration, if one was offered.
    pub(crate) remote_config: Option<Box<[u8]>>,
    /// The hash of the last connection settings, if any were offered.
    pub(crate) settings: Option<Box<[u8]>>,
}

impl Facts {
    /// A new agent's.
    pub(crate) fn new(index: u32) -> Self {
        Self { index, health_changes: 0, config_changes: 0, remote_config: None, settings: None }
    }

    /// Appends a status field, key included. Settings count only once they were offered.
    pub(crate) fn encode(&self, field: StatusField, send: Sending<'_>, out: &mut Vec<u8>) {
        let Sending { profile, mut mix, with_components } = send;
        match field {
            StatusField::AgentDescription => message(3, out, |out| self.description(profile, out)),
            StatusField::Health => message(5, out, |out| self.health(&mut mix, out)),
            StatusField::EffectiveConfig => message(6, out, |out| {
                message(1, out, |out| self.config_map(profile, &mut mix, out));
            }),
            StatusField::RemoteConfigStatus => message(7, out, |out| {
                let hash = self.remote_config.as_deref();
                bytes(1, hash.unwrap_or(&profile.config_of(self.index).hash), out);
                uint(2, APPLIED, out);
            }),
            StatusField::PackageStatuses => message(8, out, |out| packages(&mut mix, out)),
            StatusField::CustomCapabilities => message(12, out, |out| {
                bytes(1, "org.seawall.loadtest", out);
                bytes(1, "io.opentelemetry.remote-shell", out);
            }),
            StatusField::AvailableComponents => message(14, out, |out| {
                if with_components {
                    for index in mix.order::<5>() {
                        out.extend_from_slice(&profile.components[index]);
                    }
                }
                bytes(2, profile.components_hash, out);
            }),
            StatusField::ConnectionSettingsStatus => {
                if let Some(hash) = &self.settings {
                    message(15, out, |out| {
                        bytes(1, hash, out);
                        uint(2, APPLIED, out);
                    });
                }
            }
        }
    }

    fn description(&self, profile: &Profile, out: &mut Vec<u8>) {
        let index = self.index;
        let mut mix = Mix::new(profile.seed, u64::from(index), u64::from_be_bytes(*b"describe"));
        let (id, zone, rack) = (mix.next(), mix.below(3), mix.below(400));
        let mut text = String::with_capacity(96);
        let mut attribute = |field: u32, key: &str, value: std::fmt::Arguments<'_>| {
            text.clear();
            // Writing into a String always succeeds.
            let _ = text.write_fmt(value);
            message(field, out, |out| {
                bytes(1, key, out);
                message(2, out, |out| bytes(1, &text, out));
            });
        };
        attribute(1, "service.name", format_args!("io.opentelemetry.collector"));
        attribute(1, "service.version", format_args!("0.139.{}", index % 3));
        attribute(1, "service.instance.id", format_args!("{id:016x}-{index:08x}"));
        attribute(1, "service.namespace", format_args!("telemetry-{}", index % 7));
        attribute(
            2,
            "host.name",
            format_args!("node-{index:06}.rack{rack}.zone{zone}.example.net"),
        );
        attribute(2, "host.id", format_args!("{id:016x}{index:016x}"));
        attribute(2, "host.arch", format_args!("{}", ["amd64", "arm64"][(id & 1) as usize]));
        let [a, b, c, _] = index.to_le_bytes();
        attribute(2, "host.ip", format_args!("10.{c}.{b}.{a}"));
        attribute(2, "os.type", format_args!("linux"));
        attribute(
            2,
            "os.description",
            format_args!(
                "Debian GNU/Linux 13 (trixie) (Linux node-{index:06} 6.12.{rack}-amd64 #1 SMP PREEMPT_DYNAMIC x86_64)"
            ),
        );
        attribute(2, "cloud.provider", format_args!("example"));
        attribute(2, "cloud.region", format_args!("region-{}", rack % 5));
        attribute(2, "cloud.availability_zone", format_args!("region-{}{}", rack % 5, zone));
        attribute(2, "deployment.environment", format_args!("production"));
    }

    /// A tree of three pipelines with three components each.
    fn health(&self, mix: &mut Mix, out: &mut Vec<u8>) {
        const PIPELINES: [&str; 3] = ["pipeline:traces", "pipeline:metrics", "pipeline:logs"];
        const PARTS: [&str; 3] = ["receiver:otlp", "processor:batch", "exporter:otlphttp"];
        let changes = u64::from(self.health_changes);
        let now = STARTED_UNIX_NANOS + (mix.next() >> 10);
        let one = |status: &str, out: &mut Vec<u8>| {
            uint(1, 1, out);
            fixed(2, STARTED_UNIX_NANOS + u64::from(self.index), out);
            bytes(4, status, out);
            fixed(5, now, out);
        };
        one("StatusOK", out);
        if changes > 0 {
            let mut text = String::with_capacity(48);
            let _ = write!(text, "recovered {changes} times");
            bytes(3, &text, out);
        }
        for pipeline in mix.order::<3>() {
            entry(6, PIPELINES[pipeline], out, |out| {
                one("StatusOK", out);
                for part in mix.order::<3>() {
                    let recovering = changes % 9 == (pipeline * 3 + part) as u64 && changes > 0;
                    entry(6, PARTS[part], out, |out| {
                        one(if recovering { "StatusRecoverableError" } else { "StatusOK" }, out);
                    });
                }
            });
        }
    }

    fn config_map(&self, profile: &Profile, mix: &mut Mix, out: &mut Vec<u8>) {
        let config = profile.config_of(self.index);
        let changes = self.config_changes;
        for place in mix.order::<3>() {
            match config.entries.get(place) {
                Some(encoded) => out.extend_from_slice(encoded),
                None if changes > 0 => entry(1, "local.yaml", out, |out| {
                    bytes(1, format!("# edited {changes} times on agent {}\n", self.index), out);
                    bytes(2, "text/yaml", out);
                }),
                None => {}
            }
        }
    }
}

/// What else a field depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    /// The fleet's common part.
    pub(crate) profile: &'a Profile,
    /// Draws the order of map entries and the times.
    pub(crate) mix: Mix,
    /// Whether the component map goes with its hash.
    pub(crate) with_components: bool,
}

fn packages(mix: &mut Mix, out: &mut Vec<u8>) {
    const NAMES: [&str; 2] = ["opentelemetry-collector", "node-exporter"];
    const HASH: [u8; 32] = [0xa5; 32];
    for index in mix.order::<2>() {
        entry(1, NAMES[index], out, |out| {
            bytes(1, NAMES[index], out);
            bytes(2, "0.139.0", out);
            bytes(3, HASH, out);
            bytes(4, "0.139.0", out);
            bytes(5, HASH, out);
        });
    }
    bytes(2, HASH, out);
}
