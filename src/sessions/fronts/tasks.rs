//! What the task of an agent's WebSocket asks for.

use std::sync::Arc;
use std::task::Waker;

use super::FrontSide;
use super::entry::FrontEntry;
use crate::clock;
use crate::core::node_link::{DetachReason, ToHome};
use crate::core::ownership::shard_of;
use crate::sessions::outbox::{Look, OutboxWork, Outgoing};

impl FrontSide<'_> {
    /// What the task has to do now. The look is taken with the attachment locked, so that the numbers of what the
    /// task takes are known.
    pub(in crate::sessions) fn poll(
        self,
        entry: &Arc<FrontEntry>,
        waker: &Waker,
        writable: bool,
    ) -> Outgoing {
        loop {
            let mut state = entry.lock();
            let written = if writable { state.written.confirm() } else { None };
            if let Some(written) = written {
                self.call((entry, &mut state), None, |front, _, port| {
                    front.written(written, port);
                });
            }
            let now = clock::now();
            let lingers = state.lingers_until().is_some_and(|until| now < until);
            let look = Look { now, writable, lingers };
            let found = match entry.outbox.look(waker, look, &self.joined.fronts.outboxes) {
                OutboxWork::Outgoing(outgoing) => {
                    if matches!(outgoing, Outgoing::Bytes(_)) {
                        state.written.take();
                    }
                    Some(outgoing)
                }
                OutboxWork::ReplyOverdue => {
                    entry.outbox.reply_due_passed(look.now);
                    self.call((entry, &mut state), None, |front, moment, port| {
                        front.deadline_passed(moment, port);
                    });
                    None
                }
                OutboxWork::Drained => {
                    if look.lingers {
                        entry.outbox.linger();
                        continue;
                    }
                    self.call((entry, &mut state), None, |front, moment, port| {
                        front.closed(DetachReason::Drained, moment, port);
                    });
                    Some(Outgoing::Stopping)
                }
            };
            drop(state);
            self.handle_loopback(entry.handle.uid);
            if let Some(outgoing) = found {
                return outgoing;
            }
        }
    }

    /// Whether the agent's next message may be read: what waits for its home has a bound. The task is woken when
    /// there is room again.
    pub(in crate::sessions) fn may_read(self, entry: &FrontEntry) -> bool {
        entry.lock().front.may_read(&self.joined.fronts.policy)
    }

    /// The connection was replaced, and its agent has answered the Close (R10).
    pub(in crate::sessions) fn replaced_was_alive(self, entry: &FrontEntry) {
        let handle = entry.handle;
        if let (Some(home), _) = self.joined.fronts.table.home(shard_of(handle.uid)) {
            let was_alive = ToHome::WasAlive(handle);
            self.joined.to_home(home.node, handle.uid, &mut |out| was_alive.encode(out));
            self.handle_loopback(handle.uid);
        }
    }

    /// The agent has answered a ping.
    pub(in crate::sessions) fn ponged(self, entry: &Arc<FrontEntry>, payload: &[u8]) {
        // The connection's own pings are empty.
        let Ok(question) = payload.try_into().map(u32::from_be_bytes) else { return };
        let mut state = entry.lock();
        if state.asked.take_if(|(asked, _)| *asked == question).is_some() && entry.outbox.lingers()
        {
            entry.outbox.wake();
        }
        self.call((entry, &mut state), None, |front, _, port| front.ponged(question, port));
        drop(state);
        self.handle_loopback(entry.handle.uid);
    }
}
