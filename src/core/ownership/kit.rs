//! What the unit tests of this folder share: short names for nodes, shards, leases.

use std::time::Duration;

use super::{Epoch, Lease, NodeIncarnation, NodeName, NodeParams, ShardId};

pub(super) fn params() -> NodeParams {
    NodeParams {
        lease: Duration::from_secs(10),
        autonomy: Duration::from_secs(1_800),
        shards: 12,
        lone_speaks: false,
        private: false,
    }
}

pub(super) fn node(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

pub(super) fn shard(number: u16) -> ShardId {
    ShardId::new(number).unwrap()
}

pub(super) fn epoch(number: u64, taker: u64) -> Epoch {
    Epoch { number, taker: node(taker) }
}

pub(super) fn lease(number: u64) -> Lease {
    Lease::new(NodeName::try_new(&format!("node-{number}")).unwrap(), node(number))
}
