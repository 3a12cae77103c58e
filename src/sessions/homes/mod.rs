//! The home's side of the fleet: the sessions of this node's shards, whose agents' connections end at fronts, here or
//! at other nodes. What a front says comes in as frames ([`InFleet::from_node`](super::InFleet::from_node)); each
//! becomes one call of the agent's `HomeAttachment`, whose session calls are carried out on the real session under
//! its lock. Frames go out through [`Ways`](super::Ways), or by the loopback if the front is this node.
//!
//! Decisions are `core::attachment`'s and `core::session`'s. Which shards are here, `fleet` says.

mod arrivals;
mod aside;
mod calls;
mod departures;
mod early_words;
mod ended;
mod far;
mod former;
mod frames;
mod keys;
mod messages;
mod moves;
mod reach;
mod seats;
mod shards;
mod sweep;
mod taken;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use arrivals::Arrivals;
pub(super) use aside::Aside;
use departures::Departures;
pub(super) use far::{FarHome, FarWay};
pub(super) use former::{OtherHomes, PassedAway};
pub(super) use keys::{DigesterInUse, KeyInUse};
pub(super) use messages::hash_of_digests;
pub(super) use shards::HomeShards;
pub(super) use words::{Homeless, WordPast};

use super::deadlines::Deadlines;
use super::{Joined, Sessions};
use crate::core::attachment::HomePolicy;
use crate::ident::{ConnectionId, InstanceUid};

/// See [`HomePolicy`]. A live agent answers a ping within a round trip; a stale connection does not at all.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
const CREDIT_BYTES: u32 = 256 << 10;

/// The home's side at work: its shards, and the table of their sessions.
#[derive(Clone, Copy)]
pub(super) struct HomeSide<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) joined: &'a Joined,
}

/// Shards that leave this node and come to it: their sessions, and what becomes of them on the way.
#[derive(Clone, Copy)]
pub(super) struct ShardMoves<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) joined: &'a Joined,
}

impl<'a> ShardMoves<'a> {
    const fn home(self) -> HomeSide<'a> {
        HomeSide { sessions: self.sessions, joined: self.joined }
    }
}

/// What a node has as a home, beside the table of sessions.
pub(super) struct Homes {
    pub(super) shards: HomeShards,
    pub(super) key: RwLock<KeyInUse>,
    /// When to look at attachments.
    pub(super) deadlines: Deadlines,
    pub(super) arrivals: Arrivals,
    departures: Departures,
    /// Messages of servers that wait, or are on their way to other homes.
    words: words::Words,
    policy: HomePolicy,
    missed: former::Missed,
    /// Links of other homes that have ended.
    ended: ended::EndedLinks,
    /// Nodes that have gone lately.
    gone: reach::GoneLately,
    /// Numbers attachments. It begins anew with each process, as epochs' takers do.
    attachments: AtomicU64,
    /// Numbers the connections of sessions, over all fronts.
    connections: AtomicU64,
}

impl Homes {
    pub(super) fn new(key: KeyInUse) -> Self {
        Self {
            shards: HomeShards::new(),
            key: RwLock::new(key),
            deadlines: Deadlines::default(),
            arrivals: Arrivals::default(),
            departures: Departures::default(),
            words: words::Words::default(),
            missed: former::Missed::default(),
            ended: ended::EndedLinks::default(),
            gone: reach::GoneLately::default(),
            policy: HomePolicy { answer_wait: ANSWER_WAIT, credit: CREDIT_BYTES },
            attachments: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    fn next_attachment(&self) -> u64 {
        self.attachments.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A name for a connection that no other connection of this node's sessions has.
    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Whether something may be said to servers for this agent: in a fleet, its shard is here and stays.
pub(super) fn may_speak(sessions: &Sessions, uid: InstanceUid) -> bool {
    sessions.in_fleet().is_none_or(|fleet| fleet.joined.homes.shards.may_speak(uid))
}

/// Whether what a server says may change this agent's session.
pub(super) fn takes_answers(sessions: &Sessions, uid: InstanceUid) -> bool {
    sessions.in_fleet().is_none_or(|fleet| fleet.joined.homes.shards.takes_answers(uid))
}
