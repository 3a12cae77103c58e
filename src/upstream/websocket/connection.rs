//! One established WebSocket: reads go on whatever becomes of writes (R11), writes go in batches, and
//! `core::link::KeepAlive` says when to ping and when to give up.
//!
//! Reader, writer and watch are three futures in one task: each goes on by itself, and the first to
//! end ends the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::clock;
use crate::core::link::{KeepAlive, KeepAliveStep, LossReason};
use crate::scratch;
use crate::upstream::dial::{OpenedSocket, Stream};
use crate::upstream::link::{Link, Outbound};
use crate::upstream::voice::Right;
use crate::websocket::{self, Decoder, Fault, Incoming, Role};

/// How long a server may take to accept a Close, and to answer it.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// What the connection needs of its surroundings.
pub(super) struct Serve<'a> {
    pub(super) link: &'a Link,
    pub(super) message_bytes_max: usize,
    /// The connection lasts as long as this right to speak.
    pub(super) right: Right,
    /// Takes one message of the server's. Must return at once.
    pub(super) take: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// Runs until the connection is lost, or the link released and everything written.
pub(super) async fn run(serve: &Serve<'_>, opened: OpenedSocket, alive: KeepAlive) -> LossReason {
    let OpenedSocket { stream, mut early } = opened;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let alive = Mutex::new(alive);
    let mut decoder = Decoder::new(Role::Client);
    if let Err(reason) = serve.feed(&mut decoder, &mut early) {
        return reason;
    }
    drop(early);
    let mut right = serve.right.clone();
    let reason = tokio::select! {
        () = right.lost() => LossReason::HoldsStill,
        reason = serve.read(&mut reader, &mut decoder, &alive) => reason,
        reason = serve.write(&mut writer) => reason,
        reason = serve.watch(&alive) => reason,
    };
    serve.say_goodbye(&mut writer, reason).await;
    if reason == LossReason::Released && serve.link.owner.is_some() {
        // The server's end follows. Another node may wait for it before it opens a connection for the agent, and what
        // the server says until then goes there.
        let rest = serve.read(&mut reader, &mut decoder, &alive);
        let _ = tokio::time::timeout(GOODBYE_PATIENCE, rest).await;
    }
    reason
}

impl Serve<'_> {
    async fn read(
        &self,
        reader: &mut ReadHalf<Box<dyn Stream>>,
        decoder: &mut Decoder,
        alive: &Mutex<KeepAlive>,
    ) -> LossReason {
        loop {
            let read = poll_fn(|context| {
                scratch::poll_read(Pin::new(reader), context, |bytes| {
                    if bytes.is_empty() {
                        return Err(LossReason::Closed);
                    }
                    self.feed(decoder, bytes)
                })
            });
            match read.await {
                Ok(Ok(())) => alive.lock().heard(clock::now()),
                Ok(Err(reason)) => return reason,
                Err(_) => return LossReason::Reset,
            }
        }
    }

    fn feed(&self, decoder: &mut Decoder, bytes: &mut [u8]) -> Result<(), LossReason> {
        let mut position = 0;
        loop {
            match decoder.feed(bytes, &mut position, self.message_bytes_max) {
                Ok(None) => return Ok(()),
                Ok(Some(Incoming::Message(message))) => (self.take)(message),
                Ok(Some(Incoming::Ping(payload))) => {
                    let mask = Some(rand::random());
                    self.link.control(|out| websocket::encode_pong(mask, payload, out));
                }
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(_))) => return Err(LossReason::Closed),
                Err(fault) => {
                    tracing::debug!(%fault, "the server broke the WebSocket protocol");
                    return Err(match fault {
                        Fault::TooBig => LossReason::TooBig,
                        _ => LossReason::ProtocolFault,
                    });
                }
            }
        }
    }

    async fn write(&self, writer: &mut WriteHalf<Box<dyn Stream>>) -> LossReason {
        let mut buffer = Vec::new();
        loop {
            match self.link.take(&mut buffer) {
                Outbound::Wait => {
                    // Idle links of agents' own come in thousands: their buffers are given back.
                    if self.link.owner.is_some() {
                        buffer = Vec::new();
                    }
                    self.link.wake.notified().await;
                    // Other tasks that are ready to run may have a message for the same write.
                    tokio::task::yield_now().await;
                }
                Outbound::Close => return LossReason::Released,
                Outbound::Write => {
                    if write_all(writer, &buffer).await.is_err() {
                        return if self.right.may_write() {
                            LossReason::Reset
                        } else {
                            LossReason::HoldsStill
                        };
                    }
                    buffer.clear();
                }
            }
        }
    }

    /// Pings after a silence; returns when the server leaves that unanswered.
    async fn watch(&self, alive: &Mutex<KeepAlive>) -> LossReason {
        loop {
            let step = alive.lock().next(clock::now());
            match step {
                KeepAliveStep::Wait(until) => {
                    tokio::time::sleep(until.saturating_duration_since(clock::now())).await;
                }
                KeepAliveStep::Ping => {
                    let mask = Some(rand::random());
                    self.link.control(|out| websocket::encode_ping(mask, &[], out));
                }
                KeepAliveStep::Dead => return LossReason::PingTimeout,
            }
        }
    }

    /// A Close, as the protocol wants it. The connection ends soon, whatever the server does with it.
    async fn say_goodbye(&self, writer: &mut WriteHalf<Box<dyn Stream>>, reason: LossReason) {
        let code = match reason {
            // A server's own Close is answered.
            LossReason::Released | LossReason::Closed => 1000,
            LossReason::ProtocolFault => 1002,
            LossReason::TooBig => 1009,
            LossReason::Reset
            | LossReason::PingTimeout
            | LossReason::RequestTimeout
            | LossReason::Unhealthy
            | LossReason::HoldsStill => return,
        };
        let mut frame = Vec::new();
        websocket::encode_close(Some(rand::random()), code, &mut frame);
        let close = async {
            writer.write_all(&frame).await?;
            writer.shutdown().await
        };
        let _ = tokio::time::timeout(GOODBYE_PATIENCE, close).await;
    }
}

/// Writes and flushes: TLS holds a record back until it is flushed.
async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|context| match Pin::new(&mut *writer).poll_write(context, bytes) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
            other => other,
        });
        bytes = &bytes[written.await?..];
    }
    writer.flush().await
}
