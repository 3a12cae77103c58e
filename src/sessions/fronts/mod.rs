//! The front's side of a fleet: agents' connections that end at this node, and whose sessions are at a home, this
//! node's or another's. What a connection holds and owes is `core::attachment`'s; here it gets its surroundings.
//!
//! - `entry`: one connection, its lock and its outbox. `carrier`: the way of its effects.
//! - `table`: all connections by shard, with each shard's home. `reach`: tells them of homes that come and go, paced.
//! - `heartbeats`: batches for homes. `agents`, `tasks`: what agents say, and what their tasks ask for. `requests`:
//!   the same over plain HTTP. `pollers`: who came so of late. `home_said`: what homes say. `sweep`, `drain`: what happens as time passes, or as the
//!   node drains.
//!
//! # Order of locks
//! A connection's entry → one of: its shard, its outbox, the batches, the deadlines, a link's queue, the loopback.
//! Rounds of `reach` are locked before an entry. The loopback is drained with none of them held.

mod agents;
mod carrier;
mod counters;
mod drain;
mod entry;
mod heartbeats;
mod home_said;
mod pollers;
mod reach;
mod requests;
mod sweep;
mod table;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::Counters;
use super::deadlines::Deadlines;
use super::params::SessionsParams;
use super::{InFleet, Joined, Sessions};
use crate::clock;
use crate::core::attachment::FrontPolicy;
use crate::core::node_link::Handle;
use crate::ident::{ConnectionId, InstanceUid};
use counters::FrontCounters;
pub(super) use entry::FrontEntry;
use heartbeats::HeartbeatBatches;
use pollers::RecentPollers;
use reach::HomesInReach;
use table::FrontTable;

/// When an attach that found no answer, or was put off, is repeated.
const ATTACH_AGAIN: Duration = Duration::from_secs(1);
/// How long what a lost connection said is held for its home: an agent that is back says it again.
const LEAVING_MAX: Duration = Duration::from_secs(30);
/// What may be held of one agent for its home.
const HELD_MESSAGES_MAX: usize = 64;
const HELD_BYTES_MAX: usize = 1 << 20;
/// By how much a front waits longer for a reply than a home does, for both ways over the node link.
const LINK_TIME: Duration = Duration::from_millis(250);

/// See the module's text.
pub(super) struct Fronts {
    policy: FrontPolicy,
    /// Bytes that may be held for homes, of all agents together.
    held_bytes_max: usize,
    table: FrontTable,
    /// Names connections, in the order in which they speak for their agents.
    connections: AtomicU64,
    counters: FrontCounters,
    /// Bytes that wait at connections here. Homes count what waits for their agents apart from that.
    outboxes: Counters,
    batches: HeartbeatBatches,
    deadlines: Deadlines<Handle>,
    reach: HomesInReach,
    pollers: RecentPollers,
}

/// The front's side at work: its connections, and the table that they belong to.
#[derive(Clone, Copy)]
pub(super) struct FrontSide<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) joined: &'a Joined,
}

impl FrontSide<'_> {
    /// Handles what the fronts and the homes of this node say to each other. Called without locks.
    fn handle_loopback(self, uid: InstanceUid) {
        InFleet { sessions: self.sessions, joined: self.joined }.handle_loopback(uid);
    }
}

impl Fronts {
    pub(super) fn new(params: &SessionsParams) -> Self {
        let policy = FrontPolicy {
            answers_heartbeats: !params.heartbeat_forward_interval.is_zero(),
            reply_bound: params.reply_wait + LINK_TIME,
            attach_again: ATTACH_AGAIN,
            leaving_max: LEAVING_MAX,
            held_messages_max: HELD_MESSAGES_MAX,
            held_bytes_max: HELD_BYTES_MAX,
            agent_bytes_max: u32::try_from(params.outbox_bytes_max).unwrap_or(u32::MAX),
        };
        Self {
            policy,
            held_bytes_max: params.outbox_total_bytes_max,
            table: FrontTable::default(),
            connections: AtomicU64::new(1),
            counters: FrontCounters::default(),
            outboxes: Counters::default(),
            batches: HeartbeatBatches::default(),
            deadlines: Deadlines::default(),
            reach: HomesInReach::default(),
            pollers: RecentPollers::new(params.poll_timeout, params.sessions_max as usize),
        }
    }

    /// Whether nothing of any agent is here.
    pub(super) fn holds_nothing(&self) -> bool {
        self.table.len() == 0
    }

    /// How many agents have a WebSocket here.
    pub(super) fn connected(&self) -> i64 {
        self.counters.connected()
    }

    /// Whether a connection of this agent is here, or it has polled here of late.
    pub(super) fn has(&self, uid: InstanceUid) -> bool {
        self.table.latest(uid).is_some() || self.pollers.has(uid, clock::now())
    }

    /// The latest connection of this agent.
    pub(super) fn latest(&self, uid: InstanceUid) -> Option<Arc<FrontEntry>> {
        self.table.latest(uid)
    }

    /// Calls `each` for the agent of every connection, if its uid is after this one.
    pub(super) fn for_each_after(
        &self,
        after: Option<InstanceUid>,
        mut each: impl FnMut(InstanceUid),
    ) {
        self.table.for_each(|entry| {
            if after.is_none_or(|after| entry.handle.uid > after) {
                each(entry.handle.uid);
            }
        });
    }

    /// Where bytes are counted that wait at connections here.
    pub(super) const fn outboxes(&self) -> &Counters {
        &self.outboxes
    }

    /// Bytes that wait for agents to read them.
    pub(super) fn outbox_bytes(&self) -> usize {
        self.outboxes.agent_bytes()
    }

    /// Bytes that are held for homes.
    pub(super) fn held_bytes(&self) -> usize {
        self.counters.held_bytes()
    }

    /// The name of an agent's latest connection.
    #[cfg(test)]
    pub(super) fn latest_handle(&self, uid: InstanceUid) -> Option<Handle> {
        self.table.latest(uid).map(|entry| entry.handle)
    }

    fn next_handle(&self, uid: InstanceUid) -> Handle {
        Handle { uid, connection: ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Less is held from now on, and parts are given up as they come.
    fn is_crowded(&self) -> bool {
        self.held_bytes() > self.held_bytes_max
    }
}
