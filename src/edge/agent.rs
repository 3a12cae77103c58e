//! An agent's WebSocket: one task, one timer, and no buffer while nothing is under way.
//!
//! ```text
//!            ┌───────── read ──────────┐         one side closes
//!   Open ────┤ only while all that was ├──► Open ───────────────► Closing ──► over
//!            └─ said is written (R11) ─┘            Close written, the agent's Close, its end,
//!                                                   or CLOSE_PATIENCE
//! ```
//!
//! A client that a Close frame loses for ever (docs/FIELD-NOTES.md, section 1) gets none: its connection ends by a FIN
//! behind the last message, which of a drain says when to come again.
//!
//! Deadlines are `core::keepalive`'s.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

use super::admission::RefusalForm;
use super::conversation::{AfterBytes, Conversation};
use super::ending::{SocketEnding, after_drain, come_again};
use crate::clock;
use crate::core::keepalive::{AgentKeepAlive, Overdue};
use crate::ident::InstanceUid;
use crate::scratch;
use crate::sessions::{Outgoing, is_short_of_room};
use crate::telemetry::events::edge::{CloseReason, PingSent};
use crate::websocket;

/// How often a connection whose agent is unknown asks, while the node drains, whether it may end.
const UNKNOWN_ASKS_EVERY: Duration = Duration::from_millis(250);

/// The code by which an agent says that a message was too large for it (RFC 6455, section 7.4.1).
const TOO_LARGE: u16 = 1009;

/// See the module's text.
pub(super) struct AgentSocket<S> {
    socket: S,
    conversation: Conversation,
    /// Bytes that wait until the socket takes them, and how many of them have been written.
    unwritten: Vec<u8>,
    written: usize,
    /// TLS holds bytes back until they are flushed.
    flush: bool,
    alive: AgentKeepAlive,
    closing: Option<Closing>,
    /// How the agent is sent away.
    form: RefusalForm,
    /// While the agent is unknown: when the node's connections begin to end.
    drain_begins: Option<Pin<Box<OwnedNotified>>>,
}

/// The way out.
#[derive(Clone, Copy)]
struct Closing {
    reason: CloseReason,
    /// Both sides have said Close.
    answered: bool,
    /// This side ends without a Close, behind what waits.
    fin: bool,
}

