//! Shards that come and go. What becomes of their sessions at the other node is that node's business.

use super::super::Sessions;
use super::super::carrier::EventContext;
use super::super::joined::Joined;
use super::shards::ShardStage;
use crate::core::ownership::{Epoch, ShardId};
use crate::ident::InstanceUid;
use crate::telemetry::events::homes::{ShardInstalled, ShardReleased};

impl Sessions {
    /// This node is the shard's home from now on.
    pub fn install(&self, shard: ShardId, epoch: Epoch) {
        let Some(joined) = self.joined() else { return };
        joined.homes.shards.enter(shard, ShardStage::Held(epoch));
        ShardInstalled { shard, sessions: 0 }.emit();
    }

    /// This node is the shard's home no longer. Its sessions go without a word to an agent or a server.
    pub fn release(&self, shard: ShardId) {
        let Some(joined) = self.joined() else { return };
        joined.homes.shards.enter(shard, ShardStage::NotHeld);
        let members = joined.homes.shards.members(shard);
        ShardReleased { shard, sessions: members.len() }.emit();
        members.into_iter().for_each(|uid| self.let_go(uid));
    }

    fn let_go(&self, uid: InstanceUid) {
        let Some(entry) = self.find(uid) else { return };
        let mut locked = entry.lock(&self.counters);
        if locked.is_over() {
            return;
        }
        let event = EventContext { former: Some(false), ..EventContext::default() };
        let ((), follow_up) =
            self.apply(&mut locked, event, |session, _, port| session.released(port));
        drop(locked);
        self.follow_up(uid, follow_up);
    }

    /// The shard is on its way to another home: its sessions take what servers answer, and nothing else.
    pub fn freeze(&self, shard: ShardId) {
        let Some(joined) = self.joined() else { return };
        if let ShardStage::Held(epoch) = joined.homes.shards.stage(shard) {
            joined.homes.shards.enter(shard, ShardStage::Frozen(epoch));
        }
    }

    /// The shard stays after all: its sessions say what they have to say.
    pub fn unfreeze(&self, shard: ShardId) {
        let Some(joined) = self.joined() else { return };
        if let ShardStage::Frozen(epoch) = joined.homes.shards.stage(shard) {
            joined.homes.shards.enter(shard, ShardStage::Held(epoch));
            self.enqueue_members(joined, shard);
        }
    }

    /// The sessions of a shard stand in their servers' queues for what they have to say.
    fn enqueue_members(&self, joined: &Joined, shard: ShardId) {
        for uid in joined.homes.shards.members(shard) {
            self.enqueue_one(uid);
        }
    }

    /// Whether servers have answered everything that was said for the shard's agents.
    pub fn is_settled(&self, shard: ShardId) -> bool {
        let Some(joined) = self.joined() else { return true };
        joined
            .homes
            .shards
            .members(shard)
            .into_iter()
            .all(|uid| self.find(uid).is_none_or(|entry| entry.peek().session.unanswered() == 0))
    }
}
