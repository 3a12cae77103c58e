//! What a node has beside its table once it is one of a fleet: the ways to the others, and the way from its own fronts
//! to its own homes. Without it the node is alone, and its agents' connections stand directly at their sessions.

use std::sync::Arc;

use super::fronts::Fronts;
use super::homes::{Homes, KeyInUse};
use super::loopback::{Loopback, Side};
use super::{Sessions, Ways};
use crate::core::codec::Undecodable;
use crate::core::node_link::{ToFront, ToHome};
use crate::core::ownership::NodeIncarnation;
use crate::ident::InstanceUid;

/// See the module's text.
pub(super) struct Joined {
    pub(super) ways: Arc<dyn Ways>,
    pub(super) loopback: Loopback,
    pub(super) fronts: Fronts,
    pub(super) homes: Homes,
}

impl Joined {
    /// Sends a frame to a front on this agent's stream. Frames for this node are handled once the loopback is drained.
    pub(super) fn to_front(&self, front: NodeIncarnation, uid: InstanceUid, message: &ToFront<'_>) {
        if front == self.ways.me() {
            self.loopback.push(uid, Side::Front, |out| message.encode(out));
        } else {
            // Without a link the frame is lost: the front attaches anew once there is one.
            self.ways.send(front, uid, &mut |out| message.encode(out));
        }
    }
}

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
    pub(super) fn joined(&self) -> Option<&Joined> {
        self.joined.get()
    }

    /// A frame of an agent's stream came from another node.
    ///
    /// # Errors
    /// Says what that node got wrong.
    pub fn from_node(&self, from: NodeIncarnation, frame: &[u8]) -> Result<(), Undecodable> {
        let Some(joined) = self.joined() else { return Ok(()) };
        if ToFront::is_one(frame) {
            self.home_said(joined, from, &ToFront::decode(frame)?);
        } else {
            self.front_said(joined, from, &ToHome::decode(frame)?);
        }
        Ok(())
    }

    /// Handles what the fronts and the homes of this node say to each other. Called without locks.
    pub(super) fn handle_loopback(&self, joined: &Joined, uid: InstanceUid) {
        joined.loopback.drain(uid, |_, _, frame| {
            let read = self.from_node(joined.ways.me(), frame);
            debug_assert!(read.is_ok(), "a frame of this node's own: {read:?}");
        });
    }

    /// The link to a node is up, and [`Ways::home`] names the node as the home that it is.
    pub fn node_reached(&self, node: NodeIncarnation) {
        if let Some(joined) = self.joined() {
            self.home_reached(joined, node);
        }
    }

    /// The link to a node is down, and with it what was under way.
    pub fn node_lost(&self, node: NodeIncarnation) {
        if let Some(joined) = self.joined() {
            self.home_lost(joined, node);
            self.front_lost(joined, node);
        }
    }

    /// A node is no member of the fleet any more, and will not be one again under this incarnation.
    pub fn node_gone(&self, node: NodeIncarnation) {
        if let Some(joined) = self.joined() {
            self.front_gone(joined, node);
        }
    }
}
