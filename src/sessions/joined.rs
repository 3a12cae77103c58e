//! What the fleet brings about, on a node that is one of it: each event goes to the front's side, the home's, or both.

use std::sync::Arc;

use super::fronts::{FrontSide, Fronts};
use super::loopback::{Loopback, Side};
use super::{InFleet, Joined, Sessions, Ways};
use crate::core::codec::Undecodable;
use crate::core::node_link::ToFront;
use crate::core::ownership::NodeIncarnation;
use crate::ident::InstanceUid;

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
    pub fn in_fleet(&self) -> Option<InFleet<'_>> {
        self.joined.get().map(|joined| InFleet { sessions: self, joined })
    }
}

impl<'a> InFleet<'a> {
    /// The front's side.
    pub(super) const fn fronts(self) -> FrontSide<'a> {
        FrontSide { sessions: self.sessions, joined: self.joined }
    }

    /// A frame of an agent's stream came from another node.
    ///
    /// # Errors
    /// Says what that node got wrong.
    pub fn from_node(self, from: NodeIncarnation, frame: &[u8]) -> Result<(), Undecodable> {
        self.fronts().home_said(from, &ToFront::decode(frame)?);
        Ok(())
    }

    /// The map, or what is in reach of it, may have changed.
    pub fn homes_changed(self) {
        self.fronts().homes_changed();
    }

    /// The link to a node is up, and [`Ways::home`] names the node as the home that it is.
    pub fn node_reached(self, node: NodeIncarnation) {
        self.fronts().home_reached(node);
    }

    /// The link to a node is down, and with it what was under way.
    pub fn node_lost(self, node: NodeIncarnation) {
        self.fronts().home_lost(node);
    }

    /// Handles what the fronts and the homes of this node say to each other. Called without locks.
    pub(super) fn handle_loopback(self, uid: InstanceUid) {
        self.joined.loopback.drain(uid, |_, side, frame| match side {
            Side::Front => drop(self.from_node(self.joined.ways.me(), frame)),
            Side::Home => {}
        });
    }
}
