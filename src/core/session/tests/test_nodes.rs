//! The nodes that a session moves among, as far as their links to the server go. What is on a link stays there when the
//! session goes.

use std::collections::VecDeque;

use super::harness::Gateway;
use crate::core::ownership::NodeIncarnation;
use crate::core::session::{Peer, Route, Wire};
use crate::ident::Incarnation;

pub(super) const NODES: usize = 4;

/// A node where the session is not, or what an earlier tenure has left on the link of the one where it is.
pub(super) struct NodeElsewhere {
    /// Which life of the node.
    pub(super) life: u64,
    pub(super) incarnation: u32,
    is_up: bool,
    pub(super) to_server: VecDeque<(Route, Vec<u8>)>,
    pub(super) said: VecDeque<(Route, Vec<u8>)>,
}

impl NodeElsewhere {
    pub(super) fn peer(&self) -> Peer {
        Peer::of(NodeIncarnation::new(self.life + 1).unwrap())
    }

    /// Its link ends, with all that is on it, and is up again.
    pub(super) fn lose_link(&mut self) {
        if self.is_up {
            self.incarnation += 1;
        }
        self.is_up = true;
        self.to_server.clear();
        self.said.clear();
    }
}

/// See the module's text.
pub(super) struct TestNodes {
    pub(super) all: Vec<NodeElsewhere>,
    /// Where the session is.
    pub(super) at: usize,
    /// Counts the session's homes. Each numbers what it has left on its link.
    tenures: u64,
    /// On which establishments of which links the server has heard the agent.
    pub(super) heard: Vec<(usize, Incarnation)>,
}

impl TestNodes {
    pub(super) fn new() -> Self {
        let node = |life: usize| NodeElsewhere {
            life: life as u64,
            incarnation: 1,
            is_up: true,
            to_server: VecDeque::new(),
            said: VecDeque::new(),
        };
        Self { all: (0..NODES).map(node).collect(), at: 0, tenures: 0, heard: Vec::new() }
    }

    /// The session leaves the node where it is.
    pub(super) fn leave(&mut self, gateway: &mut Gateway, said: &mut VecDeque<(Route, Vec<u8>)>) {
        let tenure = Peer::of(NodeIncarnation::new(1_000_000 + self.tenures).unwrap());
        let node = &mut self.all[self.at];
        let left =
            gateway.effects.to_server.drain(..).map(|(route, bytes)| {
                (Route::of_peer(tenure, route.link, route.incarnation), bytes)
            });
        node.to_server.extend(left);
        node.said = std::mem::take(said);
        (node.incarnation, node.is_up) = (gateway.link.incarnation, gateway.link.is_up);
    }

    /// The session comes to this node. What is still on its way to the server stays on the node's link.
    pub(super) fn enter(
        &mut self,
        at: usize,
        gateway: &mut Gateway,
        said: &mut VecDeque<(Route, Vec<u8>)>,
    ) {
        self.at = at;
        self.tenures += 1;
        let node = &mut self.all[at];
        (gateway.link.incarnation, gateway.link.is_up) = (node.incarnation, node.is_up);
        // Answers come on the node's own link now.
        let own = |(route, bytes): (Route, Vec<u8>)| {
            (Route::of_link(route.link, route.incarnation), bytes)
        };
        *said = node.said.drain(..).map(own).collect();
    }

    /// In which tenure a message was sent.
    pub(super) fn tenure_of(&self, route: Route) -> Peer {
        let now = Peer::of(NodeIncarnation::new(1_000_000 + self.tenures).unwrap());
        route.peer().unwrap_or(now)
    }

    /// Whether this establishment of another node's link has ended.
    pub(super) fn has_ended(&self, wire: Wire) -> bool {
        let node = self.all.iter().find(|node| Some(node.peer()) == wire.of);
        node.is_none_or(|node| wire.incarnation.0 < node.incarnation)
    }
}
