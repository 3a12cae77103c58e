//! Which node speaks for which agents: names of nodes, shards and their homes, leases, and the store
//! that all nodes share. Pure: a store's shell brings answers, a clock brings the time.
//!
//! A *shard* is a fixed share of all instance uids. Each shard has at most one *home*, the node that holds
//! its sessions. The homes together are the *map*. A node that has a *lease* in the store is a *member*.

mod absence;
mod answering;
mod balance;
mod calling;
mod calls;
mod confirmations;
mod demand;
pub mod encoding;
mod events;
#[cfg(test)]
mod generate;
mod hand_over;
mod ids;
#[cfg(test)]
mod kit;
mod lease;
mod moment;
mod moving;
mod node;
#[cfg(test)]
mod node_tests;
mod open_call;
mod own_lease;
mod params;
mod patience;
mod peer_said;
mod peers;
mod registry;
mod shard;
mod step;
mod take_over;
#[cfg(test)]
mod tests;
mod view;
mod watch;
mod went_back;

pub use absence::{ABSENCE_MAX, AbsenceBegan, AbsenceEnd, ToldElsewhere};
pub use calls::{
    Change, ChangeAnswer, ChangeRefusal, HomeChange, NODES_MAX, Renew, RenewAnswer, Renewed,
    Snapshot, StoreAnswer, StoreCall,
};
pub use demand::{Demand, READABLE};
pub use events::{Ask, CallId, HoldReason, NodeEffect, NodeEvent, PeerMessage, Standing};
pub use ids::{
    CertificateFingerprint, Counter, Epoch, MapVersion, NameError, NodeIncarnation, NodeName,
    RunId, Secret,
};
pub use lease::{Figures, Lease, LeaseHead, SoftwareVersion};
pub use moment::Moment;
pub use node::{Node, NodePhase};
pub use params::NodeParams;
pub use registry::Registry;
pub use shard::{Home, SHARDS, ShardId, shard_of};
pub use view::ViewDigest;
