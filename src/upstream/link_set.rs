//! The links that all agents of a server share: a fixed number, chosen among by hash.

use std::sync::Arc;

use super::link::Link;
use super::queue::{LinkBounds, LinkQueue};
use crate::core::placement::link_of;
use crate::ident::{InstanceUid, LinkId, ServerId};

/// Links of one server, in the order of their numbers.
pub(super) struct LinkSet(Vec<Arc<Link>>);

impl LinkSet {
    /// `count` links, each with a queue of its own that `queue` makes.
    pub(super) fn new(
        server: ServerId,
        count: u16,
        bounds: LinkBounds,
        queue: fn() -> LinkQueue,
    ) -> Self {
        let ids = (0..count).map(|index| LinkId { server, index });
        Self(ids.map(|id| Arc::new(Link::new(id, None, bounds, queue()))).collect())
    }

    /// The link that an agent's messages take: always the same, so that they keep their order.
    pub(super) fn of(&self, uid: InstanceUid) -> Option<&Arc<Link>> {
        let count = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        self.get(link_of(uid, count))
    }

    pub(super) fn get(&self, index: u16) -> Option<&Arc<Link>> {
        self.0.get(usize::from(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.0.iter()
    }
}
