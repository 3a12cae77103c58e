//! The connection's side of an attachment: what waits for an agent's task, with a lock of its own. The session
//! writes into it through [`AttachmentPort`]; the task reads it and leaves the session alone. Bounded in
//! bytes: a slow reader costs itself its connection, and leaves the others alone (R11).
//!
//! ```text
//!             message (within credit)             close, and what waits is of no use
//!   Open ───────────────────────────► Open ───────────────────────────────────────────► Ended: bytes gone
//!    │                                  │ credit is used up: Overflowed, bytes gone
//!    │ close_when_written, farewell     ▼
//!    └──────────────────────────────► AttachmentEnd: the task writes what waits, then closes
//!                                      (a front lingers first, until its agent has confirmed what was written)
//! ```

use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::attachment_port::{AttachmentEnd, AttachmentPort, Credit};
use super::counters::Counters;
use crate::core::session::ToAgent;
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::websocket;

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
    stage: Stage,
}

/// Where an outbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open {
        /// When an acknowledgement is due in the server's place.
        reply_due: Option<Instant>,
    },
    Ends(AttachmentEnd),
    /// All is written, and the connection closes once the agent has confirmed it, or has had time to.
    Lingers,
    /// The agent has left: the connection closes once all is written.
    Farewell,
}

impl Stage {
    /// More may be written before the connection closes.
    const fn takes_more(self) -> bool {
        matches!(self, Self::Open { .. } | Self::Lingers | Self::Ends(AttachmentEnd::Draining))
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::Open { reply_due: None }
    }
}

impl OutboxState {
    /// Takes what waits.
    fn take(&mut self, counters: &Counters) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        counters.outbox_changed(bytes.len(), 0);
        bytes
    }

    const fn reply_due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Open { reply_due } => reply_due,
            Stage::Ends(_) | Stage::Lingers | Stage::Farewell => None,
        }
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
pub(super) enum OutboxWork {
    /// The task does this.
    Outgoing(Outgoing),
    /// A reply is overdue: the session has to be told.
    ReplyOverdue,
    /// All is written, and the node drains: the session has to be told.
    Drained,
}

impl Outbox {
    /// Looks for what the task has to do; `waker` is woken when there is more. Bytes are handed
    /// out only if `writable`: while earlier ones wait at the socket they gather here, where they are
    /// bounded.
    pub(super) fn look(&self, waker: &Waker, look: Look, counters: &Counters) -> OutboxWork {
        let mut state = self.state.lock();
        let closes = match state.stage {
            Stage::Ends(AttachmentEnd::Replaced) => Some(Outgoing::Replaced),
            Stage::Ends(AttachmentEnd::Overflowed) => Some(Outgoing::Overflowed),
            Stage::Ends(AttachmentEnd::Stopping) => Some(Outgoing::Stopping),
            Stage::Ends(AttachmentEnd::Left) => Some(Outgoing::Left),
            Stage::Ends(AttachmentEnd::Draining | AttachmentEnd::Answered { .. })
            | Stage::Open { .. }
            | Stage::Lingers
            | Stage::Farewell => None,
        };
        if let Some(closes) = closes {
            return OutboxWork::Outgoing(closes);
        }
        let reply_due = state.reply_due();
        if reply_due.is_some_and(|due| due <= look.now) {
            return OutboxWork::ReplyOverdue;
        }
        if look.writable && !state.bytes.is_empty() {
            return OutboxWork::Outgoing(Outgoing::Bytes(state.take(counters)));
        }
        let lingers = state.stage == Stage::Lingers && look.lingers;
        let drains = matches!(state.stage, Stage::Ends(AttachmentEnd::Draining) | Stage::Lingers);
        if look.writable && drains && !lingers {
            return OutboxWork::Drained;
        }
        if look.writable && state.stage == Stage::Farewell {
            return OutboxWork::Outgoing(Outgoing::Left);
        }
        state.wake_next(waker);
        OutboxWork::Outgoing(Outgoing::Nothing { reply_due })
    }

    /// When an acknowledgement is due in the server's place.
    pub(super) fn reply_due_at(&self) -> Option<Instant> {
        self.state.lock().reply_due()
    }

    /// A look that found a reply overdue has been acted upon.
    pub(super) fn reply_due_passed(&self, now: Instant) {
        if let Stage::Open { reply_due } = &mut self.state.lock().stage {
            reply_due.take_if(|due| *due <= now);
        }
    }

    /// The answer to a request; until it is there, `waker` is kept to be woken by it.
    pub(super) fn take_answer(&self, waker: &Waker, counters: &Counters) -> Poll<(Vec<u8>, bool)> {
        let mut state = self.state.lock();
        let Stage::Ends(AttachmentEnd::Answered { settled }) = state.stage else {
            state.wake_next(waker);
            return Poll::Pending;
        };
        Poll::Ready((state.take(counters), settled))
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes.len()
    }

