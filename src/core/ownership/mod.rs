//! Which node speaks for which agents: names of nodes, shards and their homes, leases, the store that all nodes
//! share, and the state machine of each node. Pure: a store's shell brings answers, node links bring messages, a
//! clock brings the time.
//!
//! A *shard* is a fixed share of all instance uids. Each shard has at most one *home*, the node that holds
//! its sessions. The homes together are the *map*. A node that has a *lease* in the store is a *member*.
//!
//! docs/OWNERSHIP.md has the rules and their state machines. [`Node`] says how to drive it. One event becomes one
//! step: `step` takes it, `answering` and `peer_said` follow what was heard, `moving` and `calling` do what is due, and
//! `take_over` judges the other nodes.

mod absence;
mod answering;
mod balance;
mod calling;
mod calls;
mod clock_reading;
mod confirmations;
mod demand;
mod doubt;
mod doubting;
pub mod encoding;
mod events;
#[cfg(test)]
mod generate;
mod hand_over;
mod ids;
#[cfg(test)]
mod kit;
mod lease;

mod moving;
mod node;
#[cfg(test)]
mod node_tests;
mod open_call;
mod outline;
mod own_lease;
mod params;
mod patience;
mod peer_said;
mod peers;
mod registry;
mod shard;
mod step;
mod strangers;
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
pub use clock_reading::ClockReading;
pub use demand::{BUSY_RENEWAL, Demand, DemandElsewhere};
pub use events::{
    Ask, CallId, HandOverAttempt, HoldReason, NodeEffect, NodeEvent, PeerMessage, Standing,
};
pub use ids::{
    CertificateFingerprint, Counter, Epoch, MapVersion, MoveNumber, NameError, NodeIncarnation,
    NodeName, RunId, Secret,
};
pub use lease::{Figures, Lease, LeaseHead, SoftwareVersion};
pub use node::{Node, NodePhase};
pub use outline::{MemberOutline, NodeOutline};
pub use params::NodeParams;
pub use registry::Registry;
pub use shard::{Home, SHARDS, ShardId, shard_of};
pub use view::ViewDigest;
