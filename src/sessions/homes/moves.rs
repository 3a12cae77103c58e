//! Shards that come and go. What becomes of their sessions at the other node is that node's business.

use super::super::carrier::EventContext;
use super::shards::ShardStage;
use super::{OtherHomes, ShardMoves};
use crate::core::node_link::ToNext;
use crate::core::ownership::{Epoch, ShardId, shard_of};
use crate::core::session::Moved;
use crate::ident::InstanceUid;
use crate::telemetry::events::homes::{ShardInstalled, ShardReleased};

impl ShardMoves<'_> {
    /// This node is the shard's home from now on.
    pub(in crate::sessions) fn install(self, shard: ShardId, epoch: Epoch, prepared: bool) -> bool {
        let arrived = if prepared { self.seat_arrivals(shard) } else { None };
        let is_whole = arrived.is_some();
        self.joined.homes.shards.install(shard, epoch, is_whole);
        self.hear_early_words(shard);
        let arrived = arrived.unwrap_or_default();
        ShardInstalled { shard, sessions: arrived.len() }.emit();
        arrived.into_iter().for_each(|uid| self.sessions.enqueue_one(uid));
        self.see_fronts(shard);
        self.deliver_aside(shard);
        is_whole
    }

    /// What the shard's former home has said before this node was its home.
    fn hear_early_words(self, shard: ShardId) {
        let Some((from, words)) = self.joined.homes.arrivals.end(shard) else { return };
        for frame in words.into_frames() {
            // It could be read when it came.
            if let Ok(said) = ToNext::decode(&frame) {
                OtherHomes::of(self.home()).former_home_said(from, &said);
            }
        }
    }

    /// This node is the shard's home no longer. Its sessions go without a word to an agent or a server.
    pub(in crate::sessions) fn release(self, shard: ShardId) {
        self.joined.homes.shards.enter(shard, ShardStage::NotHeld);
        self.joined.homes.departures.end(shard);
        let members = self.joined.homes.shards.members(shard);
        ShardReleased { shard, sessions: members.len() }.emit();
        members.into_iter().for_each(|uid| self.let_go(uid));
        self.deliver_aside(shard);
    }

    fn let_go(self, uid: InstanceUid) {
        let Some(entry) = self.sessions.find(uid) else { return };
        let mut locked = entry.lock(&self.sessions.counters);
        if locked.is_over() {
            return;
        }
        let event = EventContext { is_cut_off: true, ..EventContext::default() };
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
        let stage = self.joined.homes.shards.stage(shard);
        let (ShardStage::Frozen(epoch) | ShardStage::Told(epoch)) = stage else { return };
        self.joined.homes.shards.enter(shard, ShardStage::Held(epoch));
        self.joined.homes.departures.end(shard);
        self.deliver_aside(shard);
        self.enqueue_members(shard);
        self.see_fronts(shard);
    }

    /// The sessions of a shard stand in their servers' queues for what they have to say.
    fn enqueue_members(self, shard: ShardId) {
        for uid in self.joined.homes.shards.members(shard) {
            self.sessions.enqueue_one(uid);
        }
    }

    /// Whether this agent's shard is another node's.
    pub(in crate::sessions) fn is_gone(self, uid: InstanceUid) -> bool {
        self.joined.homes.shards.stage(shard_of(uid)) == ShardStage::NotHeld
    }

    /// Whether servers have answered everything that was said for the shard's agents, as far as answers can come.
    pub(in crate::sessions) fn is_settled(self, shard: ShardId) -> bool {
        self.joined.homes.shards.members(shard).into_iter().all(|uid| {
            let route = self.sessions.uplink.route(uid);
            self.sessions.find(uid).is_none_or(|entry| !entry.peek().session.awaits_answer(route))
        })
    }
}
