//! Why a link between two nodes ended.

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkEnd {
    /// The peer said goodbye: it stops.
    Closed,
    /// The peer broke the connection off, or has lost it.
    Reset,
    /// The peer, or the network in at least one direction, has been silent for 3 s.
    Silent,
    /// The peer broke the rules of the link. It is told so, and the link is made anew.
    ProtocolFault,
    /// The peer had lost the link, and there is a new one.
    Replaced,
    /// More was sent than the peer, or the network to it, takes: both begin anew.
    Overflowed,
    /// The peer's lease is gone.
    LeaseGone,
    /// This node stops.
    Released,
}
