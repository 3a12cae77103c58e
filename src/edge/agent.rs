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
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::conversation::{Conversation, Ending, Taken};
use crate::clock;
use crate::ident::InstanceUid;
use crate::scratch;
use crate::sessions::{Attachment, Outgoing};
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
    closing: Option<Closing>,
}

/// The way out.
#[derive(Clone, Copy)]
struct Closing {
    reason: CloseReason,
    since: Instant,
    /// Both sides have said it.
    answered: bool,
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
            closing: None,
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn run(mut self: Box<Self>) -> (Option<InstanceUid>, CloseReason) {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline().into()));
        let reason = poll_fn(|context| self.poll(context, timer.as_mut())).await;
        if !self.unwritten.is_empty()
            && let Some(attachment) = &self.conversation.attachment
        {
            attachment.content_unwritten();
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
        if let Some(closing) = self.closing {
            if closing.answered && writable {
                return Step::Over(closing.reason);
            }
        } else if self.look_at_session(context, writable) {
            return Step::Again;
        }
        // An agent that does not read is not read either: its answers would only pile up.
        if !writable {
            return Step::Idle;
        }
        self.read(context)
    }

    /// Writes what waits. `Ready(Ok)`: nothing does.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let rest = &self.unwritten[self.written..];
            self.written += ready!(write_some(&mut self.socket, context, rest))?;
            self.flush = true;
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

    /// What the session has for this connection. `true`: there is something to write now.
    fn look_at_session(&mut self, context: &Context<'_>, writable: bool) -> bool {
        let Some(attachment) = &self.conversation.attachment else {
            // Nobody has spoken yet: without a session, the connection has to look itself.
            let leaves = self.conversation.edge().may_close(|| true);
            if leaves {
                self.close(Ending { code: 1001, reason: CloseReason::Drain });
            }
            return leaves;
        };
        let ending = match attachment.poll_outgoing(context, writable) {
            Outgoing::Nothing { .. } => return false,
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

    /// Reads once, deals with what came, and writes the answers, if the socket takes them.
    fn read(&mut self, context: &mut Context<'_>) -> Step {
        let closing = self.closing.is_some();
        let mut early = std::mem::take(&mut self.early);
        let (heard, sent) = scratch::with_output(|out| {
            let heard = if early.is_empty() {
                let socket = Pin::new(&mut self.socket);
                scratch::poll_read(socket, context, |bytes| {
                    listen(&mut self.conversation, closing, bytes, out)
                })
            } else {
                Poll::Ready(Ok(listen(&mut self.conversation, closing, &mut early, out)))
            };
            (heard, self.answer(context, out))
        });
        if sent.is_err() {
            return Step::Over(self.reason_or(CloseReason::Reset));
        }
        match heard {
            Poll::Pending => return Step::Idle,
            Poll::Ready(Err(_)) => return Step::Over(self.reason_or(CloseReason::Reset)),
            Poll::Ready(Ok(None)) => return Step::Over(self.reason_or(CloseReason::AgentClosed)),
            Poll::Ready(Ok(Some(Taken::On))) => self.note_heard(),
            Poll::Ready(Ok(Some(Taken::PeerCloses))) => self.peer_closes(),
            Poll::Ready(Ok(Some(Taken::Close(ending)))) => self.close(ending),
        }
        Step::Again
    }

    fn note_heard(&mut self) {
        let now = clock::now();
        self.heard = now;
        self.pinged = None;
        if self.conversation.is_between() {
            self.message_since = None;
        } else {
            self.message_since.get_or_insert(now);
        }
    }

    /// Writes at once what can be written and keeps the rest. Nothing waits before it: reading
    /// stops while something does.
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
        Ok(())
    }

    /// We close: the Close goes behind what waits.
    fn close(&mut self, ending: Ending) {
        websocket::encode_close(None, ending.code, &mut self.unwritten);
        let Ending { reason, .. } = ending;
        self.closing = Some(Closing { reason, since: clock::now(), answered: false });
    }

    /// The agent's Close: the answer to ours, or its own, which is answered.
    fn peer_closes(&mut self) {
        let reason = self.reason_or(CloseReason::AgentClosed);
        if self.closing.is_none() {
            websocket::encode_close(None, 1000, &mut self.unwritten);
        } else if reason == CloseReason::Replaced
            && let Some(attachment) = &self.conversation.attachment
        {
            attachment.replaced_was_alive();
        }
        self.closing = Some(Closing { reason, since: clock::now(), answered: true });
    }

    fn reason_or(&self, otherwise: CloseReason) -> CloseReason {
        self.closing.map_or(otherwise, |closing| closing.reason)
    }

    /// When there is something to decide without anybody's doing.
    fn deadline(&self) -> Instant {
        if let Some(closing) = self.closing {
            return closing.since + CLOSE_PATIENCE;
        }
        let params = &self.conversation.edge().params;
        let silence = match self.pinged {
            Some(at) => at + params.ping_timeout,
            None => self.heard + params.ping_interval,
        };
        let message = self.message_since.map(|since| since + params.message_timeout);
        let attachment = self.conversation.attachment.as_ref();
        let reply_due = attachment.and_then(Attachment::reply_due);
        [message, reply_due].into_iter().flatten().fold(silence, Instant::min)
    }

    /// A deadline has passed. What the session owes, [`Self::look_at_session`] finds.
    fn on_time(&mut self, now: Instant) -> Option<CloseReason> {
        if let Some(closing) = self.closing {
            return (closing.since + CLOSE_PATIENCE <= now).then_some(closing.reason);
        }
        let params = &self.conversation.edge().params;
        let (interval, timeout) = (params.ping_interval, params.ping_timeout);
        if self.message_since.is_some_and(|since| since + params.message_timeout <= now) {
            self.close(Ending { code: 1008, reason: CloseReason::MessageTimeout });
            return None;
        }
        match self.pinged {
            Some(at) if at + timeout <= now => {
                let stuck = !self.unwritten.is_empty();
                return Some(if stuck {
                    CloseReason::SlowReader
                } else {
                    CloseReason::PingTimeout
                });
            }
            None if self.heard + interval <= now => {
                self.pinged = Some(now);
                // What the agent has not taken yet serves as well as a ping.
                if self.unwritten.is_empty() {
                    websocket::encode_ping(None, &[], &mut self.unwritten);
                    PingSent { silent: now - self.heard }.emit();
                }
            }
            _ => {}
        }
        None
    }
}

/// Deals with what was read; `None`: the stream has ended.
fn listen(
    conversation: &mut Conversation,
    closing: bool,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
) -> Option<Taken> {
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
