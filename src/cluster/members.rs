//! The nodes that this one may be linked with, as their leases name them. The latest list is looked at in
//! each handshake, so that a new lease counts at once, and so does the end of one.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::core::ownership::{CertificateFingerprint, Lease, NodeIncarnation, NodeName};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// For logs and errors.
    pub name: NodeName,
    /// Which life of the node.
    pub incarnation: NodeIncarnation,
    /// Where it is dialled. A node without an address dials the others.
    pub address: Option<SocketAddr>,
    /// What it must prove to hold.
    pub fingerprint: CertificateFingerprint,
}

impl From<&Lease> for Member {
    fn from(lease: &Lease) -> Self {
        Self {
            name: lease.name.clone(),
            incarnation: lease.incarnation,
            address: lease.address,
            fingerprint: lease.fingerprint,
        }
    }
}

/// All of them; this node itself may be among them.
pub type Members = Arc<[Member]>;

/// The list as it is now.
#[derive(Debug, Clone)]
pub(super) struct KnownMembers(pub(super) watch::Receiver<Members>);

impl KnownMembers {
    /// The node with this fingerprint.
    pub(super) fn by_fingerprint(&self, fingerprint: CertificateFingerprint) -> Option<Member> {
        self.find(|member| member.fingerprint == fingerprint)
    }

    /// The node with this incarnation.
    pub(super) fn by_incarnation(&self, incarnation: NodeIncarnation) -> Option<Member> {
        self.find(|member| member.incarnation == incarnation)
    }

    fn find(&self, is_wanted: impl Fn(&Member) -> bool) -> Option<Member> {
        self.0.borrow().iter().find(|member| is_wanted(member)).cloned()
    }

    /// Waits until the list changes. Pends for ever once its owner is gone.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
