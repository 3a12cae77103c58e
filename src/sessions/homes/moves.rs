//! HomeShards that come and go. What becomes of their sessions at the other node is that node's business.

use super::super::carrier::EventContext;
use super::HomeSide;
use super::shards::ShardStage;
use crate::core::ownership::{Epoch, ShardId};
use crate::core::session::Moved;
use crate::ident::InstanceUid;
use crate::telemetry::events::homes::{ShardInstalled, ShardReleased};

impl HomeSide<'_> {
    /// This node is the shard's home from now on.
    pub(in crate::sessions) fn install(self, shard: ShardId, epoch: Epoch) {
        self.joined.homes.shards.enter(shard, ShardStage::Held(epoch));
        ShardInstalled { shard, sessions: 0 }.emit();
    }

    /// This node is the shard's home no longer. Its sessions go without a word to an agent or a server.
    pub(in crate::sessions) fn release(self, shard: ShardId) {
        self.joined.homes.shards.enter(shard, ShardStage::NotHeld);
        let members = self.joined.homes.shards.members(shard);
        ShardReleased { shard, sessions: members.len() }.emit();
        members.into_iter().for_each(|uid| self.let_go(uid));
    }

    fn let_go(self, uid: InstanceUid) {
        let Some(entry) = self.sessions.find(uid) else { return };
        let mut locked = entry.lock(&self.sessions.counters);
        if locked.is_over() {
            return;
        }
        let event = EventContext { former: Some(false), ..EventContext::default() };
        let uplink = &self.sessions.uplink;
        let ((), follow_up) = self.sessions.apply(&mut locked, event, |session, _, port| {
            Moved::of(session).goodbye(|server| uplink.keying(server), port);
            session.at_front().released(port);
        });
        drop(locked);
        self.sessions.follow_up(uid, follow_up);
    }

    /// The shard is on its way to another home: its sessions take what servers answer, and nothing else.
    pub(in crate::sessions) fn freeze(self, shard: ShardId) {
        if let ShardStage::Held(epoch) = self.joined.homes.shards.stage(shard) {
            self.joined.homes.shards.enter(shard, ShardStage::Frozen(epoch));
        }
    }

    /// The shard stays after all: its sessions say what they have to say.
    pub(in crate::sessions) fn unfreeze(self, shard: ShardId) {
        if let ShardStage::Frozen(epoch) = self.joined.homes.shards.stage(shard) {
            self.joined.homes.shards.enter(shard, ShardStage::Held(epoch));
            self.enqueue_members(shard);
        }
    }

    /// The sessions of a shard stand in their servers' queues for what they have to say.
    fn enqueue_members(self, shard: ShardId) {
        for uid in self.joined.homes.shards.members(shard) {
            self.sessions.enqueue_one(uid);
        }
    }

    /// Whether servers have answered everything that was said for the shard's agents.
    pub(in crate::sessions) fn is_settled(self, shard: ShardId) -> bool {
        self.joined.homes.shards.members(shard).into_iter().all(|uid| {
            self.sessions.find(uid).is_none_or(|entry| entry.peek().session.figures().is_answered)
        })
    }
}