    /// Takes what waits, for a task that writes it at once.
    pub(super) fn take_into(&self, out: &mut Vec<u8>, counters: &Counters) {
        let mut bytes = self.state.lock().take(counters);
        out.append(&mut bytes);
    }

    /// Takes one control frame or message, which `write` writes with its head. Left out if the connection closes
    /// before what waits is written.
    pub(super) fn frame(&self, counters: &Counters, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if state.stage.takes_more() {
            let before = state.bytes.len();
            write(&mut state.bytes);
            counters.outbox_changed(before, state.bytes.len());
            state.wake();
        }
    }

    /// Closes the connection once what waits for it is written: the agent has left.
    pub(super) fn say_farewell(&self) {
        let mut state = self.state.lock();
        if state.stage.takes_more() {
            state.stage = Stage::Farewell;
        }
        state.wake();
    }

    /// Keeps a connection that drains open until the agent has confirmed what was written.
    pub(super) fn linger(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Ends(AttachmentEnd::Draining) {
            state.stage = Stage::Lingers;
        }
    }

    /// Whether a connection that drains is kept open for that.
    pub(super) fn lingers(&self) -> bool {
        self.state.lock().stage == Stage::Lingers
    }

    /// The task is at work and looks when it is done: until then it need not be woken.
    pub(super) fn will_be_looked_at(&self) {
        self.state.lock().waker = None;
    }

    /// Has the task look again.
    pub(super) fn wake(&self) {
        self.state.lock().wake();
    }

    /// Whether a request waits for its answer.
    pub(super) fn awaits_answer(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Open { .. })
    }

    /// Writes the answer to a request and wakes its task.
    pub(super) fn answer(
        &self,
        settled: bool,
        counters: &Counters,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut state = self.state.lock();
        let mut bytes = Vec::new();
        write(&mut bytes);
        counters.outbox_changed(state.bytes.len(), bytes.len());
        state.bytes = bytes;
        state.stage = Stage::Ends(AttachmentEnd::Answered { settled });
        state.wake();
    }
}

/// How a task looks: when, and whether it can write what it finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) now: Instant,
    /// The socket takes bytes.
    pub(super) writable: bool,
    /// The agent has yet to confirm something, and has time for it: a connection that lingers stays open.
    pub(super) lingers: bool,
}

impl AttachmentPort for Outbox {
    fn message(
        &self,
        kind: ToAgent,
        credit: &Credit<'_>,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut state = self.state.lock();
        if let Stage::Ends(
            AttachmentEnd::Overflowed | AttachmentEnd::Replaced | AttachmentEnd::Stopping,
        ) = state.stage
        {
            return false;
        }
        let mut bytes = std::mem::take(&mut state.bytes);
        let before = bytes.len();
        let frame = websocket::begin_message(None, kind.expected_bytes(), &mut bytes);
        write(&mut bytes);
        websocket::finish_message(frame, &mut bytes);
        let after = bytes.len();
        let exceeds = before > 0 && after > credit.bytes_max;
        // What waited in the mailbox is in the total until the session's lock is free. The rest may pass the
        // bound by what one lock adds to one agent's bytes: that is counted afterwards.
        let added = if matches!(kind, ToAgent::Stored(_)) { 0 } else { after - before };
        let over = exceeds
            || (added > 0 && credit.counters.agent_bytes() + added > credit.total_bytes_max);
        if over {
            credit.counters.outbox_changed(before, 0);
            state.stage = Stage::Ends(AttachmentEnd::Overflowed);
        } else {
            credit.counters.outbox_changed(before, after);
            state.bytes = bytes;
            MessageSent { kind: send_kind(kind), bytes: after - before }.emit();
        }
        state.wake();
        !over
    }

    fn reply_due(&self, at: Option<Instant>) {
        if let Stage::Open { reply_due } = &mut self.state.lock().stage {
            *reply_due = at;
        }
    }

    fn confirm(&self, ping: u16, counters: &Counters) {
        self.frame(counters, |out| websocket::encode_ping(None, &ping.to_be_bytes(), out));
    }

    fn close(&self, counters: &Counters, why: AttachmentEnd) {
        let mut state = self.state.lock();
        state.take(counters);
        if state.stage.takes_more() || state.stage == Stage::Farewell {
            state.stage = Stage::Ends(why);
        }
        state.wake();
    }

    fn close_when_written(&self) {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Open { .. }) {
            state.stage = Stage::Ends(AttachmentEnd::Draining);
        }
        state.wake();
    }
}

