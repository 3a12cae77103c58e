//! What happens to a node, what it wants done, and what nodes say to each other: plain values.

use std::time::Duration;

use super::calls::{Snapshot, StoreAnswer, StoreCall};
use super::ids::{Epoch, MapVersion, NodeIncarnation, NodeName, RunId, Secret};
use super::lease::Figures;
use super::shard::ShardId;
use super::view::ViewDigest;

/// Names a call to the store: its answer carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// Time has passed: comes several times a second.
    Tick,
    /// The store has answered a call.
    StoreAnswered(CallId, Box<StoreAnswer>),
    /// A call has come to nothing, or its time is over: it may have been applied, or may be applied later.
    StoreSilent(CallId),
    /// A call has changed nothing, and will not: it was not sent, or the store has answered with an error.
    StoreRefused(CallId),
    /// A member has said something.
    PeerSaid(NodeIncarnation, Box<PeerMessage>),
    /// What the others count with; `urgent`: renew at once.
    FiguresChanged {
        /// The figures of the next renewal.
        figures: Figures,
        /// Whether the node begins to need more than its share.
        urgent: bool,
    },
    /// The node is to hand everything over, and to stay a member: agents are still connected to it.
    HandOverWanted,
    /// The node is to leave: to hand everything over, and then to end its membership.
    LeaveWanted,
    /// The data plane has all records of a shard that this node receives.
    Received(ShardId),
    /// A frame of another node names this version of the map.
    VersionSeen(MapVersion),
}

/// What the caller must do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEffect {
    /// Call the store. After `deadline` the call counts as silent.
    CallStore {
        /// The answer's number.
        id: CallId,
        /// What to call.
        call: Box<StoreCall>,
        /// From now.
        deadline: Duration,
    },
    /// Say something to a member, in order, if it can be reached.
    Say(NodeIncarnation, Box<PeerMessage>),
    /// Whether the node may speak to servers, and why or why not, has changed.
    Standing(Result<Standing, HoldReason>),
    /// Drop what waits on server links before another byte is written there: the right to speak was lost for a while.
    DropWaiting,
    /// This node is the shard's home now. `prepared`: the records of its sessions have been received.
    Install {
        /// The shard.
        shard: ShardId,
        /// Its new tenure.
        epoch: Epoch,
        /// Whether sessions came with it.
        prepared: bool,
    },
    /// This node is the shard's home no longer.
    Release(ShardId),
    /// Freeze the shard and send its records to that node.
    Freeze {
        /// The shard.
        shard: ShardId,
        /// The node that takes it.
        to: NodeIncarnation,
    },
    /// The shard stays: go on with it.
    Unfreeze(ShardId),
    /// Take the records of a shard from that node, and say `Received`.
    Receive {
        /// The shard.
        shard: ShardId,
        /// The node that sends them.
        from: NodeIncarnation,
    },
    /// The records that were received are void.
    Discard(ShardId),
    /// The fleet's key of digests.
    UseSecret(Secret),
    /// The store has taken this incarnation off the membership: close the server links, start anew as another one.
    TakeNewIncarnation,
    /// The node has left: nothing keeps its process any more.
    Left,
    /// A live node has this node's name: end the process with a sentence that says so.
    NameInUse(NodeName),
}

/// By what right a node speaks to servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its lease is valid.
    Leased,
    /// Every other member of its view confirms it.
    Confirmed,
    /// It is the only member and may go on alone.
    Lone,
}

/// Why a node holds still towards servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldReason {
    /// It is no member yet, or no longer.
    NoMember,
    /// Its lease does not count, and some member does not confirm it.
    Unconfirmed,
    /// The store went back while the node was silent, or has forgotten it: it may have been taken over unnoticed.
    InDoubt,
    /// Its lease does not count, and it is the only member.
    Alone,
    /// It has gone on without a lease that counts for as long as it may.
    AutonomyOver,
}

/// What one member says to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMessage {
    /// Do you confirm me?
    Ask(Ask),
    /// The question of this number is confirmed.
    Confirm(u64),
    /// A content of the store that is newer than what the other one has read.
    Newer(Box<Snapshot>),
    /// Call the store in my place.
    Relay(CallId, Box<StoreCall>),
    /// What it answered.
    Relayed(CallId, Box<StoreAnswer>),
    /// It has changed nothing, and will not.
    RelayRefused(CallId),
    /// I have less than my share: hand me these shards.
    Want(Vec<ShardId>),
    /// I freeze this shard and send its records.
    Offer(ShardId, Epoch),
    /// I cannot take it.
    Decline(ShardId, Epoch),
    /// I have its records.
    Ready(ShardId, Epoch),
    /// I keep it after all.
    Cancel(ShardId, Epoch),
    /// The map has changed: read it.
    Changed(MapVersion),
}

/// A question for confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The answer's number.
    pub number: u64,
    /// What the asker holds true.
    pub digest: ViewDigest,
    /// The run and version of the content that it has read.
    pub read: (RunId, MapVersion),
    /// The run of the store that has answered the asker of late.
    pub live: Option<RunId>,
}
