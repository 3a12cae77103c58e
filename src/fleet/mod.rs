//! This node as one of a fleet: it keeps the node's lease, knows who is at home where, and links the nodes. Rank 6:
//! brings `ownership` (the store), `cluster` (node links) and the data plane together, and decides nothing: that is
//! `core::ownership`'s.
//!
//! ```text
//!   store ◄── calls ──┐                             ┌──► data plane: install, release, hold still, ...
//!                     ▼        NodeEffect           │
//!   ticks ──► task ──► core::ownership::Node ───────┤
//!                     ▲                             └──► node links: what members say to each other
//!   node links ───────┘
//! ```
//!
//! - `task`: the one task that gives events to the state machine and carries its effects out, in their order.
//! - `shared`: what other threads ask: where a shard is at home, whether this node may speak.
//! - `links`: the node links that are up. `arrivals`: what comes on them. `control`: the bytes of what nodes say.
//! - `data_plane`: what the fleet wants of sessions and of links to servers. `plane`: a gateway's.
//! - `gate`: the gate for agents, and its share of the fleet's admission rate.
//! - `former`: which nodes may be linked, members and former ones.
//! - `hand_over`: sends the sessions of shards that move. `moves`: how long that takes, and how it ends.
//! - `inquiry`, `asking`: what nodes ask each other for operators. `tally`: calls to the store, counted.
//! - `life`: what a node has anew after it was taken over: incarnation, key, links.

mod arrivals;
mod asking;
mod control;
mod data_plane;
mod former;
mod gate;
mod hand_over;
mod inquiry;
mod life;
mod links;
mod map;
mod moves;
mod params;
mod plane;
mod progress;
mod shared;
mod tally;
mod task;
#[cfg(test)]
mod tests;

pub use data_plane::{DataPlane, SessionsSent};
pub use gate::AdmissionGate;
pub use inquiry::{Inquiry, NoAnswer, NodeAnswers};
pub use params::{FleetError, FleetParams};
pub use plane::SessionsAndServers;
pub use progress::{Progress, Waiting};
pub use shared::Fleet;
pub use tally::StoreFigures;
pub use task::FleetTask;
