//! The three calls that nodes make to the store, and their answers. What they mean is in `registry`.
//!
//! Each call is atomic. An answer may be lost, and a call that timed out may still be applied later: the
//! caller reads back what came of it.

use std::collections::BTreeMap;

use super::ids::{Counter, Epoch, MapVersion, NodeIncarnation, RunId, Secret};
use super::lease::{Lease, LeaseHead};
use super::shard::{Home, ShardId};

/// A call to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCall {
    /// Reads everything.
    Read,
    /// Renews the caller's lease.
    Renew(Box<Renew>),
    /// Changes membership and map together.
    Change(Box<Change>),
}

/// The answer to a [`StoreCall`] of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    /// Everything.
    Read(Box<Snapshot>),
    /// What came of a renewal.
    Renew(Box<RenewAnswer>),
    /// What came of a change.
    Change(ChangeAnswer),
}

/// All that the store holds, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which life of the store this is.
    pub run: RunId,
    /// The version of membership and map.
    pub version: MapVersion,
    /// The fleet's key of digests, once there is one.
    pub secret: Option<Secret>,
    /// The members, by incarnation.
    pub leases: Vec<Lease>,
    /// Members whose leases are of a format that this software does not know.
    pub unreadable: Vec<LeaseHead>,
    /// The map: every shard that has a home. After the loss of leases a home may be a node that is no member.
    pub homes: BTreeMap<ShardId, Home>,
    /// The last epoch of each shard whose home gave it up without a successor.
    pub vacant: BTreeMap<ShardId, Epoch>,
}

/// A renewal of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renew {
    /// The lease, with a higher counter than the last one.
    pub lease: Lease,
    /// After the store went back: the shards of this node with the epochs that it holds.
    pub restore: Vec<(ShardId, Epoch)>,
    /// After the store went back: become a member again, if the store has forgotten this node.
    pub rejoin: bool,
    /// Set if the store has none.
    pub secret: Option<Secret>,
}

/// What came of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenewAnswer {
    /// The lease is written.
    Renewed(Renewed),
    /// Nothing is written: the incarnation is no member.
    NotMember {
        /// Which life of the store says so.
        run: RunId,
    },
    /// Nothing is written: a renewal with this counter, or a higher one, was written before.
    Late {
        /// Which life of the store says so.
        run: RunId,
    },
}

/// What a renewal tells of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Which life of the store this is.
    pub run: RunId,
    /// The version of membership and map after the renewal.
    pub version: MapVersion,
    /// The fleet's key of digests, once there is one.
    pub secret: Option<Secret>,
    /// The version with which the caller has become a member, at last with this renewal.
    pub since: MapVersion,
    /// The members, by incarnation, the caller included.
    pub leases: Vec<Lease>,
    /// Members whose leases are of a format that this software does not know.
    pub unreadable: Vec<LeaseHead>,
}

/// A change of membership and map: a node joins, leaves, takes over, hands over, or takes what has no home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The caller: a member, or the node that `add` makes one.
    pub by: NodeIncarnation,
    /// Members whose counters must be exactly these.
    pub still: Vec<(NodeIncarnation, Counter)>,
    /// Nodes that are members no longer.
    pub remove: Vec<NodeIncarnation>,
    /// A new member.
    pub add: Option<Lease>,
    /// Shards whose homes change.
    pub homes: Vec<HomeChange>,
}

/// A change of one shard's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeChange {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the caller has read: of the home, or the last one of a vacant shard.
    pub read: Option<Epoch>,
    /// The new home; `None` leaves the shard without one.
    pub new: Option<Home>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAnswer {
    /// All of it is written.
    Changed {
        /// Which life of the store wrote it.
        run: RunId,
        /// The version that it made.
        version: MapVersion,
    },
    /// Nothing is written.
    Refused {
        /// Which life of the store refused.
        run: RunId,
        /// Why.
        why: ChangeRefusal,
    },
}

/// Why the store refused a change: the first of these that applies, in this order. The caller reads the
/// store again before it makes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// The node to add is a member.
    #[error("the node to add is a member already")]
    AlreadyMember,
    /// The caller is no member.
    #[error("the caller is no member")]
    NotMember,
    /// A counter that must stand still has another value, or its node is no member.
    #[error("node {0} has renewed its lease, or is gone")]
    Moved(NodeIncarnation),
    /// There are as many members as there may be.
    #[error("there are {NODES_MAX} members already")]
    Full,
    /// Another member has the name of the node to add.
    #[error("another member has the same name")]
    NameTaken,
    /// The shard's epoch is another one than the caller has read.
    #[error("shard {} has another epoch than the caller has read", .0.get())]
    EpochDiffers(ShardId),
    /// The new epoch's number is no higher than the one before.
    #[error("shard {} would get an epoch that is no newer", .0.get())]
    NotNewer(ShardId),
    /// The new home would be a node that is no member.
    #[error("shard {} would have a home that is no member", .0.get())]
    NoMember(ShardId),
    /// A node that is removed would still be this shard's home.
    #[error("shard {} would stay with a node that is removed", .0.get())]
    LeftBehind(ShardId),
}

/// The most members.
pub const NODES_MAX: usize = 256;
