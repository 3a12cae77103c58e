//! What servers say to agents of a shard whose records are written and whose new home is not yet sure: it waits until
//! the shard stays, or is gone. Bounded in count and bytes over all shards.

use parking_lot::Mutex;

use super::ShardMoves;
use super::shards::ShardStage;
use crate::core::ownership::{ShardId, shard_of};
use crate::core::session::{OfferLoss, Route};
use crate::ident::InstanceUid;
use crate::opamp::server::ServerScan;
use crate::telemetry::events::sessions::OfferDropped;

const MESSAGES_MAX: usize = 4_096;
const BYTES_MAX: usize = 32 << 20;

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
}

impl SetAside {
    /// `None`: it is not wanted; `false`: there is no room.
    fn put(&self, message: ServerMessage, is_wanted: impl FnOnce() -> bool) -> Option<bool> {
        let waiting = &mut *self.0.lock();
        if !is_wanted() {
            return None;
        }
        let fits = waiting.messages.len() < MESSAGES_MAX
            && waiting.bytes + message.bytes.len() <= BYTES_MAX;
        if fits {
            waiting.bytes += message.bytes.len();
            waiting.messages.push(message);
        }
        Some(fits)
    }

    fn take(&self, shard: ShardId) -> Vec<ServerMessage> {
        let waiting = &mut *self.0.lock();
        let taken: Vec<ServerMessage> =
            waiting.messages.extract_if(.., |message| shard_of(message.uid) == shard).collect();
        waiting.bytes -= taken.iter().map(|message| message.bytes.len()).sum::<usize>();
        taken
    }
}

impl ShardMoves<'_> {
    /// Sets a server's message aside. `false`: the agent's shard is not on its way to another home.
    pub(in crate::sessions) fn set_aside(
        self,
        uid: InstanceUid,
        from: Route,
        scan: &ServerScan<'_>,
    ) -> bool {
        let message = ServerMessage { uid, from, bytes: scan.bytes.into() };
        // Asked under the lock that a change of stage takes afterwards: none is left behind.
        let is_told = || {
            let stage = self.joined.homes.shards.stage(shard_of(uid));
            matches!(stage, ShardStage::Told(_))
        };
        let fits = self.joined.homes.aside.put(message, is_told);
        if fits == Some(false) {
            OfferDropped { uid, reason: OfferLoss::OverBudget }.emit();
            // If it was an answer, it is one no more.
            self.sessions.not_taken(uid, from, true);
        }
        fits.is_some()
    }

    /// The shard's fate is known: what was set aside goes where it belongs.
    pub(super) fn deliver_aside(self, shard: ShardId) {
        for ServerMessage { uid, from, bytes } in self.joined.homes.aside.take(shard) {
            if let Ok(scan) = ServerScan::parse(&bytes) {
                self.sessions.from_server(uid, from, &scan);
            }
        }
    }
}
