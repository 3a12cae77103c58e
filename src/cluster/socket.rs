//! The socket of node links. A look for datagrams that has found fewer than fit has found all: the next one waits for
//! the system's word, where quinn's own socket would ask once more in vain, for each datagram of a quiet link.

use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams, or trains of equally long ones, that one look takes. Preparing for more costs more than the look itself.
const LOOK_MAX: usize = 8;

/// See the module's text.
#[derive(Debug)]
pub(super) struct NodeSocket {
    io: UdpSocket,
    state: UdpSocketState,
}

impl NodeSocket {
    /// Needs a tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }
}

impl AsyncUdpSocket for NodeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(RoomToSend { socket: self, wait: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let fit = LOOK_MAX.min(buffers.len());
        loop {
            ready!(self.io.poll_recv_ready(context))?;
            let mut found = None;
            // What is answered with `WouldBlock` is ready again when the system says so, and what arrives meanwhile
            // makes it say so.
            let _ = self.io.try_io(Interest::READABLE, || {
                let (buffers, metas) = (&mut buffers[..fit], &mut metas[..fit]);
                let count = self.state.recv((&self.io).into(), buffers, metas)?;
                found = Some(count);
                if count < fit { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            // An error is an earlier datagram's that found no socket: the next look is past it.
            if let Some(count) = found {
                return Poll::Ready(Ok(count));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

type Wait = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// One connection's wait for room in the system's buffer.
struct RoomToSend {
    socket: Arc<NodeSocket>,
    wait: Option<Wait>,
}

impl UdpPoller for RoomToSend {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, wait } = &mut *self;
        // As a rule there is room, and no wait has to be made.
        if wait.is_none() && socket.io.try_io(Interest::WRITABLE, || Ok(())).is_ok() {
            return Poll::Ready(Ok(()));
        }
        let waited = wait.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.io.writable().await })
        });
        let waited = ready!(waited.as_mut().poll(context));
        *wait = None;
        Poll::Ready(waited)
    }
}

impl fmt::Debug for RoomToSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomToSend").field("waits", &self.wait.is_some()).finish()
    }
}
