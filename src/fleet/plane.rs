//! The data plane of a gateway: its sessions and its links to servers.

use std::sync::Arc;

use super::data_plane::{DataPlane, SessionsSent};
use super::shared::Fleet;
use crate::core::codec::Undecodable;
use crate::core::ownership::{Epoch, HoldReason, MoveNumber, NodeIncarnation, Secret, ShardId};
use crate::ident::InstanceUid;
use crate::opamp::digest::DigestKey;
use crate::sessions::{InFleet, Sessions};
use crate::upstream::{SpeakGate, Upstream};

/// See the module's text.
pub struct SessionsAndServers {
    /// The sessions of the shards that are at home here, and the connections that end here.
    pub sessions: Arc<Sessions>,
    /// The links to servers.
    pub upstream: Arc<Upstream>,
}

impl SessionsAndServers {
    /// Has sessions and links ask the fleet, and hold still until it says that they may speak. Called before either
    /// has begun.
    pub fn join(&self, fleet: &Arc<Fleet>) {
        self.sessions.join_fleet(Arc::clone(fleet) as _);
        self.upstream.join_fleet(Arc::clone(fleet) as _, fleet.params.times.lease);
        self.upstream.hold_still(Some(HoldReason::NoMember));
    }
}

impl SessionsAndServers {
    fn fleet(&self) -> InFleet<'_> {
        self.sessions.in_fleet().expect("sessions have joined before the fleet's task began")
    }
}

impl DataPlane for SessionsAndServers {
    fn install(&self, shard: ShardId, epoch: Epoch, handed_by: Option<MoveNumber>) -> bool {
        self.fleet().install(shard, epoch, handed_by)
    }

    fn release(&self, shard: ShardId) {
        self.fleet().release(shard);
    }

    fn freeze(&self, shard: ShardId) {
        self.fleet().freeze(shard);
    }

    fn is_settled(&self, shard: ShardId) -> bool {
        self.fleet().is_settled(shard)
    }

    fn agents_of(&self, shard: ShardId) -> Vec<InstanceUid> {
        self.fleet().agents_of(shard)
    }

    fn send_session(&self, uid: InstanceUid, to: NodeIncarnation, attempt: MoveNumber) {
        self.fleet().send_session(uid, to, attempt);
    }

    fn end_sessions(&self, shard: ShardId, to: NodeIncarnation, sent: SessionsSent) {
        self.fleet().end_sessions(shard, to, (sent.attempt, sent.count));
    }

    fn unfreeze(&self, shard: ShardId) {
        self.fleet().unfreeze(shard);
    }

    fn receive(&self, shard: ShardId, from: NodeIncarnation, attempt: MoveNumber) {
        self.fleet().receive(shard, from, attempt);
    }

    fn has_received(&self, shard: ShardId, attempt: MoveNumber) -> bool {
        self.fleet().has_received(shard, attempt)
    }

    fn discard(&self, shard: ShardId) {
        self.fleet().discard(shard);
    }

    fn node_reached(&self, node: NodeIncarnation) {
        self.fleet().node_reached(node);
    }

    fn node_speaks(&self, node: NodeIncarnation, format: u8) {
        self.fleet().node_speaks(node, format);
    }

    fn node_lost(&self, node: NodeIncarnation) {
        self.fleet().node_lost(node);
    }

    fn node_gone(&self, node: NodeIncarnation) {
        self.fleet().node_gone(node);
    }

    fn take_frame(
        &self,
        from: NodeIncarnation,
        frame: &[u8],
    ) -> Result<Option<(ShardId, MoveNumber)>, Undecodable> {
        self.fleet().from_node(from, frame)
    }

    fn homes_changed(&self) {
        self.fleet().homes_changed();
    }

    fn set_digest_key(&self, secret: &Secret) {
        self.fleet().set_digest_key(&DigestKey::derive(&secret.key), secret.id);
    }

    fn hold_still(&self, why: Option<HoldReason>) {
        self.upstream.hold_still(why);
    }

    fn drop_waiting(&self) {
        self.upstream.drop_waiting();
    }
}

impl SpeakGate for Fleet {
    fn may_write(&self) -> bool {
        Self::may_write(self)
    }
}
