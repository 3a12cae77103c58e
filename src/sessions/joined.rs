//! What the fleet brings about, on a node that is one of it: each event goes to the front's side, the home's, or both.

use std::sync::Arc;

use super::fronts::{FrontSide, Fronts};
use super::homes::{HomeSide, Homes, KeyInUse, OtherHomes, ShardMoves};
use super::loopback::{Loopback, LoopbackSide};
use super::{InFleet, Joined, Sessions, Ways};
use crate::core::codec::Undecodable;
use crate::core::node_link::{LinkEnded, ToFront, ToHome, ToNewHome, ToNext};
use crate::core::ownership::{Epoch, MoveNumber, NodeIncarnation, ShardId};
use crate::ident::InstanceUid;
use crate::opamp::digest::DigestKey;

impl Sessions {
    /// The node is one of a fleet. Called at most once, before agents are admitted: later calls change nothing.
    pub fn join_fleet(&self, ways: Arc<dyn Ways>) {
        self.joined.get_or_init(|| {
            let key = KeyInUse { digester: self.digester.clone(), secret_id: ways.secret_id() };
            let (fronts, homes) = (Fronts::new(&self.params), Homes::new(key));
            Joined { ways, loopback: Loopback::new(), fronts, homes }
        });
    }

    /// `None`: the node is alone.
    pub fn in_fleet(&self) -> Option<InFleet<'_>> {
        self.joined.get().map(|joined| InFleet { sessions: self, joined })
    }
}

impl Joined {
    /// Sends a frame to a front on this agent's stream. Frames for this node are handled once the loopback is drained.
    pub(super) fn to_front(&self, front: NodeIncarnation, uid: InstanceUid, message: &ToFront<'_>) {
        if front == self.ways.me() {
            self.loopback.push(uid, LoopbackSide::Front, |out| message.encode(out));
        } else {
            // Without a link the frame is lost: the front attaches anew once there is one.
            self.ways.send(front, uid, &mut |out| message.encode(out));
        }
    }
}

