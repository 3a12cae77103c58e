//! Closing a connection so that the last answer arrives. A socket that is closed while bytes wait on it unread
//! resets the connection, and the peer loses what it has yet to read (RFC 9112, section 9.6).

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::scratch;

/// How long a peer may go on sending after the last answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the last answer and closes. A peer that takes it too slowly goes without it.
pub(super) async fn write<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, answer: &[u8]) {
    let written = tokio::time::timeout(PATIENCE, socket.write_all(answer));
    if let Ok(Ok(())) = written.await {
        close(socket).await;
    }
}

/// Ends this side, then discards what still comes until the peer ends its own or time is up.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) {
    let closing = async {
        if socket.shutdown().await.is_err() {
            return;
        }
        loop {
            let read = poll_fn(|context| {
                scratch::poll_read(Pin::new(&mut *socket), context, |bytes| bytes.len())
            });
            if matches!(read.await, Ok(0) | Err(_)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, closing).await;
}
