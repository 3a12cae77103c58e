//! Which shards this node holds, and the uids of the sessions in each: what concerns a shard leaves the sessions of
//! the others alone.
//!
//! ```text
//!             install           freeze             records are written
//!   NotHeld ────────────► Held ◄─────────► Frozen ─────────────────────► Told
//!      ▲                   │ ▲   unfreeze     │                            │
//!      │                   │ └────────────────│────────────────────────────┤ unfreeze
//!      └────── release ────┴──────────────────┴────────────────────────────┘
//! ```
//!
//! A stage is asked for with the session locked. After a change of it every session is locked in turn. So what is done
//! to a session is either done before that, or by an event that knows of the change.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::words::WAIT_MAX;
use crate::clock;
use crate::core::ownership::{Epoch, SHARDS, ShardId, shard_of};
use crate::ident::InstanceUid;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sessions) enum ShardStage {
    /// Another node's, or no node's.
    #[default]
    NotHeld,
    /// Its sessions are here, and speak.
    Held(Epoch),
    /// On its way to another home: answers of servers are taken, and nothing else.
    Frozen(Epoch),
    /// Its records are written: what is done here from now on would be lost.
    Told(Epoch),
}

#[derive(Debug, Default)]
struct HomeShard {
    stage: Mutex<ShardStage>,
    /// It came without the sessions of its former home, which is gone.
    is_orphaned: AtomicBool,
    /// When it came so: its agents attach before long.
    orphaned_at: Mutex<Option<Instant>>,
    members: Mutex<HashSet<InstanceUid>>,
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::sessions) struct HomeShards(Box<[HomeShard]>);

impl HomeShards {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| HomeShard::default()).collect())
    }

    fn of(&self, uid: InstanceUid) -> &HomeShard {
        &self.0[shard_of(uid).index()]
    }

    pub(super) fn stage(&self, shard: ShardId) -> ShardStage {
        *self.0[shard.index()].stage.lock()
    }

    /// The shard is at home here from now on. `whole`: with its sessions.
    pub(super) fn install(&self, shard: ShardId, epoch: Epoch, whole: bool) {
        let had_home = epoch.number > 1;
        self.0[shard.index()].is_orphaned.store(had_home && !whole, Ordering::Relaxed);
        let at = (had_home && !whole).then(clock::now);
        *self.0[shard.index()].orphaned_at.lock() = at;
        self.enter(shard, ShardStage::Held(epoch));
    }

    /// Whether this agent's shard has come without its sessions, so lately that the agent may have yet to attach.
    pub(super) fn awaits(&self, uid: InstanceUid) -> bool {
        let at = *self.of(uid).orphaned_at.lock();
        at.is_some_and(|at| clock::now().saturating_duration_since(at) <= WAIT_MAX)
    }

    /// Whether a former home knew this agent, and is gone with what it knew.
    pub(super) fn is_orphan(&self, uid: InstanceUid) -> bool {
        self.of(uid).is_orphaned.load(Ordering::Relaxed)
    }

    /// Returns the former stage.
    pub(super) fn enter(&self, shard: ShardId, next: ShardStage) -> ShardStage {
        std::mem::replace(&mut *self.0[shard.index()].stage.lock(), next)
    }

    /// The tenure, if what agents and servers say may change the sessions of this agent's shard.
    pub(super) fn held(&self, uid: InstanceUid) -> Option<Epoch> {
        match *self.of(uid).stage.lock() {
            ShardStage::Held(epoch) => Some(epoch),
            ShardStage::NotHeld | ShardStage::Frozen(_) | ShardStage::Told(_) => None,
        }
    }

    /// The tenure in which something may be said to this agent.
    pub(super) fn speaks_to_agents(&self, uid: InstanceUid) -> Option<Epoch> {
        match *self.of(uid).stage.lock() {
            ShardStage::Held(epoch) | ShardStage::Frozen(epoch) => Some(epoch),
            ShardStage::NotHeld | ShardStage::Told(_) => None,
        }
    }

    /// Whether something may be said to servers for this agent.
    pub(in crate::sessions) fn may_speak(&self, uid: InstanceUid) -> bool {
        self.held(uid).is_some()
    }

    /// Whether a server's answers may change this agent's session.
    pub(in crate::sessions) fn takes_answers(&self, uid: InstanceUid) -> bool {
        self.speaks_to_agents(uid).is_some()
    }

    /// A session has come into the table.
    pub(in crate::sessions) fn joined(&self, uid: InstanceUid) {
        self.of(uid).members.lock().insert(uid);
    }

    /// It has left the table.
    pub(in crate::sessions) fn left(&self, uid: InstanceUid) {
        self.of(uid).members.lock().remove(&uid);
    }

    /// The sessions of a shard at this moment.
    pub(super) fn members(&self, shard: ShardId) -> Vec<InstanceUid> {
        self.0[shard.index()].members.lock().iter().copied().collect()
    }

    /// The sessions of all shards that are here, one shard after the other, so that all uids are in memory at no
    /// time.
    pub(super) fn sessions_held(&self) -> impl Iterator<Item = InstanceUid> {
        let held = ShardId::all().filter(|shard| self.stage(*shard) != ShardStage::NotHeld);
        held.flat_map(|shard| self.members(shard))
    }
}
