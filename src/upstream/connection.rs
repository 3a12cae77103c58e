//! One established link: reads that never wait for writes (R11), writes in batches, pings.
//!
//! Reader, writer and watchman are three futures in one task: none awaits another, and the first to
//! end ends the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::dial::{Opened, Stream};
use super::link::{Link, Next};
use crate::clock;
use crate::scratch;
use crate::telemetry::events::upstream::LossReason;
use crate::websocket::{self, Decoder, Fault, Incoming, Role};

/// What the connection needs of its surroundings.
pub(super) struct Serve<'a> {
    pub(super) link: &'a Link,
    pub(super) message_bytes_max: usize,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    /// Takes one message of the server's. Must not block.
    pub(super) take: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// When the server was last heard.
struct Heard(Mutex<Instant>);

impl Serve<'_> {
    /// Runs until the connection is lost, or the link released and everything written.
    pub(super) async fn run(&self, opened: Opened) -> LossReason {
        let Opened { stream, mut early } = opened;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let heard = Heard(Mutex::new(clock::now()));
        let mut decoder = Decoder::new(Role::Client);
        if let Err(reason) = self.feed(&mut decoder, &mut early) {
            return reason;
        }
        drop(early);
        let reason = tokio::select! {
            reason = self.read(&mut reader, &mut decoder, &heard) => reason,
            reason = self.write(&mut writer) => reason,
            reason = self.watch(&heard) => reason,
        };
        self.say_goodbye(&mut writer, reason).await;
        reason
    }

    async fn read(
        &self,
        reader: &mut ReadHalf<Box<dyn Stream>>,
        decoder: &mut Decoder,
        heard: &Heard,
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
                Ok(Ok(())) => *heard.0.lock() = clock::now(),
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
                Next::Wait => {
                    // An idle link of one agent's own keeps no buffer.
                    if self.link.owner.is_some() {
                        buffer = Vec::new();
                    }
                    self.link.wake.notified().await;
                    // Whoever else is ready to run may have a message for the same write.
                    tokio::task::yield_now().await;
                }
                Next::Close => return LossReason::Released,
                Next::Write => {
                    if write_all(writer, &buffer).await.is_err() {
                        return LossReason::Reset;
                    }
                    buffer.clear();
                }
            }
        }
    }

    /// Pings after a silence; returns when that is not answered either.
    async fn watch(&self, heard: &Heard) -> LossReason {
        loop {
            let last = *heard.0.lock();
            let silent = clock::now().saturating_duration_since(last);
            if silent < self.ping_interval {
                tokio::time::sleep(self.ping_interval - silent).await;
                continue;
            }
            let mask = Some(rand::random());
            self.link.control(|out| websocket::encode_ping(mask, &[], out));
            tokio::time::sleep(self.ping_timeout).await;
            if *heard.0.lock() == last {
                return LossReason::PingTimeout;
            }
        }
    }

    /// A Close, as the protocol wants it; a server that does not take it at once misses nothing.
    async fn say_goodbye(&self, writer: &mut WriteHalf<Box<dyn Stream>>, reason: LossReason) {
        /// How long a server may take to accept a few bytes.
        const PATIENCE: Duration = Duration::from_secs(1);
        let code = match reason {
            // A server's own Close is answered.
            LossReason::Released | LossReason::Closed => 1000,
            LossReason::ProtocolFault => 1002,
            LossReason::TooBig => 1009,
            LossReason::Reset
            | LossReason::PingTimeout
            | LossReason::RequestTimeout
            | LossReason::Useless => return,
        };
        let mut frame = Vec::new();
        websocket::encode_close(Some(rand::random()), code, &mut frame);
        let close = async {
            writer.write_all(&frame).await?;
            writer.shutdown().await
        };
        let _ = tokio::time::timeout(PATIENCE, close).await;
    }
}

/// Writes and flushes: TLS keeps a record back until told.
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
