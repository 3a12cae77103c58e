//! One life of a node: its incarnation, its key, its links, its state machine. A node that was taken over begins
//! another one, and keeps its agents' connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::params::FleetParams;
use crate::cluster::{
    IdentityError, Members, NodeIdentity, NodeLinkEvents, NodeLinks, NodeLinksError,
    NodeLinksParams,
};
use crate::core::ownership::encoding::FORMAT;
use crate::core::ownership::{
    CertificateFingerprint, Lease, Node, NodeIncarnation, Secret, SoftwareVersion,
};

/// An incarnation that no other life has had.
pub(super) fn new_incarnation() -> NodeIncarnation {
    loop {
        if let Some(incarnation) = NodeIncarnation::new(rand::random()) {
            return incarnation;
        }
    }
}

/// The state machine of a new life.
pub(super) fn new_node(
    params: &FleetParams,
    incarnation: NodeIncarnation,
    linked: &Linked,
) -> Node {
    let lease = Lease {
        address: linked.address,
        fingerprint: linked.fingerprint,
        software: SoftwareVersion::new(env!("CARGO_PKG_VERSION")),
        settings: params.settings,
        lone_speaks: params.times.lone_speaks,
        format: FORMAT,
        ..Lease::new(params.name.clone(), incarnation)
    };
    Node::new(lease, params.times, Secret { id: rand::random(), key: rand::random() })
}

/// What others must know of a node's links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linked {
    pub(super) address: Option<SocketAddr>,
    pub(super) fingerprint: CertificateFingerprint,
}

/// A node's socket and the links through it.
pub(super) struct Life {
    pub(super) linked: Linked,
    pub(super) members: watch::Sender<Members>,
    /// Began to listen before there was a state machine to tell.
    prepared: Option<(NodeIdentity, watch::Receiver<Members>)>,
    pub(super) links: Option<NodeLinks>,
}

impl Life {
    /// A key, and no links yet.
    pub(super) fn new(params: &FleetParams) -> Result<Self, IdentityError> {
        let identity = NodeIdentity::generate()?;
        let (members, known) = watch::channel(Members::from([]));
        let address = params.advertise.or(params.listen);
        let linked = Linked { address, fingerprint: identity.fingerprint() };
        Ok(Self { linked, members, prepared: Some((identity, known)), links: None })
    }

    /// Begins to listen, if this node has others.
    pub(super) fn link(
        &mut self,
        params: &FleetParams,
        incarnation: NodeIncarnation,
        events: Arc<dyn NodeLinkEvents>,
    ) -> Result<(), NodeLinksError> {
        let (Some(listen), Some((identity, members))) = (params.listen, self.prepared.clone())
        else {
            return Ok(());
        };
        let bounds = params.bounds;
        let params = NodeLinksParams { incarnation, identity, listen, members, bounds };
        self.links = Some(NodeLinks::start(params, events)?);
        self.prepared = None;
        Ok(())
    }

    /// The same, where a former life has just given up the address. Connections that it has closed may hold the socket
    /// for three probe timeouts more, which is ten seconds and longer on a slow way.
    pub(super) async fn link_again(
        &mut self,
        params: &FleetParams,
        incarnation: NodeIncarnation,
        events: Arc<dyn NodeLinkEvents>,
    ) -> Result<(), NodeLinksError> {
        const TRIES: u32 = 20;
        for _ in 1..TRIES {
            if self.link(params, incarnation, Arc::clone(&events)).is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.link(params, incarnation, events)
    }

    /// Whether this life has yet to listen, though the node has others.
    pub(super) const fn is_deaf(&self, params: &FleetParams) -> bool {
        params.listen.is_some() && self.links.is_none()
    }

    /// Ends the links with a goodbye.
    pub(super) async fn close(&self) {
        if let Some(links) = &self.links {
            links.close().await;
        }
    }
}
