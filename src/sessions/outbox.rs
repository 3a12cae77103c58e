//! The connection's side of an attachment: what waits for an agent's task, with a lock of its own. The session
//! writes into it through [`AttachmentPort`]; the task reads it and leaves the session alone. Bounded in
//! bytes: a slow reader costs itself its connection, and the others nothing (R11).
//!
//! ```text
//!             message (within credit)             close, and what waits is of no use
//!   Open ───────────────────────────► Open ───────────────────────────────────────────► Ended: bytes gone
//!    │                                  │ credit is used up: Overflowed, bytes gone
//!    │ close_when_written, farewell     ▼
//!    └──────────────────────────────► Ending: the task writes what waits, then closes
//! ```

use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::attachment::AttachmentPort;
use super::counters::Counters;
use crate::core::session::ToAgent;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::websocket;

/// Why a connection ends from the session's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A newer connection of the agent has the session.
    Replaced,
    /// More waits than may: the agent reads too slowly.
    Overflowed,
    /// The agent said goodbye, or its session is over.
    Left,
    /// Seawall stops.
    Stopping,
    /// The node drains: once all is written, the agent is another node's.
    Draining,
    /// A plain-HTTP request has its answer.
    Answered {
        /// The server had heard and answered everything by then.
        settled: bool,
    },
}

/// What an agent's task has to do.
#[derive(Debug)]
pub enum Outgoing {
    /// Nothing; the attachment must be looked at again at `reply_due`, if it is set.
    Nothing {
        /// When an acknowledgement is due in the server's place.
        reply_due: Option<Instant>,
    },
    /// Write these bytes, whole frames.
    Bytes(Vec<u8>),
    /// Close: a newer connection of the agent took the session.
    Replaced,
    /// Close: more waits for the agent than may.
    Overflowed,
    /// Close: Seawall is stopping, or the node drains.
    Stopping,
    /// Close: the agent said that it leaves, or its session is over.
    Left,
}

/// How many bytes may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credit<'a> {
    /// For this connection. One message is always allowed, or a large configuration could never pass.
    pub(super) bytes_max: usize,
    /// For all connections together.
    pub(super) total_bytes_max: usize,
    pub(super) counters: &'a Counters,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
}

#[derive(Debug, Default)]
struct OutboxState {
    /// Encoded frames; for a request, the message itself.
    bytes: Vec<u8>,
    /// The task to wake.
    waker: Option<Waker>,
    /// When an acknowledgement is due in the server's place.
    reply_due: Option<Instant>,
    ending: Option<Ending>,
}

