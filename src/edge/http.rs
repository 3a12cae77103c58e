//! Plain HTTP (OpAMP specification, "Plain HTTP Transport"): one POST, one reply. hyper speaks
//! HTTP; what is asked and answered is decided here.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Edge;
use super::body::{self, BodyError, BodyLimits};
use super::budget::BudgetShare;
use super::lingering_close;
use super::prefixed::Prefixed;
use crate::clock;
use crate::opamp::splice;
use crate::sessions::{Rejected, RequestAnswer, Waiting};
use crate::telemetry::events::edge::{
    CloseReason, MessageFault, MessageReceived, MessageRejected, MessageSent, RefuseReason,
    RequestRefused, SendKind, Transport,
};
use crate::websocket::{self, HEADERS_MAX, UpgradeFault};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Replies below this many bytes are not worth compressing.
const GZIP_BYTES_MIN: usize = 512;
/// hyper wants room for a request line and a few headers.
const HYPER_BUFFER_BYTES_MIN: usize = 8 << 10;

type Answer = Response<Full<Bytes>>;

/// Serves requests on one connection until it closes. `prefix` has been read already. Without
/// `keep_alive` it is one request.
pub(super) async fn serve<S>(
    edge: &Arc<Edge>,
    socket: S,
    (prefix, peer): (Vec<u8>, SocketAddr),
    keep_alive: bool,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let let_go = AtomicBool::new(false);
    let service = service_fn(|request| Box::pin(respond(edge, request, (peer, &let_go))));
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(edge.params.http_idle_timeout)
        .keep_alive(keep_alive)
        .max_headers(HEADERS_MAX)
        .max_buf_size(edge.params.head_bytes_max.max(HYPER_BUFFER_BYTES_MIN))
        .serve_connection(TokioIo::new(Prefixed::new(prefix, socket)), service);
    let served = tokio::select! {
        served = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(served),
        () = edge.until_cut() => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            let_go.store(true, Ordering::Relaxed);
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    lingering_close::close(connection.into_parts().io.inner_mut()).await;
    match served {
        Ok(()) if let_go.load(Ordering::Relaxed) => CloseReason::Drain,
        Ok(()) => CloseReason::AgentClosed,
        Err(error) if error.is_timeout() => CloseReason::HttpIdle,
        Err(error) if error.is_parse_too_large() => {
            RequestRefused { peer, reason: RefuseReason::HeadTooLarge }.emit();
            CloseReason::TooBig
        }
        Err(error) if error.is_parse() => {
            RequestRefused { peer, reason: RefuseReason::BadRequest }.emit();
            CloseReason::ProtocolFault
        }
        Err(_) => CloseReason::Reset,
    }
}

async fn respond(
    edge: &Arc<Edge>,
    request: Request<Incoming>,
    (peer, let_go): (SocketAddr, &AtomicBool),
) -> Result<Answer, Infallible> {
    let zipped = accepts_gzip(request.headers());
    let (mut answer, leaves) = match exchange(edge, request, peer).await {
        Ok((reply, leaves)) => {
            MessageSent { kind: SendKind::Reply, bytes: reply.len() }.emit();
            (answer(reply, zipped), leaves)
        }
        Err(refusal) => {
            RequestRefused { peer, reason: refusal.reason }.emit();
            (refusal.into_answer(), edge.may_close(|| true))
        }
    };
    if leaves {
        let_go.store(true, Ordering::Relaxed);
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// A request that is not served, and what its sender is told.
struct Refusal {
    status: StatusCode,
    reason: RefuseReason,
    header: Option<(HeaderName, HeaderValue)>,
    /// A `ServerToAgent` with the fault named, if the request was OpAMP at all.
    body: Vec<u8>,
}

impl Refusal {
    const fn new(status: StatusCode, reason: RefuseReason) -> Self {
        Self { status, reason, header: None, body: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// BAD_REQUEST in the specification's terms.
    fn bad(status: StatusCode, reason: RefuseReason, text: &str) -> Self {
        let mut body = Vec::new();
        splice::bad_request(None, text, &mut body);
        Self { body, ..Self::new(status, reason) }
    }

    fn into_answer(self) -> Answer {
        let mut answer = Response::new(Full::new(Bytes::from(self.body.clone())));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        if !self.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, PROTOBUF);
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        answer
    }
}

/// One message, its reply, and whether that is the last one here: the node drains.
async fn exchange(
    edge: &Arc<Edge>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<(Vec<u8>, bool), Refusal> {
    let gzipped = check(edge, &request)?;
    let limits = BodyLimits {
        bytes_max: edge.params.message_bytes_max,
        gzip_ratio_max: edge.params.gzip_ratio_max,
    };
    let mut held = Held { edge, share: BudgetShare::default() };
    let collecting = body::collect(request.into_body(), limits, |bytes| held.set(bytes));
    let collected = tokio::time::timeout(edge.params.message_timeout, collecting)
        .await
        .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, RefuseReason::BodyTimeout))?;
    let mut message = collected.map_err(|fault| unreadable(&fault, peer))?;
    if gzipped {
        message = body::gunzip(&message, limits).map_err(|fault| unreadable(&fault, peer))?;
        if !held.set(message.len()) {
            return Err(overloaded());
        }
    }
    MessageReceived { transport: Transport::Http, bytes: message.len() }.emit();
    let waiting = edge.sessions.receive_http(&message).map_err(|why| rejected(&why, peer))?;
    drop((message, held));
    let RequestAnswer { message: reply, settled } = reply(&waiting).await;
    let leaves = edge.may_close(|| settled);
    if leaves {
        waiting.release_drained();
    }
    Ok((reply, leaves))
}

/// Whether the request is one of ours, and whether its body is compressed.
fn check(edge: &Edge, request: &Request<Incoming>) -> Result<bool, Refusal> {
    if request.uri().path() != edge.params.path {
        return Err(Refusal::new(StatusCode::NOT_FOUND, RefuseReason::NotFound));
    }
    let headers = request.headers();
    if request.method() == Method::GET {
        return Err(not_an_upgrade(headers));
    }
    if request.method() != Method::POST {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, RefuseReason::MethodNotAllowed);
        return Err(refusal.with(header::ALLOW, "GET, POST"));
    }
    let unsupported =
        || Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, RefuseReason::UnsupportedMediaType);
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    if !media_type.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(PROTOBUF.as_bytes()))
    {
        return Err(unsupported().with(header::ACCEPT, "application/x-protobuf"));
    }
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"identity") => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"gzip") => Ok(true),
        Some(_) => Err(unsupported().with(header::ACCEPT_ENCODING, "gzip")),
    }
}

