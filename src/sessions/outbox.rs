//! The connection's side of an attachment: what waits for an agent's task, with a lock of its own. The session
//! writes into it through [`AttachmentPort`]; the task reads it and leaves the session alone. Bounded in
//! bytes: a slow reader costs itself its connection, and leaves the others alone (R11).
//!
//! ```text
//!             message (within credit)             close, and what waits is of no use
//!   Open ───────────────────────────► Open ───────────────────────────────────────────► Ended: bytes gone
//!    │                                  │ its own credit is used up: Overflowed, bytes gone
//!    │ close_when_written, farewell     ▼
//!    └──────────────────────────────► AttachmentEnd: the task writes what waits, then closes
//!                                      (a front lingers first, until its agent has confirmed what was written)
//! ```

use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::attachment_port::{AttachmentEnd, AttachmentPort, Credit};
use super::backlog::Backlog;
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
    backlog: Backlog,
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

/// A message of at most this many bytes is brought whatever others hold: a reply that says nothing, or a question.
const SMALL_BYTES: usize = 256;

impl OutboxState {
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
    /// out only if `writable`, when all earlier ones are written: until then they gather here, where they are
    /// bounded.
    pub(super) fn look(&self, waker: &Waker, look: Look, counters: &Counters) -> OutboxWork {
        let mut state = self.state.lock();
        if look.writable {
            state.backlog.left_to_write(0, counters);
        }
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
        if look.writable && state.backlog.len() > 0 {
            return OutboxWork::Outgoing(Outgoing::Bytes(state.backlog.take()));
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
        Poll::Ready((state.backlog.take_uncounted(counters), settled))
    }

    /// Bytes that the task has yet to take.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().backlog.len()
    }

    /// Bytes that the agent has yet to read, as far as the socket tells.
    pub(super) fn unread_bytes(&self) -> usize {
        self.state.lock().backlog.unread()
    }

    /// Takes what waits, for a task that writes it at once.
    pub(super) fn take_into(&self, out: &mut Vec<u8>, counters: &Counters) {
        let mut bytes = self.state.lock().backlog.take_uncounted(counters);
        out.append(&mut bytes);
    }

    /// The task holds this many bytes that the socket has yet to take.
    pub(super) fn left_to_write(&self, bytes: usize, counters: &Counters) {
        self.state.lock().backlog.left_to_write(bytes, counters);
    }

    /// Until when the agent's messages stay unread at the latest, if they do.
    pub(super) fn held_back_until(&self) -> Option<Instant> {
        self.state.lock().backlog.held_back_until()
    }

    /// Whether the agent's next message may be read now.
    pub(super) fn may_be_read(&self) -> bool {
        let mut state = self.state.lock();
        let Some(until) = state.backlog.held_back_until() else { return true };
        let is_past = until <= crate::clock::now();
        if is_past {
            state.backlog.hold_back(None);
        }
        is_past
    }

