//! What node links tell the rest of the node.

use super::link::NodeLink;
use super::loss::LinkLoss;

/// Takes what happens on node links. Each call must return at once: it holds up what follows from the same
/// peer, and from that peer alone.
///
/// For each link: `reached`, then any number of frames and control messages, then `lost`, once. The next
/// link to the same peer is reached after that.
pub trait NodeLinkEvents: Send + Sync + 'static {
    /// A peer is linked: from now on frames can be sent to it.
    fn reached(&self, link: &NodeLink);

    /// A frame has arrived. Frames of one agent come in the order in which they were sent.
    fn frame(&self, link: &NodeLink, frame: &[u8]);

    /// A control message has arrived.
    fn control(&self, link: &NodeLink, message: &[u8]);

    /// The link is over; what was sent on it and is unconfirmed must go again.
    fn lost(&self, link: &NodeLink, loss: &LinkLoss);
}