/// A GET that came here is no valid upgrade: the answer says what is wrong with it.
fn not_an_upgrade(headers: &HeaderMap) -> Refusal {
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let fault = websocket::check_upgrade("GET", pairs).err().unwrap_or(UpgradeFault::HttpVersion);
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let reason = if status == StatusCode::UPGRADE_REQUIRED {
        RefuseReason::UpgradeRequired
    } else {
        RefuseReason::BadRequest
    };
    Refusal::bad(status, reason, &fault.to_string())
}

fn unreadable(fault: &BodyError, peer: SocketAddr) -> Refusal {
    let (status, reason) = match fault {
        BodyError::TooLarge { .. } => {
            MessageRejected { peer, fault: MessageFault::TooBig }.emit();
            (StatusCode::PAYLOAD_TOO_LARGE, RefuseReason::TooLarge)
        }
        BodyError::Ratio { .. } => (StatusCode::PAYLOAD_TOO_LARGE, RefuseReason::GzipRatio),
        BodyError::Gzip(_) => {
            MessageRejected { peer, fault: MessageFault::Gzip }.emit();
            (StatusCode::BAD_REQUEST, RefuseReason::BadRequest)
        }
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, RefuseReason::BadRequest),
        BodyError::NoRoom => return overloaded(),
    };
    Refusal::bad(status, reason, &fault.to_string())
}

fn rejected(why: &Rejected, peer: SocketAddr) -> Refusal {
    let fault = match why {
        Rejected::Malformed(_) => MessageFault::Scan,
        Rejected::Uid(_) => MessageFault::Uid,
        Rejected::Cloned { .. } => MessageFault::ClonedUid,
        Rejected::Full => MessageFault::SessionsFull,
    };
    MessageRejected { peer, fault }.emit();
    if matches!(why, Rejected::Full) {
        return overloaded();
    }
    Refusal::bad(StatusCode::BAD_REQUEST, RefuseReason::BadRequest, &why.to_string())
}

/// No room now. 503 is one of the two statuses after which agents keep their message and wait
/// (field-notes.md); 30 s is the specification's minimum.
fn overloaded() -> Refusal {
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, RefuseReason::Overloaded);
    refusal.with(header::RETRY_AFTER, "30")
}

/// A body's share of the bytes that may be held.
struct Held<'a> {
    edge: &'a Edge,
    share: BudgetShare,
}

impl Held<'_> {
    /// It is this many now. `false`: that is more than there is.
    fn set(&mut self, bytes: usize) -> bool {
        self.share.set(bytes, &self.edge.buffered)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.share.set(0, &self.edge.buffered);
    }
}

/// Waits for the server's own reply, and no longer than agents are made to wait.
async fn reply(waiting: &Waiting) -> RequestAnswer {
    let wait = waiting
        .reply_due()
        .map_or(Duration::ZERO, |due| due.saturating_duration_since(clock::now()));
    let mut expired = pin!(tokio::time::sleep(wait));
    poll_fn(|context| {
        let late = expired.as_mut().poll(context).is_ready();
        waiting.poll_answer(context, late)
    })
    .await
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut offers = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    offers.any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        gzip && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn answer(reply: Vec<u8>, zipped: bool) -> Answer {
    let wanted = zipped && reply.len() >= GZIP_BYTES_MIN;
    let (body, zipped) = match wanted.then(|| gzip(&reply)).flatten() {
        Some(smaller) => (smaller, true),
        None => (reply, false),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(header::CONTENT_TYPE, PROTOBUF);
    if zipped {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
