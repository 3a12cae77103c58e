//! As much of a data plane as the rules concern: what waits for servers, and the sessions of shards that move.

use seawall::core::ownership::{MoveNumber, NodeEffect, NodeEvent, NodeIncarnation, ShardId};

use crate::events::Event;
use crate::process::Key;
use crate::sessions::Records;
use crate::world::{Time, World};

/// A process that is stopped finds what has come once it goes on.
const LOOK_AGAIN: Time = Time::from_millis(200);

impl World {
    pub(crate) fn data_plane(&mut self, key: Key, effect: NodeEffect) {
        self.say(|| format!("  {key}: {effect:?}"));
        if matches!(effect, NodeEffect::Freeze { .. } | NodeEffect::Unfreeze(_)) {
            self.oracle.trouble(self.now);
        }
        let Some(process) = self.processes.get_mut(&key) else { return };
        match effect {
            NodeEffect::DropWaiting => process.must_drop = false,
            NodeEffect::Freeze { shard, to, attempt } => {
                if !process.sessions.freeze(shard, to, attempt) {
                    self.oracle.fail("H1", || format!("{key} freezes {shard:?} twice"));
                }
                self.hand_over_is_cut(key, to);
                let delay = self.random.ms(5, 800);
                self.after(delay, Event::SessionsGo(key, shard, attempt));
            }
            NodeEffect::Unfreeze(shard) => process.sessions.unfreeze(shard),
            NodeEffect::Release(shard) => process.sessions.release(shard),
            NodeEffect::Receive { shard, from, attempt } => {
                process.sessions.receive(shard, from, attempt);
                // They may have come before.
                self.after(Time::ZERO, Event::Received(key, shard, attempt));
            }
            NodeEffect::Discard(shard) => process.sessions.discard(shard),
            NodeEffect::Install { shard, handed_by, .. } => {
                let now = self.oracle.lived(shard);
                let lived = process.sessions.install(shard, handed_by, now);
                if lived.is_none() && self.oracle.hands_over.is_some() {
                    let what = || format!("{key} has got {shard:?} without its sessions");
                    self.oracle.fail("H3", what);
                }
            }
            _ => {}
        }
    }

    /// The sessions of a frozen shard are on their way, unless its data plane is stopped.
    pub(crate) fn sessions_go(&mut self, key: Key, shard: ShardId, attempt: MoveNumber) {
        let Some(process) = self.processes.get(&key) else { return };
        if process.stopped.is_some() {
            return self.after(LOOK_AGAIN, Event::SessionsGo(key, shard, attempt));
        }
        let Some((to, records)) = process.sessions.to_send(shard, attempt) else { return };
        // Sessions may be lost with a node link.
        if self.calm || self.random.percent(85) {
            self.send_records(key, to, records);
        }
    }

    /// Sessions arrive at a node.
    pub(crate) fn records_arrive(&mut self, key: Key, from: NodeIncarnation, records: Records) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.sessions.take(from, records);
        self.received(key, records.shard, records.attempt);
    }

    /// The data plane looks whether all sessions of a shard are here.
    pub(crate) fn received(&mut self, key: Key, shard: ShardId, attempt: MoveNumber) {
        let Some(process) = self.processes.get(&key) else { return };
        if process.sessions.has_received(shard, attempt) {
            self.deliver(key, NodeEvent::Received(shard, attempt));
        }
    }

    /// Sessions go through something wherever their home speaks.
    pub(crate) fn sessions_live(&mut self) {
        let is_excused = self.now < self.oracle.excused_until;
        for (key, process) in &mut self.processes {
            let speaks = process.speaks_for(self.now);
            let shards = ShardId::all().take(self.oracle.silent_since.len());
            for shard in shards.filter(|shard| speaks & (1 << shard.get()) != 0) {
                let lived = self.oracle.live(shard, process.node.incarnation());
                let lacking = process.sessions.live(shard, lived);
                let are_old = lacking.is_some_and(|had| self.oracle.are_old(shard, had));
                if are_old && !is_excused {
                    self.oracle.fail("H2", || {
                        format!("{key} goes on with sessions of {shard:?} of an old attempt")
                    });
                }
            }
        }
    }
}
