//! Scratch space of a thread: what agents read into and build messages in, so that an idle agent is
//! free of buffers.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::mix::Mix;

/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// The thread's buffers.
pub(crate) struct ThreadScratch {
    /// What was read last; valid until the task yields.
    pub(crate) read: Vec<u8>,
    /// A message under construction.
    pub(crate) message: Vec<u8>,
    /// Frames to be written.
    pub(crate) frames: Vec<u8>,
    /// Draws masks.
    pub(crate) mix: Mix,
}

thread_local! {
    static SCRATCH: RefCell<ThreadScratch> = RefCell::new(ThreadScratch {
        read: vec![0; READ_BYTES],
        message: Vec::new(),
        frames: Vec::new(),
        mix: Mix::new(rand::random(), 0, 0),
    });
}

/// Lends the thread's scratch space.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut ThreadScratch) -> R) -> R {
    SCRATCH.with(|scratch| use_it(&mut scratch.borrow_mut()))
}

/// Reads what there is into [`ThreadScratch::read`]; 0 at the end of the stream. Meanwhile writes
/// what is left from before, and takes it off `unsent`. Cancel-safe: all effects are in its
/// arguments and in the scratch space.
pub(crate) fn poll_io(
    stream: &mut TcpStream,
    unsent: &mut Vec<u8>,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    while !unsent.is_empty() {
        match Pin::new(&mut *stream).poll_write(context, unsent) {
            Poll::Ready(written) => drop(unsent.drain(..written?)),
            Poll::Pending => break,
        }
    }
    with(|scratch| {
        let mut buffer = ReadBuf::new(&mut scratch.read);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// Writes as much as the socket takes now; the rest goes behind `unsent`.
///
/// # Errors
/// When the connection has failed.
pub(crate) fn write(stream: &TcpStream, bytes: &[u8], unsent: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = bytes;
    while unsent.is_empty() && !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    unsent.extend_from_slice(rest);
    Ok(())
}
