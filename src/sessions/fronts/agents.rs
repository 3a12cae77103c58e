//! What agents say on their connections here. Each message is one call of the attachment's entry; the reply comes at
//! once, or through the outbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::FrontSide;
use super::entry::{FrontEntry, FrontState};
use crate::clock;
use crate::core::node_link::{AgentConnection, DetachReason, Handle};
use crate::core::ownership::shard_of;
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;
use crate::sessions::Rejected;
use crate::sessions::attachment_port::{AttachmentEnd, AttachmentPort as _};
use crate::telemetry::events::sessions::SessionRefused;
use parking_lot::MutexGuard;

/// Connections in the table for each agent that may be connected: closed ones stay while no home is in reach.
const CONNECTIONS_EACH: usize = 4;

impl FrontSide<'_> {
    /// Makes the attachment of a connection whose agent says its first message under this uid.
    pub(in crate::sessions) fn open(
        self,
        uid: InstanceUid,
        transport: AgentConnection,
    ) -> Result<Arc<FrontEntry>, Rejected> {
        let fronts = &self.joined.fronts;
        // The bound may be passed by as many as there are threads here at one instant. An agent that has a place
        // takes no other.
        let max = self.sessions.params.sessions_max;
        let is_full = fronts.connected() >= i64::from(max) && !fronts.has(uid);
        if is_full || fronts.table.len() >= CONNECTIONS_EACH * max as usize {
            SessionRefused { uid }.emit();
            return Err(Rejected::Full);
        }
        let handle = fronts.next_handle(uid);
        let entry = fronts.table.open(handle, |place| FrontEntry::new(handle, transport, place));
        self.earlier_attach_first(&entry);
        if self.sessions.stopping.load(Ordering::Relaxed) {
            entry.outbox.close(&self.joined.fronts.outboxes, AttachmentEnd::Stopping);
        }
        Ok(entry)
    }

    /// What the agent said on connections that are over goes to its home first, if that has come into reach meanwhile.
    fn earlier_attach_first(self, entry: &Arc<FrontEntry>) {
        let all = self.joined.fronts.table.of_agent(entry.handle.uid);
        for earlier in all.iter().filter(|other| other.handle < entry.handle) {
            self.catch_up((earlier, &mut earlier.lock()));
        }
    }

    /// The agent says something on this connection. A reply that is there at once is appended to `out`.
    ///
    /// # Errors
    /// The agent goes on under a uid that another live agent has, though it was given a fresh one.
    pub(in crate::sessions) fn says(
        self,
        entry: &Arc<FrontEntry>,
        scan: &AgentScan<'_>,
        out: Option<&mut Vec<u8>>,
    ) -> Result<(), Rejected> {
        let Handle { uid, .. } = entry.handle;
        let mut state = entry.lock();
        if let Some(fresh) = state.fresh {
            return Err(Rejected::Cloned { uid, fresh });
        }
        if !entry.is_request() {
            entry.outbox.will_be_looked_at();
        }
        self.catch_up((entry, &mut state));
        if !scan.is_heartbeat() {
            state.active = Some(clock::now());
        }
        self.call((entry, &mut state), out, |front, moment, port| {
            front.agent_message(scan, moment, port);
        });
        drop(state);
        self.handle_loopback(uid);
        Ok(())
    }

    /// Tells a connection of the last change of its shard's home, unless it knows. Returns whether it was told.
    pub(super) fn catch_up(
        self,
        (entry, state): (&FrontEntry, &mut MutexGuard<'_, FrontState>),
    ) -> bool {
        let (table, shard) = (&self.joined.fronts.table, shard_of(entry.handle.uid));
        if table.change(shard) == state.change {
            return false;
        }
        let (home, change) = table.home(shard);
        state.change = change;
        self.call((entry, state), None, |front, moment, port| match home {
            Some(home) => front.home_reached(home, moment, port),
            None => front.home_lost(port),
        });
        true
    }

    /// The agent goes on under another uid on the same connection: `out` takes what it is still owed under this one.
    pub(in crate::sessions) fn rename(self, entry: &Arc<FrontEntry>, out: &mut Vec<u8>) {
        let mut state = entry.lock();
        entry.outbox.take_into(out, &self.joined.fronts.outboxes);
        state.written.take();
        let written = state.written.confirm();
        self.call((entry, &mut state), Some(out), |front, moment, port| {
            if let Some(written) = written {
                front.written(written, port);
            }
            front.closed(DetachReason::Renamed, moment, port);
        });
        drop(state);
        self.handle_loopback(entry.handle.uid);
    }

    /// The connection is over.
    pub(in crate::sessions) fn close(self, entry: &Arc<FrontEntry>, reason: DetachReason) {
        self.with(entry, None, |front, moment, port| front.closed(reason, moment, port));
        // What waited is unwritten: the home goes by what it was told of.
        entry.outbox.close(&self.joined.fronts.outboxes, AttachmentEnd::Left);
    }
}
