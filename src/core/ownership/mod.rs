//! Which node speaks for which agents: names of nodes, shards and their homes, leases, and the store
//! that all nodes share. Pure: a store's shell brings answers, a clock brings the time.
//!
//! A *shard* is a fixed share of all instance uids. Each shard has at most one *home*, the node that holds
//! its sessions. The homes together are the *map*. A node that has a *lease* in the store is a *member*.

mod calls;
pub mod encoding;
#[cfg(test)]
mod generate;
mod ids;
mod lease;
mod registry;
mod shard;
#[cfg(test)]
mod tests;

pub use calls::{
    Change, ChangeAnswer, ChangeRefusal, HomeChange, NODES_MAX, Renew, RenewAnswer, Renewed,
    Snapshot, StoreAnswer, StoreCall,
};
pub use ids::{
    CertificateFingerprint, Counter, Epoch, MapVersion, NameError, NodeIncarnation, NodeName,
    RunId, Secret,
};
pub use lease::{Figures, Lease, LeaseHead, SoftwareVersion};
pub use registry::Registry;
pub use shard::{Home, SHARDS, ShardId, shard_of};
