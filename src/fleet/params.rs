//! What a node of a fleet is made of, and why it could not be one.

use std::net::SocketAddr;

use crate::cluster::{FrameBounds, IdentityError, NodeLinksError};
use crate::core::ownership::{NodeName, NodeParams};

/// What a node of a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetParams {
    /// Its name.
    pub name: NodeName,
    /// The times by which it goes.
    pub times: NodeParams,
    /// Where it listens for other nodes; `None`: there are none.
    pub listen: Option<SocketAddr>,
    /// Where others dial it; `None`: where it listens.
    pub advertise: Option<SocketAddr>,
    /// Fingerprint of the settings that must be the same on all nodes.
    pub settings: u64,
    /// How much may wait for another node.
    pub bounds: FrameBounds,
}

/// Why a node could not become one of its fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// This machine's fault, or the configuration's.
    #[error(transparent)]
    Links(#[from] NodeLinksError),
    /// This machine's fault.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The configuration's fault: two nodes of one name.
    #[error("another live node has the name \"{0}\": give each node its own (ownership.node)")]
    NameInUse(NodeName),
}
