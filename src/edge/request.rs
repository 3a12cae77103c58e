//! A connection's first bytes: the request head, within its bound and its time, and what it asks for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncRead;

use super::Edge;
use super::admission::{ArrivalSource, ClientTransport, LetIn, named_agent};
use super::budget::HeldBytes;
use super::first_body::{BODY_START_MAX, BodyFraming, NamedByBody};
use super::refusal::HttpRefusal;
use super::transport::AgentTransport;
use crate::ident::InstanceUid;
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
    /// The agent that it names, by its own word.
    pub(super) named: Option<InstanceUid>,
    /// Bytes that were read and are left for the protocol: of a WebSocket what follows the head, of plain HTTP
    /// all of them.
    pub(super) rest: Vec<u8>,
    /// Counts those of a body, until the protocol counts them.
    pub(super) held: Option<HeldBytes>,
    /// It is admitted: by what, and how long it was parked.
    pub(super) admitted: Option<(LetIn, Duration)>,
}

/// A head that is complete.
struct ReadHead {
    asked: Asked,
    source: ArrivalSource,
    named: Option<InstanceUid>,
    /// Of a POST whose head names no agent: how its body is laid out, and where it begins.
    body: Option<(BodyFraming, usize)>,
}

impl ReadHead {
    /// What is no agent's.
    fn other() -> Self {
        let source = ArrivalSource::default();
        Self { asked: Asked::Other, source, named: None, body: None }
    }
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
) -> Result<Box<FirstRequest>, CloseReason> {
    let mut head = Vec::new();
    let reading = read_head(edge, socket, &mut head, peer);
    let (refusal, reason) = match tokio::time::timeout(edge.params.head_timeout, reading).await {
        Ok(Ok(ReadHead { asked, mut source, mut named, body })) => {
            let mut held = None;
            if let Some(body) = body {
                // Boxed: few wait for it.
                (named, held) = Box::pin(name_by_body(edge, socket, &mut head, body)).await?;
            }
            edge.recognise(&mut source, named, matches!(asked, Asked::Post));
            head.shrink_to_fit();
            let admitted = None;
            return Ok(Box::new(FirstRequest { asked, source, named, rest: head, held, admitted }));
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

/// How long the beginning of a body that names its agent is waited for: many clients send it apart from the head.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// Reads the beginning of a body until it names its agent, and counts its bytes. What has yet to be read then stays in the
/// kernel.
///
/// # Errors
/// Why the connection is over.
async fn name_by_body<S: AsyncRead + Unpin>(
    edge: &Edge,
    socket: &mut S,
    bytes: &mut Vec<u8>,
    (framing, begin): (BodyFraming, usize),
) -> Result<(Option<InstanceUid>, Option<HeldBytes>), CloseReason> {
    let mut held = HeldBytes::new(&edge.buffered);
    let reading = async {
        loop {
            let body = &bytes[begin..];
            match framing.named_by(body) {
                NamedByBody::Agent(uid) => return Ok::<_, CloseReason>(Some(uid)),
                NamedByBody::More if body.len() < BODY_START_MAX && held.set(body.len()) => {}
                NamedByBody::More | NamedByBody::NoAgent => return Ok(None),
            }
            read_some(socket, bytes, BODY_READ_BYTES).await?;
        }
    };
    let named = tokio::time::timeout(BODY_PATIENCE, reading).await.unwrap_or(Ok(None))?;
    held.set(bytes.len() - begin);
    Ok((named, Some(held)))
}

/// At most this many bytes of such a body are read at once.
const BODY_READ_BYTES: usize = 4 << 10;

/// At most this many bytes are read at once while the head is incomplete. What follows it stays in the kernel
/// while its sender has to wait.
const READ_BYTES: usize = 448;

/// Reads what is there, at most this much, behind what was read before.
async fn read_some<S: AsyncRead + Unpin>(
    socket: &mut S,
    into: &mut Vec<u8>,
    most: usize,
) -> Result<(), CloseReason> {
    let read = poll_fn(|context| {
        scratch::poll_read_up_to(most, Pin::new(&mut *socket), context, |bytes| {
            if bytes.is_empty() {
                return Err(CloseReason::AgentClosed);
            }
            into.extend_from_slice(bytes);
            Ok(())
        })
    });
    read.await.map_err(|_: io::Error| CloseReason::Reset)?
}

/// Reads until the head is complete. What is left in `head` is for the protocol.
async fn read_head<S: AsyncRead + Unpin>(
    edge: &Edge,
    socket: &mut S,
    head: &mut Vec<u8>,
    peer: SocketAddr,
) -> Result<ReadHead, CloseReason> {
    loop {
        read_some(socket, head, READ_BYTES).await?;
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
                    return Ok(ReadHead::other());
                }
                let named = named_agent(request.headers.iter());
                let source =
                    |transport| edge.admission.source_of(request.headers.iter(), (peer, transport));
                let end = request.head_bytes;
                let Ok(key) = request.upgrade() else {
                    if request.method != "POST" {
                        let source = source(ClientTransport::WebSocket);
                        return Ok(ReadHead { source, named, ..ReadHead::other() });
                    }
                    let framing = || (BodyFraming::of(request.headers.iter()), end);
                    let body = named.is_none().then(framing);
                    let source = source(ClientTransport::Http);
                    return Ok(ReadHead { asked: Asked::Post, source, named, body });
                };
                let source = source(ClientTransport::WebSocket);
                let asked = Asked::WebSocket { key, waits: request.expects_continue() };
                head.drain(..end);
                return Ok(ReadHead { asked, source, named, body: None });
            }
        }
    }
}
