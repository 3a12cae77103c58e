//! Scratch space of each thread, for reading and writing: a connection reads into it and deals with the
//! bytes before the poll returns. So an idle connection holds zero bytes for reading.
//!
//! Connections of both sides share it (rank 3). Must not know either side.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once. A full state of 10 KB and its neighbours fit; larger messages take several
/// reads and are gathered by the decoder.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads once and hands the bytes to `take`; an empty slice means the end of the stream. The space is lent,
/// so `take` must return before the next read.
///
/// # Errors
/// The error of the read.
pub(crate) fn poll_read<S, T>(
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    take: impl FnOnce(&mut [u8]) -> T,
) -> Poll<io::Result<T>>
where
    S: AsyncRead + ?Sized,
{
    poll_read_up_to(SCRATCH_BYTES, stream, context, take)
}

/// The same, and at most `bytes_max` bytes.
///
/// # Errors
/// The error of the read.
pub(crate) fn poll_read_up_to<S, T>(
    bytes_max: usize,
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    take: impl FnOnce(&mut [u8]) -> T,
) -> Poll<io::Result<T>>
where
    S: AsyncRead + ?Sized,
{
    READ.with_borrow_mut(|space| {
        let mut buffer = ReadBuf::new(&mut space[..bytes_max.min(SCRATCH_BYTES)]);
        ready!(stream.poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled_mut())))
    })
}

/// Lends the thread's empty space for bytes that are about to be written.
pub(crate) fn with_output<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    WRITE.with_borrow_mut(|space| {
        space.clear();
        let result = write(space);
        // Memory of one large message is given back.
        if space.capacity() > 4 * SCRATCH_BYTES {
            *space = Vec::new();
        }
        result
    })
}
