//! A socket as hyper gets it: some of its bytes have been read already, and a peer that leaves its answers unread, or
//! reads them in drips, is not waited for without end.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::clock;
use crate::core::keepalive::UNREAD_PATIENCE_WHEN_SHORT;
use crate::core::progress::TransferProgress;

/// How long a peer is waited for that reads nothing of its answer.
pub(super) struct ReadPatience {
    /// In any case, as `core::progress` has it.
    pub(super) longest: Duration,
    /// Whether bytes for all agents are short of room. Then it is given up as soon as an agent on a WebSocket.
    pub(super) is_short: Box<dyn Fn() -> bool + Send + Sync>,
}

/// How an answer is taken.
struct Taking {
    progress: TransferProgress,
    /// While the socket takes none: when to look again.
    blocked: Option<Pin<Box<Sleep>>>,
}

/// A socket that was idle for so long begins another answer.
const ANOTHER_ANSWER: Duration = Duration::from_secs(1);

/// Gives `prefix` first, then what the socket has.
pub(super) struct Prefixed<S> {
    prefix: Vec<u8>,
    taken: usize,
    socket: S,
    patience: ReadPatience,
    /// Set once the socket has taken no more for a moment.
    taking: Option<Taking>,
}

impl<S> Prefixed<S> {
    pub(super) const fn new(prefix: Vec<u8>, socket: S, patience: ReadPatience) -> Self {
        Self { prefix, taken: 0, socket, patience, taking: None }
    }

    /// The outcome of a write, or an error when the peer reads too slowly.
    fn in_time(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let longest = self.patience.longest;
        if let Poll::Ready(outcome) = &written {
            if let (Some(taking), Ok(count)) = (&mut self.taking, outcome) {
                taking.blocked = None;
                taking.progress.moved(*count, longest, clock::now());
            }
            return written;
        }
        let now = clock::now();
        self.taking.take_if(|taking| {
            let idle = now.saturating_duration_since(taking.progress.still_since());
            taking.blocked.is_none() && idle > ANOTHER_ANSWER
        });
        let taking = self.taking.get_or_insert_with(|| Taking {
            progress: TransferProgress::new(longest, now),
            blocked: None,
        });
        let still_until = taking.progress.still_since() + UNREAD_PATIENCE_WHEN_SHORT;
        let mut look_at = taking.progress.due().min(still_until);
        loop {
            let blocked =
                taking.blocked.get_or_insert_with(|| Box::pin(sleep_until(look_at.into())));
            if blocked.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let now = clock::now();
            let is_in_the_way = still_until <= now && (self.patience.is_short)();
            if taking.progress.due() <= now || is_in_the_way {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            look_at = taking.progress.due().min(now + UNREAD_PATIENCE_WHEN_SHORT);
            taking.blocked = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.prefix[self.taken..];
        if rest.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.prefix.len() {
            self.prefix = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::sleep;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn patience(is_short: bool) -> ReadPatience {
        ReadPatience { longest: PATIENCE, is_short: Box::new(move || is_short) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut socket = Prefixed::new(b"first".to_vec(), socket, patience(false));
        let mut first = [0; 5];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
        let begun = clock::now();
        let fault = socket.write_all(&[1; 65]).await.unwrap_err();
        assert_eq!((fault.kind(), clock::now() - begun >= PATIENCE), (ErrorKind::TimedOut, true));
        // One that reads again is another matter.
        peer.read_exact(&mut [0; 64]).await.unwrap();
        sleep(PATIENCE).await;
        socket.write_all(&[2; 64]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up_sooner_while_room_is_short() {
        let (_peer, socket) = tokio::io::duplex(64);
        let mut socket = Prefixed::new(Vec::new(), socket, patience(true));
        let begun = clock::now();
        let fault = socket.write_all(&[1; 65]).await.unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::TimedOut);
        let waited = clock::now() - begun;
        assert!(waited >= UNREAD_PATIENCE_WHEN_SHORT && waited < PATIENCE, "{waited:?}");
    }

    /// How the writing of `bytes` ends for a peer that reads `piece` bytes every so often.
    async fn written(bytes: usize, piece: usize, every: Duration) -> io::Result<()> {
        let (mut peer, socket) = tokio::io::duplex(piece);
        let mut socket = Prefixed::new(Vec::new(), socket, patience(true));
        let reader = tokio::spawn(async move {
            let mut space = vec![0; piece];
            while peer.read_exact(&mut space).await.is_ok() {
                sleep(every).await;
            }
        });
        let written = socket.write_all(&vec![1; bytes]).await;
        drop(socket);
        reader.abort();
        written
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_and_steadily_is_waited_for_and_one_in_drips_is_not() {
        let second = Duration::from_secs(1);
        written(98 * (250 << 10), 250 << 10, second).await.unwrap();
        let drips = written(200, 1, second).await.unwrap_err();
        assert_eq!(drips.kind(), ErrorKind::TimedOut);
    }
}
