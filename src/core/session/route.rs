//! Where an agent's messages go. Owns nothing; knows no server's address.

use crate::ident::{Incarnation, LinkId, ServerId};

/// The link an agent's messages take now, and the number of its establishment. What went out on an
/// earlier incarnation and was still unanswered may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The link.
    pub link: LinkId,
    /// Its establishment: the present one, or the coming one while it is down.
    pub incarnation: Incarnation,
}

impl Route {
    /// The server at the other end.
    pub const fn server(self) -> ServerId {
        self.link.server
    }
}
