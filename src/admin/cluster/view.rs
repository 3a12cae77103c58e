//! The answer of `/cluster`. Nodes of other versions write and read it as well: a field that is missing has its
//! default, and one that is unknown is passed over.

use serde::{Deserialize, Serialize};

/// The fleet, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterView {
    /// The name of the node that answers.
    pub asked: String,
    /// What an operator should look at, in sentences; empty: nothing moves, and every node may speak.
    pub attention: Vec<String>,
    /// The version of membership and map that it goes by.
    pub map_version: u64,
    /// All shards.
    pub shards: u64,
    /// Those without a home, or whose home is no member.
    pub homeless_shards: u64,
    /// Those that are on their way from one node to another.
    pub moving_shards: u64,
    /// The nodes, by name.
    pub nodes: Vec<NodeView>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeView {
    /// Its name.
    pub name: String,
    /// Which life of it, in 16 hexadecimal digits.
    pub incarnation: String,
    /// Whether it is the node that answers.
    pub is_asked: bool,
    /// Its lease; null: it has none, so it is no member.
    pub lease: Option<LeaseView>,
    /// Shards that are at home there.
    pub shards: u64,
    /// What it says of itself; null: it does not answer.
    pub report: Option<NodeReport>,
    /// Why it does not answer.
    pub silence: Option<String>,
}

/// What a lease says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseView {
    /// How often the node has renewed it.
    pub counter: u64,
    /// For how long that has stood still, by the clock of the node that answers; null: it is too soon to tell.
    pub still_seconds: Option<f64>,
    /// The version of the map that the node has read.
    pub read_version: u64,
    /// Where other nodes dial it.
    pub address: Option<String>,
    /// The version of its software; null: the lease is of a format that is newer than that of the node that answers,
    /// and the fields below are unknown.
    pub software: Option<String>,
    /// Whether it hands over its shards and takes none.
    pub is_leaving: bool,
    /// Whether its settings differ from those of the node that answers, where all must agree.
    pub settings_differ: bool,
    /// What the other nodes count with.
    pub figures: LeaseFigures,
}

/// The figures of a lease, as of its last renewal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseFigures {
    /// Agents connected there.
    pub connected: u32,
    /// Agents at home there that are absent.
    pub absent: u32,
    /// Agents that wait for admission there.
    pub waiting: u32,
    /// Admissions a second that it takes at most.
    pub rate: u32,
    /// Admissions a second that it could use.
    pub need: u32,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeReport {
    /// The version of its software.
    pub software: String,
    /// `joining`, `member`, `leaving` or `gone`.
    pub phase: String,
    /// Why a balancer should send agents elsewhere; empty: it is ready.
    pub unready: Vec<String>,
    /// Whether it may speak to servers.
    pub may_speak: bool,
    /// By what right, or why not: a label of `seawall_ownership_standing`.
    pub standing: String,
    /// The same in a sentence.
    pub why: String,
    /// The version of membership and map that it goes by.
    pub map_version: u64,
    /// The other members to which it has a node link.
    pub linked: Vec<String>,
    /// The other members to which it has none.
    pub unlinked: Vec<String>,
    /// Agents, by what it is for them.
    pub agents: AgentsHere,
    /// Shards, by what becomes of them.
    pub shards: ShardsHere,
    /// Its admission; null: it admits no agents yet.
    pub admission: Option<ShareView>,
    /// The store, as it finds it.
    pub store: StoreView,
}

/// Agents, by what a node is for them. One whose front and home are the same node counts for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AgentsHere {
    /// Their connections end here.
    pub as_front: u64,
    /// Their sessions are here, and they are connected, at whatever node.
    pub as_home: u64,
    /// Their sessions are here, and they are absent.
    pub absent: u64,
}

/// Shards, by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShardsHere {
    /// At home here.
    pub held: u64,
    /// On their way to another node.
    pub sending: u64,
    /// On their way here.
    pub receiving: u64,
}

/// A node's part of admission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShareView {
    /// Admissions a second that it takes at most now.
    pub rate: u32,
    /// Admissions a second that it could use.
    pub need: u32,
    /// Connections that wait for admission.
    pub waiting: u64,
    /// The rate that all nodes share; null: each follows its machine.
    pub fleet_rate: Option<u32>,
}

/// The store, as one node finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoreView {
    /// `memory`, `single`, `sentinel` or `cluster`.
    pub kind: String,
    /// The addresses in the configuration.
    pub addresses: Vec<String>,
    /// The Redis to which a connection is open.
    pub connected: Option<String>,
    /// The life of the store that answered last, in hexadecimal digits; null: none has answered.
    pub run: Option<String>,
    /// Whether its word does not count for now, because it may have gone back.
    pub is_away: bool,
    /// Calls that have come to an end.
    pub calls: u64,
    /// Those without an answer, and those that were refused.
    pub failures: u64,
    /// The latest failure, if no call has been answered since.
    pub failing: Option<String>,
}
