//! What servers say to agents of a shard whose home is not sure: its records are written and the map has yet to change,
//! or the map names a home that is out of reach or has yet to take the shard, or the shard was taken over and its agents
//! have yet to attach here. It waits until that is settled ([`super::words`]).

use std::time::Instant;

use super::ShardMoves;
use super::former::OtherHomes;
use super::shards::ShardStage;
use super::words::{Homeless, Passed, Word, WordPast};
use crate::core::node_link::{ToNext, WordTaken};
use crate::core::ownership::{ShardId, shard_of};
use crate::core::session::{Delivered, Peer};
use crate::ident::InstanceUid;
use crate::opamp::server::ServerScan;
use crate::telemetry::events::homes::{PassOutcome, PassedOn};

/// What became of a message that was to be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sessions) enum Aside {
    /// It waits.
    Waits,
    /// There is no room.
    Full,
    /// Where it belongs is known.
    Unwanted,
}

impl ShardMoves<'_> {
    /// Sets a server's message aside, unless it is known where it belongs.
    pub(in crate::sessions) fn set_aside(self, message: Homeless<'_>) -> Aside {
        let Homeless { uid, from, scan, has_session, .. } = message;
        let shards = &self.joined.homes.shards;
        let is_unsure = || match shards.stage(shard_of(uid)) {
            ShardStage::Told(_) => true,
            ShardStage::Held(_) | ShardStage::Frozen(_) => !has_session && shards.awaits(uid),
            // Back to the node that sent it here it goes once that node is known to have the shard.
            ShardStage::NotHeld => OtherHomes::of(self.home())
                .present_home(uid)
                .is_none_or(|home| from.peer() == Some(Peer::of(home))),
        };
        match self.joined.homes.words.put(message.word(self.joined.ways.me()), is_unsure) {
            None => Aside::Unwanted,
            Some(Passed::Full) => {
                OtherHomes::of(self.home()).note_missed(uid, from, scan);
                if matches!(shards.stage(shard_of(uid)), ShardStage::Told(_)) {
                    // If it was an answer, none is awaited any more.
                    self.sessions.not_taken(uid, from, true);
                }
                Aside::Full
            }
            Some(_) => Aside::Waits,
        }
    }

    /// The shard's fate is known: what was set aside goes where it belongs.
    pub(super) fn deliver_aside(self, shard: ShardId) {
        self.deliver(|uid| shard_of(uid) == shard);
    }

    /// Homes have changed, or are in reach, or agents may have come: the same for all shards.
    pub(in crate::sessions) fn deliver_all_aside(self) {
        self.deliver(|_| true);
    }

    fn deliver(self, which: impl Fn(InstanceUid) -> bool) {
        self.joined.homes.words.waiting(which).into_iter().for_each(|uid| self.deliver_to(uid));
    }

    /// What waits for this agent goes where it belongs.
    pub(super) fn deliver_to(self, uid: InstanceUid) {
        let homes = &self.joined.homes;
        match homes.shards.stage(shard_of(uid)) {
            ShardStage::Told(_) => {}
            ShardStage::NotHeld => {
                let others = OtherHomes::of(self.home());
                // Only then is an answer known to be none for this node's session.
                if let Some(home) = others.present_home(uid) {
                    for word in homes.words.take(uid, true) {
                        self.bring(uid, &word);
                    }
                    others.send_waiting(uid, home);
                }
            }
            ShardStage::Held(_) | ShardStage::Frozen(_) => {
                if homes.shards.awaits(uid) && self.sessions.find(uid).is_none() {
                    return;
                }
                for word in homes.words.take(uid, false) {
                    self.bring(uid, &word);
                }
            }
        }
    }

    fn bring(self, uid: InstanceUid, word: &Word) {
        let Ok(scan) = ServerScan::parse(word.bytes()) else { return };
        if word.is_for_no_other_home() {
            PassedOn { outcome: PassOutcome::GivenUp }.emit();
            return OtherHomes::of(self.home()).note_missed(uid, word.from, &scan);
        }
        let heard = self.home().server_said(uid, (word.from, &scan), &word.past);
        if word.from.peer().is_none() && heard.delivery.answer.is_some_and(|answer| !answer.orphan)
        {
            // It has lain here: how long its server took is unknown.
            self.sessions.uplink.orphaned(word.from, 1);
        }
        if heard.is_settled {
            self.arrived(uid, heard.delivery.delivered, &word.past);
        }
    }

    /// A message that may have been passed on has come to its end here.
    pub(super) fn arrived(self, uid: InstanceUid, delivered: Delivered, past: &WordPast) {
        if past.is_passed_on() {
            let is_unknown = delivered == Delivered::Unknown;
            let outcome = if is_unknown { PassOutcome::NoSession } else { PassOutcome::Taken };
            PassedOn { outcome }.emit();
        }
        self.settled(uid, past);
    }

    /// A message has found its session, or needs none: the nodes that passed it on need it no more.
    pub(super) fn settled(self, uid: InstanceUid, past: &WordPast) {
        let Some(name) = past.name else { return };
        self.joined.homes.words.note_taken(name);
        let taken = ToNext::WordTaken(WordTaken { uid, name });
        for asker in &past.askers {
            // Without a link it is asked once more.
            self.joined.ways.send(*asker, uid, &mut |out| taken.encode(out));
        }
    }

    /// What has waited too long is given up.
    pub(super) fn give_up_aside(self, now: Instant) {
        let others = OtherHomes::of(self.home());
        for (uid, word) in self.joined.homes.words.give_up(now) {
            others.give_up(uid, &word);
        }
    }
}
