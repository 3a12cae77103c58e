//! An agent's TCP connection, which a runtime watches only once there is something to wait for. In a storm most
//! requests have arrived by the time their connection is accepted, and every socket takes the bytes of an
//! answer: so the accept runtime mostly has nothing to watch, and the one that serves agents begins with the wait
//! for the agent's report. To watch a socket and to stop costs two system calls and a wake.
//!
//! ```text
//!              has to be waited for                   detached
//!  Unwatched ──────────────────────────► Watched ──────────────► Unwatched, on another runtime
//! ```

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::transport::AgentTransport;

/// See the module's text.
#[derive(Debug)]
pub(super) struct AgentTcp(Watch);

#[derive(Debug)]
enum Watch {
    Watched(TcpStream),
    /// `reads`: how many are tried yet before it is watched.
    Unwatched {
        socket: std::net::TcpStream,
        reads: u8,
    },
    /// The runtime has refused to watch it.
    Refused,
}

/// A request's head takes two or three. What goes on and on must leave the thread's other tasks their time, which a
/// watched socket sees to.
const READS_AT_ONCE: u8 = 4;

impl AgentTcp {
    /// Accepts the next connection; no runtime watches it.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn accept(
        listener: &AsyncFd<std::net::TcpListener>,
    ) -> io::Result<(Self, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = |listener: &std::net::TcpListener| {
            let (socket, peer) = acceptfrom_with(listener.as_fd(), flags)?;
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            let peer = peer.ok_or_else(|| io::Error::from(ErrorKind::ConnectionAborted))?;
            Ok((Self::unwatched(socket.into()), peer))
        };
        listener.async_io(Interest::READABLE, accept).await
    }

    const fn unwatched(socket: std::net::TcpStream) -> Self {
        Self(Watch::Unwatched { socket, reads: READS_AT_ONCE })
    }

    /// Has it watched by the runtime on which this is called.
    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if matches!(self.0, Watch::Unwatched { .. })
            && let Watch::Unwatched { socket, .. } = std::mem::replace(&mut self.0, Watch::Refused)
        {
            self.0 = Watch::Watched(TcpStream::from_std(socket)?);
        }
        match &mut self.0 {
            Watch::Watched(socket) => Ok(Pin::new(socket)),
            Watch::Unwatched { .. } | Watch::Refused => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Reads what is there; `None` if that has to be waited for.
    fn read_at_once(&mut self, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let Watch::Unwatched { socket, reads } = &mut self.0 else { return None };
        *reads = reads.checked_sub(1)?;
        let count = at_once(|| socket.read(buffer.initialize_unfilled()))?;
        Some(count.map(|count| buffer.advance(count)))
    }

    /// Writes what the socket takes; `None` if it has to be waited for.
    fn write_at_once(
        &mut self,
        write: impl Fn(&mut std::net::TcpStream) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let Watch::Unwatched { socket, reads } = &mut self.0 else { return None };
        // What the peer says to that takes it a while.
        *reads = 0;
        at_once(|| write(socket))
    }
}

/// `None`: it would block.
fn at_once<T>(mut act: impl FnMut() -> io::Result<T>) -> Option<io::Result<T>> {
    loop {
        match act() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            done => return Some(done),
        }
    }
}

impl AsyncRead for AgentTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.read_at_once(buffer) {
            Some(read) => Poll::Ready(read),
            None => self.watched()?.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for AgentTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.write_at_once(|socket| socket.write(bytes)) {
            Some(written) => Poll::Ready(written),
            None => self.watched()?.poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.write_at_once(|socket| socket.write_vectored(slices)) {
            Some(written) => Poll::Ready(written),
            None => self.watched()?.poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Watch::Unwatched { socket, .. } => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Watch::Watched(_) | Watch::Refused => self.watched()?.poll_shutdown(context),
        }
    }
}

impl AgentTransport for AgentTcp {
    type Detached = std::net::TcpStream;

    /// What the peer has sent behind its request's head stays in the kernel, where it costs the gateway
    /// nothing. While there is such, the socket is ready all the time and is looked at again and again.
    async fn gone(&mut self) {
        const LOOK_AGAIN: Duration = Duration::from_secs(1);
        let Ok(socket) = self.watched() else { return };
        loop {
            match socket.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_AGAIN).await,
                _ => return,
            }
        }
    }

    /// Asks the kernel: the runtime may have yet to hear of it.
    fn is_gone(&self) -> bool {
        let socket = match &self.0 {
            Watch::Watched(socket) => socket.as_fd(),
            Watch::Unwatched { socket, .. } => socket.as_fd(),
            Watch::Refused => return true,
        };
        let mut looked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let over = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        poll(&mut looked, Some(&at_once)).is_ok_and(|_| looked[0].revents().intersects(over))
    }

    async fn writable(&mut self) -> io::Result<()> {
        self.watched()?.writable().await
    }

    fn detach(self) -> io::Result<Self::Detached> {
        match self.0 {
            Watch::Watched(socket) => socket.into_std(),
            Watch::Unwatched { socket, .. } => Ok(socket),
            Watch::Refused => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn attach(detached: Self::Detached) -> Self {
        Self::unwatched(detached)
    }
}

#[cfg(test)]
mod tests;
