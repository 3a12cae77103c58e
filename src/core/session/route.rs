//! Where an agent's messages go, in two halves that end for different reasons. Plain values; addresses are left
//! to the links.
//!
//! - The *anchor* is a server and what it remembers of the agent. With a new memory (a restart, another server)
//!   all that was told is forgotten: the agent has to be introduced again.
//! - The *wire* is one establishment of one link. With its loss, what it carried and was still unanswered is in
//!   doubt: that content is sent again, and the server keeps what it has taken.
//!
//! Most servers forget an agent with the connection it came on, so today both change together. They are told
//! apart so that a session can move to another node, and so to other links, while its server stays.

use crate::ident::{Incarnation, LinkId, ServerId};

/// The way that an agent's messages take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The link.
    pub link: LinkId,
    /// The link's establishment: the present one, or the coming one while it is down.
    pub incarnation: Incarnation,
    /// The server's memory of agents that come this way.
    pub memory: Incarnation,
}

/// A server, and how often it is known to have forgotten everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The server.
    pub server: ServerId,
    /// Counts its memories.
    pub memory: Incarnation,
}

/// One establishment of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The link.
    pub link: LinkId,
    /// Counts its establishments.
    pub incarnation: Incarnation,
}

impl Route {
    /// The way over a link whose server forgets its agents when the link is lost.
    pub const fn of_link(link: LinkId, incarnation: Incarnation) -> Self {
        Self { link, incarnation, memory: incarnation }
    }

    /// The server at the other end.
    pub const fn server(self) -> ServerId {
        self.link.server
    }

    /// Whose memory of the agent the messages reach. Two links of one server lead to one memory each, because
    /// servers know agents by the connection they come on.
    pub const fn anchor(self) -> Anchor {
        Anchor { server: self.link.server, memory: self.memory }
    }

    /// What a message that goes this way may be lost with.
    pub const fn wire(self) -> Wire {
        Wire { link: self.link, incarnation: self.incarnation }
    }
}
