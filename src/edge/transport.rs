//! What the edge asks of a byte stream on which agents speak HTTP/1.1: TCP today, TLS over it tomorrow. Each
//! transport answers for itself how it notices that its peer has gone and how it changes its runtime. With
//! `listen`, the one place that knows TCP.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// A byte stream from an agent.
pub(super) trait AgentTransport:
    AsyncRead + AsyncWrite + Send + Sync + Unpin + Sized + 'static
{
    /// The stream between two runtimes: new connections are accepted on one and served on another.
    type Detached: Send + 'static;

    /// Completes when the peer has gone. It may be dropped before and asked for again. What the peer has sent
    /// stays unread.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Completes when the stream takes bytes.
    ///
    /// # Errors
    /// If the connection broke.
    fn writable(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes the stream off its runtime.
    ///
    /// # Errors
    /// If the connection broke.
    fn detach(self) -> io::Result<Self::Detached>;

    /// Puts the stream on the runtime on which this is called.
    ///
    /// # Errors
    /// If the connection broke.
    fn attach(detached: Self::Detached) -> io::Result<Self>;
}

impl AgentTransport for TcpStream {
    type Detached = std::net::TcpStream;

    /// What the peer has sent behind its request's head stays in the kernel, where it costs the gateway
    /// nothing. While there is such, the socket is ready all the time and is looked at again and again.
    async fn gone(&mut self) {
        const LOOK_AGAIN: Duration = Duration::from_secs(1);
        loop {
            match self.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_AGAIN).await,
                _ => return,
            }
        }
    }

    async fn writable(&mut self) -> io::Result<()> {
        Self::writable(self).await
    }

    fn detach(self) -> io::Result<Self::Detached> {
        self.into_std()
    }

    fn attach(detached: Self::Detached) -> io::Result<Self> {
        Self::from_std(detached)
    }
}
