//! Node links: QUIC connections between the nodes of a fleet, which carry frames for agents' sessions and
//! control messages. Rank 5.
//!
//! ```text
//!   NodeLinks ── accept ──► handshakes ─┐
//!       │                               ▼
//!       └── one task for each member: peer ── dial, `core::peer_link::Pairing` ──► serve ──► NodeLinkEvents
//!                                                                                    ▲
//!                                            NodeLink::send ── queue ────────────────┘
//! ```
//!
//! - **Who may connect**: a node whose key has the fingerprint that a lease names ([`Members`]). Nothing else
//!   is configured. A node makes its key at each start ([`NodeIdentity`]).
//! - **What is carried**: frames, which are opaque here. Those of one agent arrive in the order in which
//!   they were sent; control messages have a stream of their own and go first.
//! - **What is promised**: a frame arrives at most once, or the link is lost. [`LinkLoss`] says which frames
//!   were handed to the connection; sending those again is for both nodes' cores.
//! - **What is bounded**: each stream's queue in frames and bytes ([`NotQueued`] tells the sender at once),
//!   QUIC's windows (`transport`), handshakes, and every wait.
//!
//! Must not know sessions, what frames mean, or the store of leases.

mod accept;
mod driver;
mod error;
mod events;
mod identity;
mod link;
mod loss;
mod members;
mod node_links;
mod open;
mod parts;
mod peer;
mod serve;
mod socket;
mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use crate::core::peer_link::{FrameBounds, Haste, LinkEnd, NotQueued};
pub use error::NodeLinksError;
pub use events::NodeLinkEvents;
pub use identity::{IdentityError, NodeIdentity};
pub use link::{NodeLink, SentFrame};
pub use loss::LinkLoss;
pub use members::{Member, Members};
pub use node_links::{NodeLinks, NodeLinksParams};
