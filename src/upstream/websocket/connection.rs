//! One established WebSocket: reads go on whatever becomes of writes (R11), writes go in batches, and
//! `core::link::KeepAlive` says when to ping and when to give up.
//!
//! Reader, writer and watch are three futures in one task: each goes on by itself, and the first to
//! end ends the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
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

/// What a server has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FromServer<'a> {
    /// A message.
    Message(&'a [u8]),
    /// One over the limit, of which this is the beginning and the size.
    PassedOver(&'a [u8], u64),
}

/// What the connection needs of its surroundings.
pub(super) struct Serve<'a> {
    pub(super) link: &'a Link,
    pub(super) message_bytes_max: usize,
    /// The connection lasts as long as this right to speak.
    pub(super) right: Right,
    /// The code of the server's Close, once it has come; 0 before that, and if it has none.
    pub(super) closed_with: AtomicU16,
    /// Takes one message of the server's. Must return at once.
    pub(super) take: &'a (dyn Fn(FromServer<'_>) + Send + Sync),
}

/// Runs until the connection is lost, or the link released and everything written.
pub(super) async fn run(serve: &Serve<'_>, opened: OpenedSocket, alive: KeepAlive) -> LossReason {
    let OpenedSocket { stream, mut early } = opened;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let alive = Mutex::new(alive);
    let mut decoder = Decoder::new(Role::Client).passing_over();
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
    if reason == LossReason::Released {
        // The server's end follows. What it says until then goes to its agents, which are at other nodes by now; and
        // another node may wait for that end before it opens a connection for the agent.
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
                Ok(Some(Incoming::Message(message))) => (self.take)(FromServer::Message(message)),
                Ok(Some(Incoming::PassedOver { head, bytes })) => {
                    (self.take)(FromServer::PassedOver(head, bytes));
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    let mask = Some(rand::random());
                    self.link.control(|out| websocket::encode_pong(mask, payload, out));
                }
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(code))) => {
                    self.closed_with.store(code.unwrap_or_default(), Ordering::Relaxed);
                    return Err(LossReason::Closed);
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::ident::{InstanceUid, LinkId, ServerId};
    use crate::upstream::queue::{LinkBounds, LinkQueue};
    use crate::upstream::voice::Voice;

    /// A server that has yet to read the Close when it says this.
    async fn say_late(mut server: DuplexStream, said: &[u8]) {
        let mut close = [0; 8];
        server.read_exact(&mut close).await.unwrap();
        assert_eq!(close[0], 0x88, "a Close");
        let mut late = Vec::new();
        websocket::encode_message(false, said, &mut late);
        websocket::encode_close(None, 1000, &mut late);
        server.write_all(&late).await.unwrap();
        // An answer is yet to come, or none will: the link ends without it.
        let _ = server.read(&mut close).await;
    }

    #[tokio::test]
    async fn what_a_server_says_before_it_answers_the_close_is_taken() {
        let bounds = LinkBounds { bytes_max: 100, messages_max: 3 };
        let id = LinkId { server: ServerId(0), index: 0 };
        for owner in [None, Some(InstanceUid::from_bytes([1; 16]))] {
            let link = Link::new(id, owner, bounds, LinkQueue::frames());
            assert!(link.up());
            link.release();
            let taken = Mutex::new(Vec::new());
            let take = |said: FromServer<'_>| {
                let FromServer::Message(message) = said else { return };
                taken.lock().push(message.to_vec());
            };
            let right = Arc::new(Voice::default()).listen();
            let (message_bytes_max, closed_with) = (100, AtomicU16::new(0));
            let serve = Serve { link: &link, message_bytes_max, right, closed_with, take: &take };
            let (near, far) = duplex(1_024);
            let opened = OpenedSocket { stream: Box::new(near), early: Vec::new() };
            let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
            let alive = KeepAlive::new(interval, timeout, clock::now());
            let (reason, ()) = tokio::join!(run(&serve, opened, alive), say_late(far, b"late"));
            assert_eq!(reason, LossReason::Released);
            assert_eq!(*taken.lock(), [b"late".to_vec()]);
        }
    }
}
