//! A socket as hyper gets it: some of its bytes have been read already, and a peer that leaves its answers unread is not
//! waited for without end.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Gives `prefix` first, then what the socket has.
pub(super) struct Prefixed<S> {
    prefix: Vec<u8>,
    taken: usize,
    socket: S,
    /// How long the socket may take no byte.
    patience: Duration,
    /// It takes none.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<S> Prefixed<S> {
    pub(super) const fn new(prefix: Vec<u8>, socket: S, patience: Duration) -> Self {
        Self { prefix, taken: 0, socket, patience, blocked: None }
    }

    /// The outcome of a write, or an error when the peer has read nothing for too long.
    fn in_time(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let patience = self.patience;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(patience)));
        blocked.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
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
    use crate::clock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut socket = Prefixed::new(b"first".to_vec(), socket, PATIENCE);
        let mut first = [0; 5];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
        let begun = clock::now();
        let fault = socket.write_all(&[1; 65]).await.unwrap_err();
        assert_eq!((fault.kind(), clock::now() - begun >= PATIENCE), (ErrorKind::TimedOut, true));
        // One that reads again is another matter.
        peer.read_exact(&mut [0; 64]).await.unwrap();
        socket.write_all(&[2; 64]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_waited_for() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut socket = Prefixed::new(Vec::new(), socket, PATIENCE);
        let reader = tokio::spawn(async move {
            for _ in 0..4 {
                sleep(PATIENCE * 3 / 4).await;
                peer.read_exact(&mut [0; 64]).await.unwrap();
            }
        });
        socket.write_all(&[1; 256]).await.unwrap();
        reader.await.unwrap();
    }
}
