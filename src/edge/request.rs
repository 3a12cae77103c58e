//! A connection's first bytes: the request head, within its bound and its time, and what it asks for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::AsyncRead;

use super::Edge;
use super::admission::{ArrivalSource, named_agent};
use super::refusal::HttpRefusal;
use super::transport::AgentTransport;
use crate::scratch;
use crate::telemetry::events::edge::{CloseReason, RequestRefused};
use crate::websocket::{HeadFault, Key, RequestHead};

/// What a request asks for.
pub(super) enum Asked {
    /// A WebSocket on a path of OpAMP; `waits`: its sender waits for a 100 first.
    WebSocket { key: Key, waits: bool },
    /// A POST on a path of OpAMP.
    Post,
    /// Something else, or a request that is faulty: hyper answers it.
    Other,
}

/// A connection's first request.
pub(super) struct FirstRequest {
    pub(super) asked: Asked,
    pub(super) source: ArrivalSource,
    /// Bytes that were read and are left for the protocol: of a WebSocket what follows the head, of plain HTTP
    /// all of them.
    pub(super) rest: Vec<u8>,
}

/// Finds out what is asked, in the time that there is for it. A head that is too long, too slow or malformed is
/// refused.
///
/// # Errors
/// Why the connection is over.
pub(super) async fn first_request<T: AgentTransport>(
    edge: &Edge,
    socket: &mut T,
    peer: SocketAddr,
) -> Result<FirstRequest, CloseReason> {
    let mut head = Vec::new();
    let reading = read_head(edge, socket, &mut head, peer);
    let (refusal, reason) = match tokio::time::timeout(edge.params.head_timeout, reading).await {
        Ok(Ok((asked, source))) => {
            head.shrink_to_fit();
            return Ok(FirstRequest { asked, source, rest: head });
        }
        Ok(Err(CloseReason::TooBig)) => (HttpRefusal::head_too_large(), CloseReason::TooBig),
        Ok(Err(reason @ CloseReason::ProtocolFault)) => (HttpRefusal::malformed_head(), reason),
        Ok(Err(reason)) => return Err(reason),
        Err(_) => (HttpRefusal::head_timeout(), CloseReason::HeadTimeout),
    };
    RequestRefused { peer, reason: refusal.reason }.emit();
    refusal.write(socket).await;
    Err(reason)
}

/// At most this many bytes are read at once while the head is incomplete. What follows it stays in the kernel
/// while its sender has to wait.
const READ_BYTES: usize = 448;

/// Reads until the head is complete. What is left in `head` is for the protocol.
async fn read_head<S: AsyncRead + Unpin>(
    edge: &Edge,
    socket: &mut S,
    head: &mut Vec<u8>,
    peer: SocketAddr,
) -> Result<(Asked, ArrivalSource), CloseReason> {
    loop {
        let read = poll_fn(|context| {
            scratch::poll_read_up_to(READ_BYTES, Pin::new(&mut *socket), context, |bytes| {
                if bytes.is_empty() {
                    return Err(CloseReason::AgentClosed);
                }
                head.extend_from_slice(bytes);
                Ok(())
            })
        });
        read.await.map_err(|_: io::Error| CloseReason::Reset)??;
        let other = Ok((Asked::Other, ArrivalSource::default()));
        match RequestHead::parse(head) {
            Ok(None) if head.len() >= edge.params.head_bytes_max => {
                return Err(CloseReason::TooBig);
            }
            Ok(None) => {}
            Err(HeadFault::TooManyHeaders) => return Err(CloseReason::TooBig),
            Err(HeadFault::Malformed(_)) => return Err(CloseReason::ProtocolFault),
            Ok(Some(request)) => {
                if request.head_bytes > edge.params.head_bytes_max {
                    return Err(CloseReason::TooBig);
                }
                if request.host().is_err() || !edge.params.paths.has(request.path()) {
                    return other;
                }
                let mut source = edge.admission.source_of(request.headers.iter(), peer);
                let named = named_agent(request.headers.iter());
                source.needs_no_place = named.is_some_and(|uid| edge.sessions.has(uid));
                let Ok(key) = request.upgrade() else {
                    let post = request.method == "POST";
                    // The sessions refuse a newcomer's message, and plain HTTP answers after the message.
                    source.needs_no_place |= post && named.is_none();
                    return Ok((if post { Asked::Post } else { Asked::Other }, source));
                };
                let (end, waits) = (request.head_bytes, request.expects_continue());
                head.drain(..end);
                return Ok((Asked::WebSocket { key, waits }, source));
            }
        }
    }
}
