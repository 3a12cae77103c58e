//! What a node has beside its table once it is one of a fleet: the ways to the others, and the way from its own fronts
//! to its own homes. Without it the node is alone, and its agents' connections stand directly at their sessions.

use std::sync::Arc;

use super::loopback::Loopback;
use super::{Sessions, Ways};

/// See the module's text.
pub(super) struct Joined {
    pub(super) ways: Arc<dyn Ways>,
    pub(super) loopback: Loopback,
}

impl Sessions {
    /// The node is one of a fleet. Called at most once, before agents are admitted: later calls change nothing.
    pub fn join_fleet(&self, ways: Arc<dyn Ways>) {
        self.joined.get_or_init(|| Joined { ways, loopback: Loopback::new() });
    }

    /// `None`: the node is alone.
    pub(super) fn joined(&self) -> Option<&Joined> {
        self.joined.get()
    }
}
