//! Rebalancing: a node of a fleet with many more connections than the others closes some of them. Each agent dials
//! again at once, and the balancer lets it arrive at another node. Sessions stay where they are at home.
//!
//! ```text
//!            ordered; or by itself, after SETTLED beyond the tolerance
//!   Idle ───────────────────────────────────────────────────────────────► Shedding
//!     ▲                                                                       │
//!     └───────────────────────────────────────────────────────────────────────┘
//!       it has its share; or more than half of the last hundred came back here;
//!       or it was told to stop, or is alone
//! ```
//!
//! The share is that of all connections divided by the nodes. A node sheds if it has more than 110 % of it, and stops
//! when it has its share: agents settled first and in random order, as in a drain, at a rate, and only while no agents
//! wait for admission anywhere.
//!
//! # How to drive it
//! Ask [`Rebalance::next`] with what the leases say, carry the step out, say what came of it, and ask again at once;
//! after `Wait` at its moment.

mod machine;
#[cfg(test)]
mod tests;

pub use machine::{
    FleetConnections, Rebalance, RebalanceEnd, RebalanceStatus, RebalanceStep, RebalanceTerms,
};