    /// Takes one control frame or message, which `write` writes with its head. Left out if the connection closes
    /// before what waits is written.
    pub(super) fn frame(&self, counters: &Counters, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if state.stage.takes_more() {
            let mut bytes = state.backlog.lift();
            let before = bytes.len();
            write(&mut bytes);
            counters.outbox_changed(before, bytes.len());
            state.backlog.put(bytes);
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
        counters.outbox_changed(state.backlog.len(), bytes.len());
        state.backlog.put(bytes);
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
        if !credit.has_room_for(kind) {
            return false;
        }
        let mut bytes = state.backlog.lift();
        let before = bytes.len();
        let frame = websocket::begin_message(None, kind.expected_bytes(), &mut bytes);
        write(&mut bytes);
        websocket::finish_message(frame, &mut bytes);
        let after = bytes.len();
        let exceeds = before > 0 && after > credit.bytes_max;
        if exceeds {
            credit.counters.outbox_changed(before, 0);
            state.stage = Stage::Ends(AttachmentEnd::Overflowed);
        } else {
            credit.counters.outbox_changed(before, after);
            state.backlog.put(bytes);
            MessageSent { kind: send_kind(kind), bytes: after - before }.emit();
        }
        state.wake();
        !exceeds
    }

    fn reply_due(&self, at: Option<Instant>) {
        if let Stage::Open { reply_due } = &mut self.state.lock().stage {
            *reply_due = at;
        }
    }

    fn confirm(&self, ping: u16, counters: &Counters) {
        self.frame(counters, |out| websocket::encode_ping(None, &ping.to_be_bytes(), out));
    }

    fn may_read(&self, may: bool, now: Instant) {
        let mut state = self.state.lock();
        state.backlog.hold_back((!may).then_some(now));
        if may {
            state.wake();
        }
    }

    fn close(&self, counters: &Counters, why: AttachmentEnd) {
        let mut state = self.state.lock();
        state.backlog.take_uncounted(counters);
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

impl Credit<'_> {
    /// Whether a message may wait beside what waits for all agents. What waited in the mailbox is in the total
    /// already. The bound may be passed by what one lock adds to one agent's bytes: that is counted afterwards.
    pub(super) fn has_room_for(&self, kind: ToAgent) -> bool {
        let bytes = kind.expected_bytes();
        matches!(kind, ToAgent::Stored(_))
            || bytes <= SMALL_BYTES
            || self.counters.present_bytes() + bytes <= self.total_bytes_max
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
    fn all_connections_share_one_bound_and_none_closes_for_the_others_bytes() {
        let counters = Counters::default();
        let outboxes = [(); 4].map(|()| Outbox::default());
        let took = outboxes.each_ref().map(|outbox| put(outbox, &counters, 400));
        assert_eq!(took, [true, true, false, false]);
        let nothing = look(&outboxes[2], &counters);
        assert!(matches!(nothing, OutboxWork::Outgoing(Outgoing::Nothing { .. })), "it stays open");
        assert!(put(&outboxes[3], &counters, 100), "an acknowledgement always passes");
        outboxes[0].close(&counters, AttachmentEnd::Replaced);
        assert_eq!(outboxes[0].bytes(), 0, "unread bytes are lost");
        assert!(put(&outboxes[2], &counters, 400), "there is room again");
        assert!(matches!(look(&outboxes[0], &counters), OutboxWork::Outgoing(Outgoing::Replaced)));
    }

    /// What its task has taken is in the total until it is written.
    #[test]
    fn what_a_socket_has_yet_to_take_is_counted() {
        let (outbox, counters) = (Outbox::default(), Counters::default());
        put(&outbox, &counters, 500);
        assert!(matches!(look(&outbox, &counters), OutboxWork::Outgoing(Outgoing::Bytes(_))));
        assert!(counters.agent_bytes() > 500 && outbox.unread_bytes() > 500);
        assert!(!put(&Outbox::default(), &counters, 600), "it leaves no room for another");
        assert!(put(&outbox, &counters, 400), "what is under way is beside its own bound");
        outbox.close(&counters, AttachmentEnd::Replaced);
        assert!(counters.agent_bytes() > 500, "closing writes nothing");
        outbox.left_to_write(20, &counters);
        assert_eq!(counters.agent_bytes(), 20);
        outbox.left_to_write(0, &counters);
        assert_eq!(counters.agent_bytes(), 0);
    }

    #[test]
    fn messages_stay_unread_until_the_session_says_so_or_for_a_while() {
        let outbox = Outbox::default();
        let now = crate::clock::now();
        assert!(outbox.may_be_read());
        outbox.may_read(false, now);
        assert!(!outbox.may_be_read() && outbox.held_back_until().is_some());
        outbox.may_read(true, now);
        assert!(outbox.may_be_read() && outbox.held_back_until().is_none());
        let Some(long_ago) = now.checked_sub(std::time::Duration::from_secs(60)) else { return };
        outbox.may_read(false, long_ago);
        assert!(outbox.may_be_read() && outbox.held_back_until().is_none());
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
        let large = &mut |_: &mut Vec<u8>| panic!("there is no room for it");
        assert!(!outbox.message(ToAgent::Push(300), &credit(&counters), large), "newly come");
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
