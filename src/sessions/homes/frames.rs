//! What fronts say: each frame goes to the attachment of its agent. A frame for a shard that this node does not hold,
//! or that is frozen, is answered by `NotMine`.

use super::HomeSide;
use std::sync::Arc;

use super::super::carrier::{EventContext, FollowUp};
use super::super::entry::{LockedEntry, SessionEntry};
use super::super::given_uids::bring_kept;
use super::far::FarPort;
use crate::core::attachment::{ConnectionAt, HomeAttachment, HomeMoment};
use crate::core::node_link::{Handle, HeartbeatsEntry, ToFront, ToHome};
use crate::core::ownership::{Epoch, NodeIncarnation, ShardId};
use crate::ident::InstanceUid;
use crate::telemetry::events::homes::{
    AttachmentChanged, AttachmentEvent, FrameOutcome, FrontSaid,
};

/// A frame about one agent.
enum Said<'s, 'f> {
    Frame(&'s ToHome<'f>),
    Heartbeats(HeartbeatsEntry),
}

impl Said<'_, '_> {
    /// It brings an agent that may be new here.
    const fn attaches(&self) -> bool {
        matches!(self, Said::Frame(ToHome::Attach(..)))
    }
}

impl HomeSide<'_> {
    /// A front says something.
    pub(in crate::sessions) fn front_said(self, from: NodeIncarnation, message: &ToHome<'_>) {
        let handle = match message {
            ToHome::Attach(handle, _)
            | ToHome::Message(handle, _)
            | ToHome::Open(handle)
            | ToHome::Alive(handle, _)
            | ToHome::Written(handle, _)
            | ToHome::Detach(handle, _) => *handle,
            ToHome::Heartbeats(batch) => {
                return batch.iter().for_each(|entry| {
                    let said = Said::Heartbeats(entry);
                    let outcome = self.at_home(from, entry.handle, &said);
                    FrontSaid { outcome }.emit();
                });
            }
            ToHome::AllHere(shard) => return self.all_here(from, *shard),
            ToHome::WasAlive(handle) => return self.was_alive(handle.uid),
            ToHome::FrontLeaves => return self.joined.homes.gone.leaves(from),
        };
        let outcome = self.at_home(from, handle, &Said::Frame(message));
        FrontSaid { outcome }.emit();
    }

    /// A connection that was replaced was alive (R10).
    fn was_alive(self, uid: InstanceUid) {
        if self.joined.homes.shards.held(uid).is_some() {
            self.sessions.with(uid, |session, moment, _| session.replaced_was_alive(moment));
        }
    }

    /// The front has named all attachments that it has in a shard.
    fn all_here(self, from: NodeIncarnation, shard: ShardId) {
        for uid in self.joined.homes.shards.members(shard) {
            self.at_attachment(uid, |home, moment, port| {
                home.not_here(from, moment, port);
            });
        }
    }

    /// Calls an entry of an attachment that is here, if its shard is held.
    pub(super) fn at_attachment<'f>(
        self,
        uid: InstanceUid,
        act: impl FnOnce(&mut HomeAttachment, &HomeMoment<'_>, &mut FarPort<'_, 'f>),
    ) {
        let Some(entry) = self.sessions.find(uid) else { return };
        let mut locked = entry.lock(&self.sessions.counters);
        let Some(epoch) = self.joined.homes.shards.held(uid) else { return };
        if locked.is_over() || locked.far.is_none() {
            return;
        }
        let follow_up = self.drive(epoch, &mut locked, act);
        drop(locked);
        self.sessions.follow_up(uid, follow_up);
    }

    fn at_home(self, from: NodeIncarnation, handle: Handle, said: &Said<'_, '_>) -> FrameOutcome {
        let uid = handle.uid;
        loop {
            if !self.joined.homes.shards.may_speak(uid) {
                let not_mine = ToFront::NotMine(handle, self.joined.ways.version());
                self.joined.to_front(from, uid, &not_mine);
                return FrameOutcome::NotMine;
            }
            let entry: Arc<SessionEntry> = if said.attaches() {
                let Ok(entry) = self.sessions.find_or_open(uid) else {
                    self.joined.to_front(from, uid, &ToFront::Later(handle));
                    return FrameOutcome::NoRoom;
                };
                entry
            } else {
                let Some(entry) = self.sessions.find(uid) else { return FrameOutcome::NoSession };
                entry
            };
            let mut locked = entry.lock(&self.sessions.counters);
            if locked.is_over() {
                // It has just gone from the table.
                continue;
            }
            let follow_up = match self.joined.homes.shards.held(uid) {
                Some(epoch) => {
                    let at = ConnectionAt { front: from, connection: handle.connection };
                    let attaches = said.attaches();
                    let kept = attaches.then(|| bring_kept(self.sessions, &mut locked)).flatten();
                    let heard = self.hear(epoch, &mut locked, at, said);
                    kept.map_or(heard, |kept| kept.and(heard))
                }
                None => self.leave_if_new(&mut locked),
            };
            drop(locked);
            self.sessions.follow_up(uid, follow_up);
            if self.joined.homes.shards.may_speak(uid) {
                return FrameOutcome::Taken;
            }
        }
    }

    fn hear(
        self,
        epoch: Epoch,
        locked: &mut LockedEntry<'_>,
        at: ConnectionAt,
        said: &Said<'_, '_>,
    ) -> FollowUp {
        if let Said::Frame(ToHome::Written(_, number)) = said {
            self.written(locked, at, *number);
            return FollowUp::NOTHING;
        }
        self.drive(epoch, locked, |home, moment, port| match said {
            Said::Heartbeats(entry) => home.heartbeats(at.front, entry, port),
            Said::Frame(ToHome::Attach(_, attach)) => {
                if home.holder() == Some(at) {
                    AttachmentChanged { event: AttachmentEvent::Resumed }.emit();
                }
                home.attach(at, attach, moment, port);
            }
            Said::Frame(ToHome::Message(_, message)) => home.message(at, message, port),
            Said::Frame(ToHome::Open(_)) => home.open(at, moment, port),
            Said::Frame(ToHome::Alive(_, question)) => home.alive(at, *question, port),
            Said::Frame(ToHome::Detach(_, detach)) => home.detach(at, detach, moment, port),
            Said::Frame(
                ToHome::Written(..)
                | ToHome::Heartbeats(_)
                | ToHome::AllHere(_)
                | ToHome::WasAlive(_)
                | ToHome::FrontLeaves,
            ) => {}
        })
    }

    /// What waited for the agent is written. Nothing follows from it for the session.
    fn written(self, locked: &mut LockedEntry<'_>, at: ConnectionAt, number: u64) {
        if let Some(far) = &mut locked.far {
            let before = far.unwritten_bytes();
            far.home.written(at, number);
            let after = far.unwritten_bytes();
            self.sessions.counters.outbox_changed(before, after);
        }
    }

    /// The shard was frozen, or left, after the session was made: it is as if it had not been.
    fn leave_if_new(self, locked: &mut LockedEntry<'_>) -> FollowUp {
        if locked.far.is_some() {
            return FollowUp::NOTHING;
        }
        self.sessions
            .apply(locked, EventContext::default(), |session, _, port| {
                session.at_front().released(port)
            })
            .1
    }
}