/// Whether a step found something to do.
#[derive(PartialEq, Eq)]
enum SocketStep {
    Again,
    Idle,
    Over(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AgentSocket<S> {
    /// `early`: what came behind the upgrade.
    pub(super) fn new(socket: S, mut conversation: Conversation, early: Vec<u8>) -> Self {
        conversation.handles_first(early);
        Self {
            socket,
            conversation,
            unwritten: Vec::new(),
            written: 0,
            flush: false,
            alive: AgentKeepAlive::new(clock::now()),
            closing: None,
            form: RefusalForm::default(),
            drain_begins: None,
        }
    }

    /// Notes the form in which the agent is sent away.
    pub(super) const fn sent_away_by(&mut self, form: RefusalForm) {
        self.form = form;
    }

    /// Runs the connection to its end. The block captures for the reason that `connection::serve` gives.
    #[expect(clippy::manual_async_fn, reason = "an async fn's future is larger by its arguments")]
    pub(super) fn run(
        mut self: Box<Self>,
    ) -> impl Future<Output = (Option<InstanceUid>, CloseReason)> {
        async move {
            let mut timer = pin!(tokio::time::sleep_until(self.deadline().into()));
            let reason = poll_fn(|context| self.poll(context, timer.as_mut())).await;
            (self.conversation.uid(), reason)
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<CloseReason> {
        loop {
            match self.step(context) {
                SocketStep::Again => {}
                SocketStep::Over(reason) => return Poll::Ready(reason),
                SocketStep::Idle => {
                    // An earlier deadline moves the timer. At a later one the timer rings and the deadline
                    // is read again: most deadlines move with every message, and few of them are reached.
                    let deadline = self.deadline();
                    if deadline < timer.deadline().into_std() {
                        timer.as_mut().reset(deadline.into());
                    }
                    if timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    if let Some(reason) = self.on_time(clock::now()) {
                        return Poll::Ready(reason);
                    }
                    timer.as_mut().reset(self.deadline().into());
                }
            }
        }
    }

    fn step(&mut self, context: &mut Context<'_>) -> SocketStep {
        let writable = match self.write(context) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => return SocketStep::Over(self.reason_or(CloseReason::Reset)),
            Poll::Pending => false,
        };
        if let Some(closing) = self.closing {
            if closing.answered && writable {
                return SocketStep::Over(closing.reason);
            }
            if closing.fin && writable {
                match Pin::new(&mut self.socket).poll_shutdown(context) {
                    Poll::Ready(Ok(())) => self.closing = Some(Closing { fin: false, ..closing }),
                    Poll::Ready(Err(_)) => return SocketStep::Over(closing.reason),
                    Poll::Pending => return SocketStep::Idle,
                }
            }
        } else if self.take_from_session(context, writable) {
            return SocketStep::Again;
        }
        // While the agent leaves its answers unread, its messages stay unread too: answers would pile up.
        // They also stay unread while as much waits for the agent's home as may.
        if !writable || self.closing.is_none() && !self.conversation.may_read() {
            return SocketStep::Idle;
        }
        self.read(context)
    }

    /// Writes what waits. `Ready(Ok)`: all of it is written.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let rest = &self.unwritten[self.written..];
            let times = &self.conversation.edge().params.keep_alive;
            let Poll::Ready(count) = write_some(&mut self.socket, context, rest) else {
                self.alive.blocked(times, clock::now());
                return Poll::Pending;
            };
            let count = count?;
            self.written += count;
            self.flush = true;
            if self.alive.is_blocked() {
                let all = self.written == self.unwritten.len();
                self.alive.wrote(count, all, times, clock::now());
            }
        }
        if !self.unwritten.is_empty() {
            self.unwritten = Vec::new();
            self.written = 0;
        }
        if self.flush {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what the session has for this connection. `true`: there is something to write now.
    fn take_from_session(&mut self, context: &mut Context<'_>, writable: bool) -> bool {
        if self.conversation.is_nobody() {
            return self.ends_unknown(context);
        }
        self.drain_begins = None;
        let ending = match self.conversation.poll_outgoing(context, writable) {
            Outgoing::Nothing { .. } => return false,
            Outgoing::Bytes(bytes) => {
                self.unwritten = bytes;
                self.written = 0;
                return true;
            }
            Outgoing::Replaced => SocketEnding { code: 1000, reason: CloseReason::Replaced },
            Outgoing::Overflowed => SocketEnding { code: 1008, reason: CloseReason::SlowReader },
            Outgoing::Left => SocketEnding { code: 1000, reason: CloseReason::AgentDisconnect },
            Outgoing::Stopping => SocketEnding { code: 1001, reason: CloseReason::Drain },
        };
        self.close(ending);
        true
    }

    /// The agent is still unknown: the connection itself asks whether it has to end.
    fn ends_unknown(&mut self, context: &mut Context<'_>) -> bool {
        let edge = self.conversation.edge();
        let begins = self.drain_begins.get_or_insert_with(|| Box::pin(edge.drain_begins()));
        // First, so that a drain that begins from here on wakes this task.
        let _ = begins.as_mut().poll(context);
        let ends = edge.may_close(|| true);
        if ends {
            self.close(SocketEnding { code: 1001, reason: CloseReason::Drain });
        }
        ends
    }

    /// Reads once, handles what came, and writes the answers, as far as the socket takes them.
    fn read(&mut self, context: &mut Context<'_>) -> SocketStep {
        let closing = self.closing.is_some();
        let mut early = self.conversation.take_unhandled();
        let mut count = early.len();
        let (heard, sent) = scratch::with_output(|out| {
            let heard = if early.is_empty() {
                let socket = Pin::new(&mut self.socket);
                scratch::poll_read(socket, context, |bytes| {
                    count = bytes.len();
                    take_in(&mut self.conversation, closing, bytes, out)
                })
            } else {
                Poll::Ready(Ok(take_in(&mut self.conversation, closing, &mut early, out)))
            };
            (heard, self.answer(context, out))
        });
        if sent.is_err() {
            return SocketStep::Over(self.reason_or(CloseReason::Reset));
        }
        match heard {
            Poll::Pending => return SocketStep::Idle,
            Poll::Ready(Err(_)) => return SocketStep::Over(self.reason_or(CloseReason::Reset)),
            Poll::Ready(Ok(None)) => {
                return SocketStep::Over(self.reason_or(CloseReason::AgentClosed));
            }
            Poll::Ready(Ok(Some(AfterBytes::Continue))) => {
                let heard = self.conversation.heard(count);
                self.alive.heard(heard, &self.conversation.edge().params.keep_alive, clock::now());
            }
            Poll::Ready(Ok(Some(AfterBytes::PeerCloses(code)))) => self.peer_closes(code),
            Poll::Ready(Ok(Some(AfterBytes::Close(ending)))) => self.close(ending),
        }
        SocketStep::Again
    }

    /// Writes at once what the socket takes and stores the rest. It is first in line: reading stops while
    /// bytes wait.
    fn answer(&mut self, context: &mut Context<'_>, out: &[u8]) -> io::Result<()> {
        let mut rest = out;
        while !rest.is_empty() {
            match write_some(&mut self.socket, context, rest) {
                Poll::Ready(count) => {
                    rest = &rest[count?..];
                    self.flush = true;
                }
                Poll::Pending => break,
            }
        }
        self.unwritten.extend_from_slice(rest);
        if !rest.is_empty() {
            self.conversation.agents.left_to_write(self.unwritten.len());
        }
        Ok(())
    }

    /// Closes from this side: the Close, or the end without one, goes behind what waits.
    fn close(&mut self, ending: SocketEnding) {
        let SocketEnding { code, reason } = ending;
        let fin = self.form == RefusalForm::Message;
        if !fin {
            websocket::encode_close(None, code, &mut self.unwritten);
        } else if reason == CloseReason::Drain {
            come_again(after_drain(rand::random()), &mut self.unwritten);
        }
        self.conversation.ends();
        self.alive.closing(clock::now());
        self.closing = Some(Closing { reason, answered: false, fin });
    }

    /// The agent's Close: the answer to ours, or its own, which is answered.
    fn peer_closes(&mut self, code: Option<u16>) {
        if code == Some(TOO_LARGE) {
            self.conversation.agents.refused_for_size();
        }
        let reason = self.reason_or(CloseReason::AgentClosed);
        if self.closing.is_none() {
            websocket::encode_close(None, 1000, &mut self.unwritten);
        } else if self.closing.is_some_and(|closing| closing.fin) {
            // Both have ended at one moment: what waits, then the end.
        } else if reason == CloseReason::Replaced {
            self.conversation.agents.replaced_was_alive();
        }
        self.alive.closing(clock::now());
        self.closing = Some(Closing { reason, answered: true, fin: false });
    }

    fn reason_or(&self, otherwise: CloseReason) -> CloseReason {
        self.closing.map_or(otherwise, |closing| closing.reason)
    }

    /// When to look at the deadlines, if the socket and the session stay still until then.
    fn deadline(&self) -> Instant {
        let agents = &self.conversation.agents;
        let edge = self.conversation.edge();
        let deadline = self.alive.deadline(&edge.params.keep_alive, agents.look_due());
        if self.conversation.is_nobody() && self.closing.is_none() && edge.drains() {
            return deadline.min(clock::now() + UNKNOWN_ASKS_EVERY);
        }
        deadline
    }

    /// A deadline has passed. A reply that is due [`Self::take_from_session`] finds.
    fn on_time(&mut self, now: Instant) -> Option<CloseReason> {
        if self.closing.is_none() && !self.conversation.may_read() {
            // What the agent says stays unread: its silence says nothing about it.
            self.alive.holds_back(now);
        }
        let edge = self.conversation.edge();
        let is_short = || is_short_of_room(&edge.sessions);
        match self.alive.overdue(&edge.params.keep_alive, is_short, now)? {
            Overdue::Ping { silent } => {
                websocket::encode_ping(None, &[], &mut self.unwritten);
                PingSent { silent }.emit();
                None
            }
            Overdue::Unread => Some(CloseReason::SlowReader),
            Overdue::Pong => Some(CloseReason::PingTimeout),
            Overdue::Message => {
                self.close(SocketEnding { code: 1008, reason: CloseReason::MessageTimeout });
                None
            }
            Overdue::Close => Some(self.reason_or(CloseReason::Reset)),
        }
    }
}

/// Handles what was read; empty: the stream has ended.
fn take_in(
    conversation: &mut Conversation,
    closing: bool,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
) -> Option<AfterBytes> {
    if bytes.is_empty() {
        return None;
    }
    Some(if closing { conversation.await_close(bytes) } else { conversation.take(bytes, out) })
}

fn write_some<S: AsyncWrite + Unpin>(
    socket: &mut S,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(socket).poll_write(context, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        other => Poll::Ready(other),
    }
}