impl OutboxState {
    /// Drops what waits. Returns whether anything did.
    fn discard(&mut self, counters: &Counters) -> bool {
        let bytes = std::mem::take(&mut self.bytes);
        counters.outbox_changed(bytes.len(), 0);
        !bytes.is_empty()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wake_next(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

/// What the task finds.
pub(super) enum Found {
    /// This is to be done.
    Outgoing(Outgoing),
    /// A reply is overdue: the session has to be told.
    ReplyOverdue,
    /// All is written, and the node drains: the session has to be told.
    Drained,
}

impl Outbox {
    /// Looks for what the task has to do; without anything, `waker` is woken when there is. Bytes are handed
    /// out only if `writable`: while earlier ones wait at the socket they gather here, where they are
    /// bounded.
    pub(super) fn look(&self, waker: &Waker, look: Look, counters: &Counters) -> Found {
        let mut state = self.state.lock();
        let closes = match state.ending {
            Some(Ending::Replaced) => Some(Outgoing::Replaced),
            Some(Ending::Overflowed) => Some(Outgoing::Overflowed),
            Some(Ending::Stopping) => Some(Outgoing::Stopping),
            Some(Ending::Left) => Some(Outgoing::Left),
            Some(Ending::Draining | Ending::Answered { .. }) | None => None,
        };
        if let Some(closes) = closes {
            return Found::Outgoing(closes);
        }
        if state.reply_due.is_some_and(|due| due <= look.now) {
            return Found::ReplyOverdue;
        }
        if look.writable && !state.bytes.is_empty() {
            let bytes = std::mem::take(&mut state.bytes);
            counters.outbox_changed(bytes.len(), 0);
            return Found::Outgoing(Outgoing::Bytes(bytes));
        }
        if look.writable && state.ending == Some(Ending::Draining) {
            return Found::Drained;
        }
        state.wake_next(waker);
        Found::Outgoing(Outgoing::Nothing { reply_due: state.reply_due })
    }

    /// When an acknowledgement is due in the server's place.
    pub(super) fn reply_due_at(&self) -> Option<Instant> {
        self.state.lock().reply_due
    }

    /// A look that found a reply overdue has been acted upon.
    pub(super) fn reply_due_passed(&self, now: Instant) {
        self.state.lock().reply_due.take_if(|due| *due <= now);
    }

    /// The answer to a request; without one, `waker` is woken when it is there.
    pub(super) fn take_answer(&self, waker: &Waker, counters: &Counters) -> Poll<(Vec<u8>, bool)> {
        let mut state = self.state.lock();
        let Some(Ending::Answered { settled }) = state.ending else {
            state.wake_next(waker);
            return Poll::Pending;
        };
        let bytes = std::mem::take(&mut state.bytes);
        counters.outbox_changed(bytes.len(), 0);
        Poll::Ready((bytes, settled))
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes.len()
    }

    /// Takes what waits, for a task that writes it at once.
    pub(super) fn take_into(&self, out: &mut Vec<u8>, counters: &Counters) {
        let mut state = self.state.lock();
        counters.outbox_changed(state.bytes.len(), 0);
        out.append(&mut state.bytes);
        state.bytes = Vec::new();
    }

    /// Writes the answer to a request and wakes its task.
    pub(super) fn answer(
        &self,
        settled: bool,
        counters: &Counters,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut state = self.state.lock();
        write(&mut state.bytes);
        counters.outbox_changed(0, state.bytes.len());
        state.ending = Some(Ending::Answered { settled });
        state.wake();
    }
}

/// How a task looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) now: Instant,
    /// The socket takes bytes.
    pub(super) writable: bool,
}

impl AttachmentPort for Outbox {
    fn message(
        &self,
        kind: ToAgent,
        credit: &Credit<'_>,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut state = self.state.lock();
        if matches!(state.ending, Some(Ending::Overflowed | Ending::Replaced | Ending::Stopping)) {
            return state.ending != Some(Ending::Overflowed);
        }
        let before = state.bytes.len();
        let frame = websocket::begin_message(None, kind.expected_bytes(), &mut state.bytes);
        write(&mut state.bytes);
        websocket::finish_message(frame, &mut state.bytes);
        let after = state.bytes.len();
        let over = before > 0 && after > credit.bytes_max;
        // May be passed by what one lock adds to one agent's bytes: that is counted afterwards.
        if over || credit.counters.agent_bytes() + (after - before) > credit.total_bytes_max {
            state.bytes = Vec::new();
            credit.counters.outbox_changed(before, 0);
            state.ending = Some(Ending::Overflowed);
        } else {
            credit.counters.outbox_changed(before, after);
            MessageSent { kind: send_kind(kind), bytes: after - before }.emit();
        }
        state.wake();
        state.ending != Some(Ending::Overflowed)
    }

    fn reply_due(&self, at: Option<Instant>) {
        self.state.lock().reply_due = at;
    }

    fn close(&self, counters: &Counters, why: Ending) -> bool {
        let mut state = self.state.lock();
        let lost = state.discard(counters);
        if matches!(state.ending, None | Some(Ending::Draining)) {
            state.ending = Some(why);
        }
        state.wake();
        lost
    }

    fn close_when_written(&self) {
        let mut state = self.state.lock();
        state.ending.get_or_insert(Ending::Draining);
        state.wake();
    }
}

/// As what a message to an agent is counted.
const fn send_kind(kind: ToAgent) -> SendKind {
    match kind {
        ToAgent::ReplyNow | ToAgent::Acknowledgement => SendKind::LocalAck,
        ToAgent::Reply(_) => SendKind::Reply,
        ToAgent::Push(_) => SendKind::Push,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(counters: &Counters) -> Credit<'_> {
        Credit { bytes_max: 100, total_bytes_max: 1_000, counters }
    }

    fn put(outbox: &Outbox, counters: &Counters, bytes: usize) -> bool {
        let write = &mut |out: &mut Vec<u8>| out.resize(out.len() + bytes, 0);
        outbox.message(ToAgent::Push(bytes), &credit(counters), write)
    }

    fn look(outbox: &Outbox, counters: &Counters) -> Found {
        let look = Look { now: crate::clock::now(), writable: true };
        outbox.look(Waker::noop(), look, counters)
    }

    #[test]
    fn one_large_message_passes_and_more_than_the_credit_ends_the_connection() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        assert!(put(&outbox, &counters, 500));
        assert!(counters.agent_bytes() > 500 && outbox.bytes() > 500);
        assert!(!put(&outbox, &counters, 1));
        assert_eq!(counters.agent_bytes(), 0);
        assert!(matches!(look(&outbox, &counters), Found::Outgoing(Outgoing::Overflowed)));
        assert!(!put(&outbox, &counters, 1), "it stays closed");
    }

    #[test]
    fn all_connections_share_one_bound() {
        let counters = Counters::default();
        let outboxes = [(); 4].map(|()| Outbox::default());
        let took = outboxes.each_ref().map(|outbox| put(outbox, &counters, 400));
        assert_eq!(took, [true, true, false, false]);
        assert!(outboxes[0].close(&counters, Ending::Replaced), "unread bytes are lost");
        assert!(put(&outboxes[2], &counters, 1) || counters.agent_bytes() < 1_000);
        assert!(matches!(look(&outboxes[0], &counters), Found::Outgoing(Outgoing::Replaced)));
    }

    #[test]
    fn what_waits_is_written_before_a_drained_connection_closes() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        put(&outbox, &counters, 10);
        outbox.close_when_written();
        assert!(matches!(look(&outbox, &counters), Found::Outgoing(Outgoing::Bytes(_))));
        assert!(matches!(look(&outbox, &counters), Found::Drained));
        assert!(!outbox.close(&counters, Ending::Replaced));
        assert!(matches!(look(&outbox, &counters), Found::Outgoing(Outgoing::Replaced)));
    }

    #[test]
    fn an_overdue_reply_is_noticed_once_it_is_due() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        let now = crate::clock::now();
        outbox.reply_due(Some(now + std::time::Duration::from_secs(60)));
        let nothing = look(&outbox, &counters);
        assert!(matches!(nothing, Found::Outgoing(Outgoing::Nothing { reply_due: Some(_) })));
        outbox.reply_due(Some(now));
        assert!(matches!(look(&outbox, &counters), Found::ReplyOverdue));
        outbox.reply_due_passed(now);
        assert_eq!(outbox.reply_due_at(), None);
    }
}
