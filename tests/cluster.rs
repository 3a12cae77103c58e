//! Node links between real endpoints on loopback: who is let in, that frames stay in order, what a cut, a
//! slow peer and a broken one cost. A relay of datagrams stands for the network where it misbehaves; a peer
//! without manners speaks QUIC by hand.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

#[path = "cluster/bounds.rs"]
mod bounds;
#[path = "cluster/cuts.rs"]
mod cuts;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/identity.rs"]
mod identity;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/order.rs"]
mod order;
#[path = "cluster/raw.rs"]
mod raw;
#[path = "cluster/relay.rs"]
mod relay;
#[path = "cluster/stops.rs"]
mod stops;
