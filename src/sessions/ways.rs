//! The ways from this node to the others, as sessions need them. `fleet` knows the map and the node links, and
//! implements it; a test may too. Without it a node is alone: its agents' connections all end here.

use std::time::{Duration, Instant};

use crate::core::ownership::{
    AbsenceBegan, AbsenceEnd, Home, MapVersion, NodeIncarnation, ShardId,
};
use crate::ident::InstanceUid;

/// See the module's text. Called with locks held: returns at once, and leaves sessions alone.
pub trait Ways: Send + Sync + 'static {
    /// This node's present incarnation.
    fn me(&self) -> NodeIncarnation;

    /// The shard's home by the map, if it is this node or its link is up.
    fn home(&self, shard: ShardId) -> Option<Home>;

    /// The nodes that are members by the map.
    fn members(&self) -> Vec<NodeIncarnation>;

    /// The nodes whose links are up.
    fn linked(&self) -> Vec<NodeIncarnation>;

    /// The version of the map that this node goes by.
    fn version(&self) -> MapVersion;

    /// Sends a frame to another node on this agent's stream. `false`: there is no link, or no room on it. A link
    /// without room is closed, so that both sides begin anew.
    fn send(
        &self,
        to: NodeIncarnation,
        uid: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool;

    /// Another node has seen this version of the map: this one reads it.
    fn read_map(&self, version: MapVersion);

    /// The id of the fleet's key of digests.
    fn secret_id(&self) -> u64;

    /// When an absence that this node watches may end.
    fn absence_end(&self, began: AbsenceBegan, grace: Duration, now: Instant) -> AbsenceEnd;
}
