//! How far a node is, for those that wait for it.

use crate::core::ownership::{Node, NodeName, NodePhase, SHARDS};

use super::map::MapCopy;

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Agents must wait.
    Starting(Waiting),
    /// Agents can be served. Once it is so it stays so, whatever becomes of the store.
    Ready,
    /// All is handed over, and the node is a member no longer.
    Left,
    /// Another live node has this node's name.
    NameInUse(NodeName),
}

/// What a node that starts is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The store, or a former lease of its own name.
    Membership,
    /// This many shards have no home.
    Homes(usize),
    /// The fleet has no key of digests yet.
    Secret,
    /// This many homes are out of reach. They are waited for no longer than a lease time.
    Links(usize),
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Membership => f.write_str(
                "starting: not a member yet (the store, or a former lease of this node's name)",
            ),
            Self::Homes(count) => {
                write!(f, "starting: {count} of {SHARDS} shards have no home yet")
            }
            Self::Links(count) => {
                write!(f, "starting: {count} nodes with shards are not linked yet")
            }
            Self::Secret => f.write_str(
                "starting: the first nodes of a new fleet wait for one lease time, and agree on its key of digests",
            ),
        }
    }
}

/// What this node waits for before it is ready.
pub(super) fn waits_for(node: &Node, map: &MapCopy) -> Option<Waiting> {
    let vacant = map.vacant();
    if !matches!(node.phase(), NodePhase::Member | NodePhase::Leaving) {
        Some(Waiting::Membership)
    } else if node.content().secret.is_none() {
        Some(Waiting::Secret)
    } else {
        (vacant > 0).then_some(Waiting::Homes(vacant))
    }
}
