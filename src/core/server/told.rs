//! What the log has already said of a server. The first of a kind is shown at the default level, the
//! rest at `debug`: a fleet's worth of equal lines would hide the one that matters.

use std::collections::BTreeSet;

/// Each method returns whether this is the first.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    dial_failed: bool,
    anonymous: bool,
    /// HTTP statuses between 400 and 499: at most a hundred.
    refused: BTreeSet<u16>,
}

impl Told {
    /// A failed dial, since a link was last up.
    pub(super) const fn dial_failed(&mut self) -> bool {
        !std::mem::replace(&mut self.dial_failed, true)
    }

    pub(super) const fn link_up(&mut self) {
        self.dial_failed = false;
    }

    /// A push without an agent's uid, in the life of the node.
    pub(super) const fn anonymous(&mut self) -> bool {
        !std::mem::replace(&mut self.anonymous, true)
    }

    /// A refusal with this status, in the life of the node.
    pub(super) fn refused(&mut self, status: u16) -> bool {
        self.refused.insert(status)
    }
}
