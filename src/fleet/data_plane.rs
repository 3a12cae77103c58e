//! What the fleet wants of the data plane: of sessions, and of links to servers. Tests put a notebook in its place.

use crate::core::codec::Undecodable;
use crate::core::ownership::{Epoch, HoldReason, MoveNumber, NodeIncarnation, Secret, ShardId};
use crate::ident::InstanceUid;

/// What was sent of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsSent {
    /// In which attempt.
    pub attempt: MoveNumber,
    /// How many sessions.
    pub count: usize,
}

/// See the module's text. Each call returns at once.
pub trait DataPlane: Send + Sync + 'static {
    /// This node is the shard's home from now on. `handed_by`: the attempt whose sessions count. Returns whether they
    /// are here: if those of a later attempt have begun to come since, nothing counts.
    fn install(&self, shard: ShardId, epoch: Epoch, handed_by: Option<MoveNumber>) -> bool;

    /// It is the shard's home no longer: its sessions leave without a word to any server.
    fn release(&self, shard: ShardId);

    /// Nothing new is taken or sent for the shard.
    fn freeze(&self, shard: ShardId);

    /// Whether servers have answered all that was said for the shard's agents.
    fn is_settled(&self, shard: ShardId) -> bool;

    /// The agents whose sessions a frozen shard has.
    fn agents_of(&self, shard: ShardId) -> Vec<InstanceUid>;

    /// Sends the session of an agent of a frozen shard to the shard's new home.
    fn send_session(&self, uid: InstanceUid, to: NodeIncarnation, attempt: MoveNumber);

    /// Says to the shard's new home that all its sessions were sent, and how many they are.
    fn end_sessions(&self, shard: ShardId, to: NodeIncarnation, sent: SessionsSent);

    /// The shard stays: its sessions go on.
    fn unfreeze(&self, shard: ShardId);

    /// The sessions of this shard come from that node, in this attempt. Some may have come before: they take other
    /// streams than what nodes say of shards. Of an earlier attempt all are void once one of a later attempt has come.
    fn receive(&self, shard: ShardId, from: NodeIncarnation, attempt: MoveNumber);

    /// Whether all sessions of a shard are here that this attempt brings.
    fn has_received(&self, shard: ShardId, attempt: MoveNumber) -> bool;

    /// The sessions that have come are void.
    fn discard(&self, shard: ShardId);

    /// A node link is up. Frames of that node follow.
    fn node_reached(&self, node: NodeIncarnation);

    /// A node that is reached has said which format of frames it speaks with this one. Frames may have come before.
    fn node_speaks(&self, node: NodeIncarnation, format: u8);

    /// A node link is lost: what was sent on it and is unconfirmed goes again, on the next one.
    fn node_lost(&self, node: NodeIncarnation);

    /// The node is a member no longer.
    fn node_gone(&self, node: NodeIncarnation);

    /// A frame about an agent has come. Returns the shard whose sessions are complete with it, and the attempt.
    ///
    /// # Errors
    /// If no version of Seawall writes such a frame. The other node's fault.
    fn take_frame(
        &self,
        from: NodeIncarnation,
        frame: &[u8],
    ) -> Result<Option<(ShardId, MoveNumber)>, Undecodable>;

    /// Shards have other homes, or homes are within reach, or out of it.
    fn homes_changed(&self);

    /// The fleet's key of digests: what was digested with another one is unknown.
    fn set_digest_key(&self, secret: &Secret);

    /// Says nothing to servers, for this reason; `None`: it may speak.
    fn hold_still(&self, why: Option<HoldReason>);

    /// Drops what waits for servers before another byte is written to them.
    fn drop_waiting(&self);
}
