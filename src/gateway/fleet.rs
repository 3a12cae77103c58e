//! How the gateway is a node: alone, over its own memory, or one of several that share a store.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::StartError;
use crate::cluster::FrameBounds;
use crate::config::Config;
use crate::core::drain::Terms;
use crate::core::ownership::encoding::PEER_BYTES_MAX;
use crate::core::ownership::{NodeParams, SHARDS};
use crate::fleet::{DataPlane, Fleet, FleetParams, FleetTask, SessionsAndServers};
use crate::ownership::params::{OwnershipParams, SharedStore};
use crate::ownership::redis::RedisStore;
use crate::ownership::{MemoryStore, Store};
use crate::upstream::params::Mode;

/// What a frame between nodes adds to a message.
const FRAME_HEAD_BYTES_MAX: usize = 64 << 10;

/// How long a node that stops waits for the end of its membership, and for its shards to be handed over at most.
pub(super) const LEAVE_PATIENCE: Duration = Duration::from_secs(5);
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node that drains waits for its shards to be handed over: most of its time is for its agents.
pub(super) fn hand_over_patience(drain: Terms) -> Duration {
    HAND_OVER_PATIENCE.min(drain.time_max / 4)
}

/// What the configuration says of a node.
pub(super) struct NodeSettings {
    ownership: OwnershipParams,
    settings: u64,
    bounds: FrameBounds,
}

impl NodeSettings {
    pub(super) fn of(config: &Config) -> Self {
        let message = config.edge.message_bytes_max.max(config.upstream.message_bytes_max);
        let frame_bytes_max = (message + FRAME_HEAD_BYTES_MAX).max(PEER_BYTES_MAX + 1);
        Self {
            ownership: config.ownership.clone(),
            settings: fingerprint(config),
            bounds: FrameBounds { frame_bytes_max, ..FrameBounds::DEFAULT },
        }
    }

    /// A node that has yet to start.
    pub(super) fn node(
        self,
        plane: SessionsAndServers,
    ) -> Result<(Arc<Fleet>, FleetTask), StartError> {
        let Self { ownership, settings, bounds } = self;
        let is_shared = matches!(ownership.store, SharedStore::Redis(_));
        let store: Arc<dyn Store> = match &ownership.store {
            SharedStore::Memory => Arc::new(MemoryStore::new()),
            SharedStore::Redis(redis) => {
                Arc::new(RedisStore::new(redis).map_err(StartError::Store)?)
            }
        };
        let times = NodeParams {
            lease: ownership.lease,
            autonomy: ownership.autonomy,
            shards: SHARDS,
            lone_speaks: ownership.lone_speaks,
            private: !is_shared,
        };
        let params = FleetParams {
            name: ownership.node_name(),
            times,
            listen: ownership.listen_address().filter(|_| is_shared),
            advertise: ownership.advertise,
            settings,
            bounds,
        };
        let plane = Arc::new(plane);
        let shared = is_shared.then(|| Arc::clone(&plane) as Arc<dyn DataPlane>);
        let (fleet, task) = FleetTask::new(params, store, shared)?;
        if is_shared {
            plane.join(&fleet);
        }
        Ok((fleet, task))
    }
}

/// Fingerprint of what must be the same on all nodes of a fleet: where agents are reported to and how, what counts
/// as a change, how many may enter, and the times of ownership.
fn fingerprint(config: &Config) -> u64 {
    let Config { upstream, sessions, edge, ownership, .. } = config;
    let mut text = String::new();
    for server in &upstream.servers {
        let mode = match server.mode {
            Mode::Multiplexed { .. } => "multiplexed",
            Mode::PerAgent => "per-agent",
            Mode::Http { .. } => "http",
        };
        text += &format!("{:?} {} {mode}\n", server.name, server.url);
    }
    text += &format!("{:?} {:?}\n", sessions.volatile, sessions.grace_period);
    let rate = edge.admission.rate.map(NonZeroU32::get);
    text += &format!("{rate:?} {:?} {:?}\n", ownership.lease, ownership.autonomy);
    let hash = digest(&SHA256, text.as_bytes());
    let first = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> u64 {
        let server = "[[upstream.servers]]\nname = \"a\"\nurl = \"ws://127.0.0.1:1/\"\n";
        fingerprint(&crate::config::parse(&format!("{text}\n{server}"), &[]).unwrap())
    }

    #[test]
    fn settings_that_must_agree_have_the_same_fingerprint() {
        let same = settings("[edge]\nlisten = [\"127.0.0.1:2\"]");
        assert_eq!(same, settings("[admin]\nlisten = \"127.0.0.1:3\""));
        for other in [
            "[admission]\nrate = 7",
            "[ownership]\nlease = \"7s\"",
            "[sessions]\ngrace_period = \"7s\"",
        ] {
            assert_ne!(same, settings(other), "{other}");
        }
    }
}