impl<'a> InFleet<'a> {
    /// The front's side.
    pub(super) const fn fronts(self) -> FrontSide<'a> {
        FrontSide { sessions: self.sessions, joined: self.joined }
    }

    /// The home's side.
    pub(super) const fn homes(self) -> HomeSide<'a> {
        HomeSide { sessions: self.sessions, joined: self.joined }
    }

    /// Shards that leave and come.
    pub(super) const fn moves(self) -> ShardMoves<'a> {
        ShardMoves { sessions: self.sessions, joined: self.joined }
    }

    /// A frame of an agent's stream came from another node. Returns the shard whose records are complete with it, and
    /// the attempt that has brought them.
    ///
    /// # Errors
    /// Says what that node got wrong.
    pub fn from_node(
        self,
        from: NodeIncarnation,
        frame: &[u8],
    ) -> Result<Option<(ShardId, MoveNumber)>, Undecodable> {
        if ToNewHome::is_one(frame) {
            return self.moves().take_session(from, &ToNewHome::decode(frame)?);
        }
        if ToNext::is_one(frame) {
            let said = ToNext::decode(frame)?;
            if !self.joined.homes.arrivals.keep_word(from, &said, frame) {
                OtherHomes::of(self.homes()).former_home_said(from, &said);
            }
        } else if ToFront::is_one(frame) {
            self.fronts().home_said(from, &ToFront::decode(frame)?);
        } else {
            self.homes().front_said(from, &ToHome::decode(frame)?);
        }
        Ok(None)
    }

    /// The map, or what is in reach of it, may have changed.
    pub fn homes_changed(self) {
        self.fronts().homes_changed();
        self.moves().deliver_all_aside();
    }

    /// The link to a node is up, and [`Ways::home`] names the node as the home that it is.
    pub fn node_reached(self, node: NodeIncarnation) {
        self.fronts().home_reached(node);
        let homes = OtherHomes::of(self.homes());
        homes.tell_all_ended(node);
        homes.tell_missed(node);
        self.moves().deliver_all_aside();
    }

    /// The link to a node is down, and with it what was under way.
    pub fn node_lost(self, node: NodeIncarnation) {
        self.fronts().home_lost(node);
        self.homes().front_lost(node);
        OtherHomes::of(self.homes()).words_lost(node);
    }

    /// A node that is in reach has said which format of frames it speaks with this one.
    pub fn node_speaks(self, node: NodeIncarnation, format: u8) {
        OtherHomes::of(self.homes()).node_speaks(node, format);
    }

    /// This node is about to leave. If it holds nothing of any agent as a front, homes have nothing to ask their agents
    /// for.
    pub fn front_leaves(self) {
        if self.joined.fronts.holds_nothing() {
            // Of no agent: any stream will do.
            let uid = InstanceUid::from_bytes([0; 16]);
            for node in self.joined.ways.linked() {
                self.joined.to_home(node, uid, &mut |out| ToHome::FrontLeaves.encode(out));
            }
        }
    }

    /// A node is no member of the fleet any more, and will not be one again under this incarnation.
    pub fn node_gone(self, node: NodeIncarnation) {
        self.homes().front_gone(node);
        let homes = OtherHomes::of(self.homes());
        homes.former_home_gone(node);
        homes.present_home_gone(node);
    }

    /// A link to a server has ended. `owner`: the agent whose own it was.
    pub fn server_link_ended(self, ended: LinkEnded, owner: Option<InstanceUid>) {
        OtherHomes::of(self.homes()).server_link_ended(ended, owner);
    }

    /// This node is the shard's home from now on. `handed_by`: the attempt whose sessions count. Returns whether they
    /// are here.
    pub fn install(self, shard: ShardId, epoch: Epoch, handed_by: Option<MoveNumber>) -> bool {
        self.moves().install(shard, epoch, handed_by)
    }

    /// The sessions of this shard come from that node, in this attempt. Some may have come before.
    pub fn receive(self, shard: ShardId, from: NodeIncarnation, attempt: MoveNumber) {
        self.joined.homes.arrivals.receive(shard, from, attempt);
    }

    /// Whether all sessions of a shard are here that this attempt brings.
    pub fn has_received(self, shard: ShardId, attempt: MoveNumber) -> bool {
        self.joined.homes.arrivals.has_received(shard, attempt)
    }

    /// The sessions that have come are void.
    pub fn discard(self, shard: ShardId) {
        self.joined.homes.arrivals.discard(shard);
    }

    /// The agents whose sessions a frozen shard has. From here on nothing changes them.
    pub fn agents_of(self, shard: ShardId) -> Vec<InstanceUid> {
        self.moves().agents_of(shard)
    }

    /// Sends the session of an agent of a frozen shard to the shard's new home. Returns how many bytes that were.
    pub fn send_session(self, uid: InstanceUid, to: NodeIncarnation, attempt: MoveNumber) -> usize {
        self.moves().send_session(uid, to, attempt)
    }

    /// Says to the shard's new home that all its sessions were sent in this attempt, and how many they are.
    pub fn end_sessions(
        self,
        shard: ShardId,
        to: NodeIncarnation,
        (attempt, count): (MoveNumber, usize),
    ) {
        self.moves().end_sessions(shard, to, (attempt, count));
    }

    /// This node is the shard's home no longer. Its sessions go without a word to an agent or a server.
    pub fn release(self, shard: ShardId) {
        self.moves().release(shard);
    }

    /// The shard is on its way to another home: its sessions take what servers answer, and nothing else.
    pub fn freeze(self, shard: ShardId) {
        self.moves().freeze(shard);
    }

    /// The shard stays after all: its sessions say what they have to say.
    pub fn unfreeze(self, shard: ShardId) {
        self.moves().unfreeze(shard);
    }

    /// Whether servers have answered everything that was said for the shard's agents.
    pub fn is_settled(self, shard: ShardId) -> bool {
        self.moves().is_settled(shard)
    }

    /// From now on digests are taken with this key, which all nodes of the fleet share.
    pub fn set_digest_key(self, digest_key: &DigestKey, secret_id: u64) {
        self.homes().set_digest_key(digest_key, secret_id);
    }

    /// Handles what the fronts and the homes of this node say to each other. Called without locks.
    pub(super) fn handle_loopback(self, uid: InstanceUid) {
        self.joined.loopback.drain(uid, |_, _, frame| {
            let read = self.from_node(self.joined.ways.me(), frame);
            debug_assert!(read.is_ok(), "a frame of this node's own: {read:?}");
        });
    }
}
