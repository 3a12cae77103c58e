//! What servers say to agents of a shard whose home is not sure: its records are written and the map has yet to change,
//! or the map names a home that is out of reach or has yet to take the shard. It waits until that is settled. Bounded
//! in count, bytes and time over all shards.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::ShardMoves;
use super::former::OtherHomes;
use super::shards::ShardStage;
use crate::clock;
use crate::core::ownership::{ShardId, shard_of};
use crate::core::session::{Peer, Route};
use crate::ident::InstanceUid;
use crate::opamp::server::ServerScan;

const MESSAGES_MAX: usize = 4_096;
const BYTES_MAX: usize = 32 << 20;
/// For so long a home may be unknown or out of reach before the server has to find out by itself.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::sessions) struct SetAside(Mutex<WaitingMessages>);

#[derive(Debug, Default)]
struct WaitingMessages {
    messages: Vec<ServerMessage>,
    bytes: usize,
}

#[derive(Debug)]
struct ServerMessage {
    uid: InstanceUid,
    from: Route,
    bytes: Box<[u8]>,
    since: Instant,
}

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

impl SetAside {
    fn put(&self, message: ServerMessage, is_wanted: impl FnOnce() -> bool) -> Aside {
        let waiting = &mut *self.0.lock();
        if !is_wanted() {
            return Aside::Unwanted;
        }
        let fits = waiting.messages.len() < MESSAGES_MAX
            && waiting.bytes + message.bytes.len() <= BYTES_MAX;
        if !fits {
            return Aside::Full;
        }
        waiting.bytes += message.bytes.len();
        waiting.messages.push(message);
        Aside::Waits
    }

    fn take(&self, which: impl Fn(&ServerMessage) -> bool) -> Vec<ServerMessage> {
        let waiting = &mut *self.0.lock();
        let taken: Vec<ServerMessage> =
            waiting.messages.extract_if(.., |message| which(message)).collect();
        waiting.bytes -= taken.iter().map(|message| message.bytes.len()).sum::<usize>();
        taken
    }
}

impl ShardMoves<'_> {
    /// Sets a server's message aside, unless it is known where it belongs. `always`: though it seems to be known.
    pub(in crate::sessions) fn set_aside(
        self,
        uid: InstanceUid,
        from: Route,
        scan: &ServerScan<'_>,
        always: bool,
    ) -> Aside {
        let message = ServerMessage { uid, from, bytes: scan.bytes.into(), since: clock::now() };
        // Asked under the lock that a change of stage takes afterwards: none is left behind.
        let is_unsure = || match self.joined.homes.shards.stage(shard_of(uid)) {
            ShardStage::Told(_) => true,
            ShardStage::Held(_) | ShardStage::Frozen(_) => false,
            // Back to the node that sent it here it goes once that node is known to have the shard.
            ShardStage::NotHeld => OtherHomes::of(self.home())
                .present_home(uid)
                .is_none_or(|home| from.peer() == Some(Peer::of(home))),
        };
        let aside = self.joined.homes.aside.put(message, || always || is_unsure());
        if aside == Aside::Full {
            OtherHomes::of(self.home()).note_missed(uid, from, scan);
            if matches!(self.joined.homes.shards.stage(shard_of(uid)), ShardStage::Told(_)) {
                // If it was an answer, none is awaited any more.
                self.sessions.not_taken(uid, from, true);
            }
        }
        aside
    }

    /// The shard's fate is known: what was set aside goes where it belongs.
    pub(super) fn deliver_aside(self, shard: ShardId) {
        self.deliver(|message| shard_of(message.uid) == shard);
    }

    /// Homes have changed, or are in reach: the same for all shards that this node does not hold.
    pub(in crate::sessions) fn deliver_all_aside(self) {
        self.deliver(|message| {
            let stage = self.joined.homes.shards.stage(shard_of(message.uid));
            stage == ShardStage::NotHeld
        });
    }

    fn deliver(self, which: impl Fn(&ServerMessage) -> bool) {
        for ServerMessage { uid, from, bytes, .. } in self.joined.homes.aside.take(which) {
            let Ok(scan) = ServerScan::parse(&bytes) else { continue };
            let answer = self.sessions.from_server(uid, from, &scan).answer;
            if from.peer().is_none() && answer.is_some_and(|answer| !answer.orphan) {
                // It has lain here: how long its server took is unknown.
                self.sessions.uplink.orphaned(from, 1);
            }
        }
    }

    /// What has waited too long is given up.
    pub(super) fn give_up_aside(self, now: Instant) {
        let is_old =
            |message: &ServerMessage| now.saturating_duration_since(message.since) > WAIT_MAX;
        for ServerMessage { uid, from, bytes, .. } in self.joined.homes.aside.take(is_old) {
            if let Ok(scan) = ServerScan::parse(&bytes) {
                OtherHomes::of(self.home()).note_missed(uid, from, &scan);
            }
        }
    }
}
