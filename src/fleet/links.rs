//! The node links that are up, by peer, and what is sent on them.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::control;
use crate::cluster::{NodeLink, NotQueued};
use crate::core::node_link::{NodeMessageKind, haste_of};
use crate::core::ownership::{NodeIncarnation, PeerMessage};
use crate::ident::InstanceUid;
use crate::telemetry::events::cluster::NodeMessageSent;

/// See the module's text. As many entries as there are members.
#[derive(Debug, Default)]
pub(super) struct LinkTable(RwLock<HashMap<NodeIncarnation, NodeLink>>);

impl LinkTable {
    /// Whether this peer is linked.
    pub(super) fn has(&self, peer: NodeIncarnation) -> bool {
        self.0.read().contains_key(&peer)
    }

    /// The peers that are linked.
    pub(super) fn all(&self) -> Vec<NodeIncarnation> {
        self.0.read().keys().copied().collect()
    }

    /// A link is up.
    pub(super) fn add(&self, link: &NodeLink) {
        self.0.write().insert(link.peer(), link.clone());
    }

    /// A link is lost. A newer one to the same peer stays.
    pub(super) fn remove(&self, link: &NodeLink) {
        let mut links = self.0.write();
        if links.get(&link.peer()).is_some_and(|known| known.is(link)) {
            links.remove(&link.peer());
        }
    }

    /// Bytes that wait for a peer; `None`: it is not linked.
    pub(super) fn waiting_bytes(&self, peer: NodeIncarnation) -> Option<usize> {
        self.0.read().get(&peer).map(NodeLink::waiting_bytes)
    }

    fn of(&self, peer: NodeIncarnation) -> Option<NodeLink> {
        self.0.read().get(&peer).cloned()
    }

    /// Says something about leases and homes. What cannot be said now is said again by the core.
    pub(super) fn say(&self, to: NodeIncarnation, message: &PeerMessage) {
        self.send_control(to, |out| control::put_peer(message, out));
    }

    /// Sends a control message. `false`: there is no link, or it has no room.
    pub(super) fn send_control(
        &self,
        to: NodeIncarnation,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        self.of(to).is_some_and(|link| control_on(&link, write))
    }

    /// Sends a frame on an agent's stream. `false`: there is no link, or it has just been ended because it takes
    /// no more.
    pub(super) fn send(
        &self,
        to: NodeIncarnation,
        uid: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let links = self.0.read();
        let Some(link) = links.get(&to) else { return false };
        let (mut kind, mut bytes) = (NodeMessageKind::Unknown, 0);
        let write = |out: &mut Vec<u8>| {
            let before = out.len();
            write(out);
            (kind, bytes) = (NodeMessageKind::of(&out[before..]), out.len() - before);
            haste_of(&out[before..])
        };
        match link.send_when(uid, write) {
            Ok(_) => {
                NodeMessageSent { kind, bytes }.emit();
                true
            }
            Err(NotQueued::Lost) => false,
            Err(NotQueued::Full | NotQueued::TooBig(_)) => {
                link.end_overflowed();
                false
            }
        }
    }
}

/// Sends a control message on a link. `false`: it has no room, or is lost.
pub(super) fn control_on(link: &NodeLink, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let mut bytes = 0;
    let write = |out: &mut Vec<u8>| {
        let before = out.len();
        write(out);
        bytes = out.len() - before;
    };
    let is_sent = link.send_control(write).is_ok();
    if is_sent {
        NodeMessageSent { kind: NodeMessageKind::Control, bytes }.emit();
    }
    is_sent
}