/// As what a message to an agent is counted.
const fn send_kind(kind: ToAgent) -> SendKind {
    match kind {
        ToAgent::ReplyNow | ToAgent::Acknowledgement => SendKind::LocalAck,
        ToAgent::Reply(_) => SendKind::Reply,
        ToAgent::Push(_) | ToAgent::Stored(_) => SendKind::Push,
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

    fn look(outbox: &Outbox, counters: &Counters) -> OutboxWork {
        let look = Look { now: crate::clock::now(), writable: true, lingers: false };
        outbox.look(Waker::noop(), look, counters)
    }

    #[test]
    fn one_large_message_passes_and_more_than_the_credit_ends_the_connection() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        assert!(put(&outbox, &counters, 500));
        assert!(counters.agent_bytes() > 500 && outbox.bytes() > 500);
        assert!(!put(&outbox, &counters, 1));
        assert_eq!(counters.agent_bytes(), 0);
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Overflowed)));
        assert!(!put(&outbox, &counters, 1), "it stays closed");
    }

    #[test]
    fn all_connections_share_one_bound() {
        let counters = Counters::default();
        let outboxes = [(); 4].map(|()| Outbox::default());
        let took = outboxes.each_ref().map(|outbox| put(outbox, &counters, 400));
        assert_eq!(took, [true, true, false, false]);
        outboxes[0].close(&counters, AttachmentEnd::Replaced);
        assert_eq!(outboxes[0].bytes(), 0, "unread bytes are lost");
        assert!(put(&outboxes[2], &counters, 1) || counters.agent_bytes() < 1_000);
        assert!(matches!(look(&outboxes[0], &counters), OutboxWork::Outgoing(Outgoing::Replaced)));
    }

    /// While a mailbox is emptied, its session counts all of it still.
    #[test]
    fn what_waited_in_a_mailbox_is_counted_once() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        counters.outbox_changed(0, 999);
        let write = &mut |out: &mut Vec<u8>| out.resize(out.len() + 20, 0);
        for _ in 0..3 {
            assert!(outbox.message(ToAgent::Stored(20), &credit(&counters), write));
        }
        assert!(!outbox.message(ToAgent::Push(20), &credit(&counters), write), "newly come");
        let (other, counters) = (Outbox::default(), Counters::default());
        assert!(put(&other, &counters, 90));
        let one_more = other.message(ToAgent::Stored(20), &credit(&counters), write);
        assert!(!one_more, "a connection has a bound of its own");
    }

    #[test]
    fn what_waits_is_written_before_a_drained_connection_closes() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        put(&outbox, &counters, 10);
        outbox.close_when_written();
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Bytes(_))));
        assert!(matches!(look(&outbox, &counters), OutboxWork::Drained));
        outbox.close(&counters, AttachmentEnd::Replaced);
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Replaced)));
    }

    #[test]
    fn what_waits_is_written_before_a_farewell() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        put(&outbox, &counters, 10);
        outbox.frame(&counters, |out| websocket::encode_ping(None, &[1, 2, 3, 4], out));
        assert_eq!(counters.agent_bytes(), outbox.bytes());
        outbox.say_farewell();
        outbox.frame(&counters, |_| panic!("the connection closes"));
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Bytes(_))));
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Left)));
    }

    #[test]
    fn an_overdue_reply_is_noticed_once_it_is_due() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        let now = crate::clock::now();
        outbox.reply_due(Some(now + std::time::Duration::from_secs(60)));
        let nothing = look(&outbox, &counters);
        assert!(matches!(nothing, OutboxWork::Outgoing(Outgoing::Nothing { reply_due: Some(_) })));
        outbox.reply_due(Some(now));
        assert!(matches!(look(&outbox, &counters), OutboxWork::ReplyOverdue));
        outbox.reply_due_passed(now);
        assert_eq!(outbox.reply_due_at(), None);
    }

    #[test]
    fn a_connection_that_drains_lingers_until_what_was_written_is_confirmed() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        let look = |lingers| {
            let look = Look { now: crate::clock::now(), writable: true, lingers };
            outbox.look(Waker::noop(), look, &counters)
        };
        outbox.linger();
        assert!(!outbox.lingers(), "it is to stay");
        put(&outbox, &counters, 10);
        outbox.close_when_written();
        assert!(matches!(look(true), OutboxWork::Outgoing(Outgoing::Bytes(_))));
        assert!(matches!(look(true), OutboxWork::Drained));
        outbox.linger();
        assert!(matches!(look(true), OutboxWork::Outgoing(Outgoing::Nothing { .. })));
        put(&outbox, &counters, 10);
        assert!(matches!(look(true), OutboxWork::Outgoing(Outgoing::Bytes(_))));
        assert!(outbox.lingers());
        assert!(matches!(look(false), OutboxWork::Drained));
    }

    /// With the counts of its `Arc`, one outbox takes six chunks of 16 bytes from the allocator.
    #[test]
    fn an_outbox_is_small() {
        assert!(size_of::<Outbox>() + 2 * size_of::<usize>() <= 80, "{}", size_of::<Outbox>());
    }
}
