//! An agent's WebSocket: one task, one timer, and no buffer while nothing is under way.
//!
//! ```text
//!            ┌────────── read ─────────┐         we close, or the agent does
//!   Open ────┤ only while nothing waits├──► Open ─────────────────────────────► Closing ──► over
//!            └─ to be written (R11) ───┘                  Close written, the agent's Close, its end,
//!                                                         or CLOSE_PATIENCE
//! ```

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::conversation::{Conversation, Ending, Taken};
use crate::clock;
use crate::ident::InstanceUid;
use crate::scratch;
use crate::sessions::Outgoing;
use crate::telemetry::events::edge::{CloseReason, PingSent};
use crate::websocket;

/// How long the agent may take to answer a Close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// See the module's text.
pub(super) struct AgentSocket<S> {
    socket: S,
    conversation: Conversation,
    /// Bytes behind the request head; taken in first.
    early: Vec<u8>,
    /// What the socket would not take at once, and how much of it has been written.
    unwritten: Vec<u8>,
    written: usize,
    /// TLS keeps back what is not flushed.
    flush: bool,
    heard: Instant,
    /// When the ping went out that has not been answered.
    pinged: Option<Instant>,
    /// When the incomplete message began.
    message_since: Option<Instant>,
    reply_due: Option<Instant>,
    closing: Option<(CloseReason, Instant)>,
}

/// Whether a step found something to do.
#[derive(PartialEq, Eq)]
enum Step {
    Again,
    Idle,
    Over(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AgentSocket<S> {
    pub(super) fn new(socket: S, conversation: Conversation, early: Vec<u8>) -> Self {
        Self {
            socket,
            conversation,
            early,
            unwritten: Vec::new(),
            written: 0,
            flush: false,
            heard: clock::now(),
            pinged: None,
            message_since: None,
            reply_due: None,
            closing: None,
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn run(mut self) -> (Option<InstanceUid>, CloseReason) {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline().into()));
        let reason = poll_fn(|context| self.poll(context, timer.as_mut())).await;
        if !self.unwritten.is_empty()
            && let Some(seat) = &self.conversation.seat
        {
            seat.content_unwritten();
        }
        (self.conversation.uid(), reason)
    }

    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<CloseReason> {
        loop {
            match self.step(context) {
                Step::Again => {}
                Step::Over(reason) => return Poll::Ready(reason),
                Step::Idle => {
                    // An earlier deadline moves the timer; a later one lets it ring and looks again:
                    // most deadlines move with every message, and few of them matter.
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

    fn step(&mut self, context: &mut Context<'_>) -> Step {
        let writable = match self.write(context) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => return Step::Over(self.reason_or(CloseReason::Reset)),
            Poll::Pending => false,
        };
        if self.closing.is_none() && self.look_at_session(context, writable) {
            return Step::Again;
        }
        if !writable {
            return Step::Idle;
        }
        if !self.early.is_empty() {
            let mut early = std::mem::take(&mut self.early);
            return self.take_in(context, |take| Poll::Ready(Ok(take(&mut early))));
        }
        self.read(context)
    }

    /// Writes what waits. `Ready(Ok)`: nothing does.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let rest = &self.unwritten[self.written..];
            match Pin::new(&mut self.socket).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.flush = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.unwritten.is_empty() {
            self.unwritten = Vec::new();
            self.written = 0;
        }
        if self.flush {
            std::task::ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What the session has for this connection. `true`: there is something to write now.
    fn look_at_session(&mut self, context: &Context<'_>, writable: bool) -> bool {
        let Some(seat) = &self.conversation.seat else { return false };
        let ending = match seat.poll_outgoing(context, writable) {
            Outgoing::Nothing { reply_due } => {
                self.reply_due = reply_due;
                return false;
            }
            Outgoing::Bytes(bytes) => {
                self.unwritten = bytes;
                self.written = 0;
                return true;
            }
            Outgoing::Replaced => Ending { code: 1000, reason: CloseReason::Replaced },
            Outgoing::Overflowed => Ending { code: 1008, reason: CloseReason::SlowReader },
            Outgoing::Left => Ending { code: 1000, reason: CloseReason::AgentDisconnect },
            Outgoing::Stopping => Ending { code: 1001, reason: CloseReason::Drain },
        };
        self.close(ending);
        true
    }

    fn read(&mut self, context: &mut Context<'_>) -> Step {
        // The socket is lent to the read, the conversation to what is read.
        let mut socket = Pin::new(&mut self.socket);
        let (conversation, closing) = (&mut self.conversation, self.closing.is_some());
        let (taken, rest) = scratch::with_output(|out| {
            let taken = scratch::poll_read(socket.as_mut(), context, |bytes| {
                if bytes.is_empty() {
                    return Heard::End;
                }
                if closing { Heard::closing(conversation, bytes) } else { Heard::Said(conversation.take(bytes, out)) }
            });
            (taken, self.unwritten_of(context, out))
        });
        let _ = rest;
        self.conclude(taken)
    }
}
