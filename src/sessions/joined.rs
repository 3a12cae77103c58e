//! What a node has beside its table once it is one of a fleet: the ways to the others, and the way from its own fronts
//! to its own homes. Without it the node is alone, and its agents' connections stand directly at their sessions.

use std::sync::Arc;

use super::fronts::Fronts;
use super::loopback::{Loopback, Side};
use super::{Sessions, Ways};
use crate::core::codec::Undecodable;
use crate::core::node_link::ToFront;
use crate::core::ownership::NodeIncarnation;
use crate::ident::InstanceUid;

/// See the module's text.
pub(super) struct Joined {
    pub(super) ways: Arc<dyn Ways>,
    pub(super) loopback: Loopback,
    pub(super) fronts: Fronts,
}

impl Sessions {
    /// The node is one of a fleet. Called at most once, before agents are admitted: later calls change nothing.
    pub fn join_fleet(&self, ways: Arc<dyn Ways>) {
        self.joined.get_or_init(|| Joined {
            ways,
            loopback: Loopback::new(),
            fronts: Fronts::new(&self.params),
        });
    }

    /// `None`: the node is alone.
    pub(super) fn joined(&self) -> Option<&Joined> {
        self.joined.get()
    }
}

impl Sessions {
    /// A frame of an agent's stream came from another node.
    ///
    /// # Errors
    /// Says what that node got wrong.
    pub fn from_node(&self, from: NodeIncarnation, frame: &[u8]) -> Result<(), Undecodable> {
        let Some(joined) = self.joined() else { return Ok(()) };
        self.home_said(joined, from, &ToFront::decode(frame)?);
        Ok(())
    }

    /// The link to a node is up, and [`Ways::home`] names the node as the home that it is.
    pub fn node_reached(&self, node: NodeIncarnation) {
        if let Some(joined) = self.joined() {
            self.home_reached(joined, node);
        }
    }

    /// The link to a node is down.
    pub fn node_lost(&self, node: NodeIncarnation) {
        if let Some(joined) = self.joined() {
            self.home_lost(joined, node);
        }
    }

    /// Handles what the fronts and the homes of this node say to each other. Called without locks.
    pub(super) fn handle_loopback(&self, joined: &Joined, uid: InstanceUid) {
        joined.loopback.drain(uid, |_, side, frame| match side {
            Side::Front => drop(self.from_node(joined.ways.me(), frame)),
            Side::Home => {}
        });
    }
}
