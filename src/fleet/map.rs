//! The map as the data plane goes by it: a copy that is replaced as a whole, so that readers never wait for the
//! state machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::core::ownership::{
    Home, MapVersion, Node, NodeIncarnation, RunId, SHARDS, ShardId, ViewDigest,
};

/// See the module's text.
#[derive(Debug)]
pub(super) struct MapCopy {
    /// What the copy was made of: an equal one needs no other copy.
    seen: (NodeIncarnation, RunId, MapVersion, ViewDigest),
    homes: Box<[Option<Home>]>,
}

impl MapCopy {
    /// A map without homes, for a node that has read none.
    fn empty(node: &Node) -> Self {
        Self { seen: seen(node), homes: Box::from([]) }
    }

    fn of(node: &Node) -> Self {
        Self { seen: seen(node), homes: ShardId::all().map(|shard| node.home(shard)).collect() }
    }

    /// The shard's home.
    pub(super) fn home(&self, shard: ShardId) -> Option<Home> {
        self.homes.get(shard.index()).copied().flatten()
    }

    /// The version.
    pub(super) const fn version(&self) -> MapVersion {
        self.seen.2
    }

    /// Shards without a home.
    pub(super) fn vacant(&self) -> usize {
        usize::from(SHARDS) - self.homes.iter().flatten().count()
    }

    /// The nodes that are homes.
    pub(super) fn homes(&self) -> BTreeSet<NodeIncarnation> {
        self.homes.iter().flatten().map(|home| home.node).collect()
    }

    /// Shards at home at that node.
    pub(super) fn held_by(&self, node: NodeIncarnation) -> usize {
        self.homes.iter().flatten().filter(|home| home.node == node).count()
    }
}

const fn seen(node: &Node) -> (NodeIncarnation, RunId, MapVersion, ViewDigest) {
    let content = node.content();
    (node.incarnation(), content.run, content.version, node.view_digest())
}

/// The present copy.
#[derive(Debug)]
pub(super) struct PresentMap(watch::Sender<Arc<MapCopy>>);

impl PresentMap {
    pub(super) fn new(node: &Node) -> Self {
        Self(watch::Sender::new(Arc::new(MapCopy::empty(node))))
    }

    pub(super) fn get(&self) -> Arc<MapCopy> {
        Arc::clone(&self.0.borrow())
    }

    /// The shard's home.
    pub(super) fn home(&self, shard: ShardId) -> Option<Home> {
        self.0.borrow().home(shard)
    }

    /// The version.
    pub(super) fn version(&self) -> MapVersion {
        self.0.borrow().version()
    }

    /// Replaces the copy, if the node's view is another one. Returns the new copy.
    pub(super) fn follow(&self, node: &Node) -> Option<Arc<MapCopy>> {
        if self.0.borrow().seen == seen(node) {
            return None;
        }
        let copy = Arc::new(MapCopy::of(node));
        self.0.send_replace(Arc::clone(&copy));
        Some(copy)
    }

    /// A node that has just begun anew is at home nowhere, and knows of no home.
    pub(super) fn clear(&self, node: &Node) {
        self.0.send_replace(Arc::new(MapCopy::empty(node)));
    }
}
