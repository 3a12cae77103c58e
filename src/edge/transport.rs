//! What the edge asks of a byte stream on which agents speak HTTP/1.1: TCP today, TLS over it tomorrow. Each
//! transport answers for itself how it notices that its peer has gone and how it changes its runtime.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream from an agent.
pub(super) trait AgentTransport:
    AsyncRead + AsyncWrite + Send + Sync + Unpin + Sized + 'static
{
    /// The stream between two runtimes: new connections are accepted on one and served on another.
    type Detached: Send + 'static;

    /// Completes when the peer has gone. It may be dropped before and asked for again. What the peer has sent
    /// stays unread.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether the peer has gone by now, whatever it has sent before.
    fn is_gone(&self) -> bool;

    /// Completes when the stream takes bytes, and goes on to as soon as it is asked.
    ///
    /// # Errors
    /// If the connection broke.
    fn writable(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes the stream off its runtime.
    ///
    /// # Errors
    /// If the connection broke.
    fn detach(self) -> io::Result<Self::Detached>;

    /// Puts the stream on the runtime on which it is used next.
    fn attach(detached: Self::Detached) -> Self;
}
