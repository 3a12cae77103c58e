//! Where an agent's messages go, in two halves that end for different reasons. Plain values; addresses are left
//! to the links.
//!
//! - The *anchor* is a server and what it remembers of the agent. With a new memory (a restart, another server)
//!   all that was told is forgotten: the agent has to be introduced again.
//! - The *wire* is one establishment of one link. With its loss, what it carried and was still unanswered is in
//!   doubt: that content is sent again, and the server keeps what it has taken.
//!
//! Most servers forget an agent with the connection it came on, so on one node both change together. They are told
//! apart for sessions that move to another node, and so to other links, while their server stays. On which nodes' links
//! the memory rests `former_links` says.
//!
//! ```text
//!              the shard moves here           this node's link speaks
//!   Own ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─► Elsewhere ──────────────────────► Inherited
//!    ▲ ▲                                │ a former home's link ends        │ the same,
//!    │ │  introduced again              ▼                                  │ or the loss of
//!    │ └──────────────────────────── Forgotten                             │ this node's link
//!    └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! All of this goes on over any number of moves, and a session that comes back finds its link as it has left it.

use crate::core::ownership::NodeIncarnation;
use crate::ident::{Incarnation, LinkId, ServerId};

/// Another node, by 32 of the 64 random bits of its incarnation: enough to tell the few nodes of a fleet apart, and
/// small enough for each of a million sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(u32);

impl Peer {
    /// A node of which nothing is known.
    pub(super) const UNKNOWN: Self = Self(0);

    /// The node as a number, for a record.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// The node of which [`Peer::bits`] gave this number.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The node of this incarnation.
    pub fn of(node: NodeIncarnation) -> Self {
        // The lower half, on purpose.
        Self(u32::try_from(node.get() & u64::from(u32::MAX)).unwrap_or(u32::MAX))
    }
}

/// What a server remembers of an agent, and through whom. See the module's diagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It heard of the agent over this node's link. Counts how often it is known to have forgotten everything; zero
    /// is no memory at all.
    Own(Incarnation),
    /// It heard of the agent over another node's link, and nothing over this node's. The wire is the other node's.
    Elsewhere(Peer),
    /// The same, and this node's link has spoken since.
    Inherited(Peer),
    /// It heard of the agent over another node's link, and may have forgotten it. The wire is the other node's.
    Forgotten(Peer),
}

/// The way that an agent's messages take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The link.
    pub link: LinkId,
    /// The link's establishment: the present one, or the coming one while it is down.
    pub incarnation: Incarnation,
    /// The server's memory of agents that come this way.
    pub memory: Memory,
}

/// A server, and what it remembers of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The server.
    pub server: ServerId,
    /// Its memory; one that is inherited is the same as where it was inherited from.
    pub memory: Memory,
}

/// One establishment of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The node whose link it is, if it is not this one.
    pub of: Option<Peer>,
    /// The link.
    pub link: LinkId,
    /// Counts its establishments.
    pub incarnation: Incarnation,
}

impl Route {
    /// The way over a link whose server forgets its agents when the link is lost.
    pub const fn of_link(link: LinkId, incarnation: Incarnation) -> Self {
        Self { link, incarnation, memory: Memory::Own(incarnation) }
    }

    /// The way over a link of another node's.
    pub const fn of_peer(peer: Peer, link: LinkId, incarnation: Incarnation) -> Self {
        Self { link, incarnation, memory: Memory::Elsewhere(peer) }
    }

    /// The server at the other end.
    pub const fn server(self) -> ServerId {
        self.link.server
    }

    /// Whose memory of the agent the messages reach. Two links of one server lead to one memory each, because
    /// servers know agents by the connection they come on.
    pub const fn anchor(self) -> Anchor {
        let memory = match self.memory {
            Memory::Inherited(peer) => Memory::Elsewhere(peer),
            other => other,
        };
        Anchor { server: self.link.server, memory }
    }

    /// What a message that goes this way may be lost with.
    pub const fn wire(self) -> Wire {
        Wire { of: self.peer(), link: self.link, incarnation: self.incarnation }
    }

    /// The node whose link it is, if it is not this one.
    pub const fn peer(self) -> Option<Peer> {
        match self.memory {
            Memory::Elsewhere(peer) | Memory::Forgotten(peer) => Some(peer),
            Memory::Own(_) | Memory::Inherited(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wires_of_two_nodes_differ_though_their_numbers_agree() {
        let link = LinkId { server: ServerId(0), index: 1 };
        let [one, other] = [5, 6].map(|n| Peer::of(NodeIncarnation::new(n).unwrap()));
        let own = Route::of_link(link, Incarnation(1));
        let elsewhere = Route::of_peer(one, link, Incarnation(1));
        assert_ne!(own.wire(), elsewhere.wire());
        assert_ne!(Route::of_peer(other, link, Incarnation(1)).wire(), elsewhere.wire());
        let inherited = Route { memory: Memory::Inherited(one), ..own };
        assert_eq!((inherited.wire(), inherited.anchor()), (own.wire(), elsewhere.anchor()));
        assert_eq!((inherited.peer(), elsewhere.peer()), (None, Some(one)));
        let forgotten = Route { memory: Memory::Forgotten(one), ..elsewhere };
        assert_eq!(forgotten.peer(), Some(one));
        assert_ne!(forgotten.anchor(), elsewhere.anchor());
    }
}
