//! Plain HTTP (OpAMP specification, "Plain HTTP Transport"): one POST, one reply. hyper speaks HTTP; what is
//! asked and answered is decided here. A request's body may be any `http_body::Body`, so that HTTP/2 and HTTP/3
//! can bring theirs.

use std::convert::Infallible;
use std::error::Error as _;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Edge;
use super::answer::answer;
use super::body;
use super::budget::BudgetShare;
use super::header_list::{accepts_gzip, gzipped, has_other_transfer_coding, stays_open};
use super::lingering_close;
use super::prefixed::{Prefixed, ReadPatience};
use super::refusal::{HttpRefusal, HttpResponse, OVERLOADED_RETRY_AFTER, PROTOBUF};
use super::request_admission::RequestAdmission;
use crate::clock;
use crate::sessions::{AnswerBytes, RequestAnswer, Waiting, is_short_of_room};
use crate::telemetry::events::edge::{
    CloseReason, MessageReceived, RefuseReason, RequestRefused, Transport,
};
use crate::websocket::{HEADERS_MAX, check_host};

/// hyper wants room for a request line and a few headers.
const HYPER_BUFFER_BYTES_MIN: usize = 8 << 10;

/// How long a connection may stay idle: pools that know keep it for the next poll, and send nothing into its end.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Serves requests on one connection until it closes. `prefix` has been read already. One that came past
/// admission, because it is no agent's, brings one request: `admission` knows.
pub(super) async fn serve<S>(
    edge: &Arc<Edge>,
    socket: S,
    prefix: Vec<u8>,
    peer: SocketAddr,
    admission: &RequestAdmission,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let drained = AtomicBool::new(false);
    let patience = edge.params.keep_alive.message_timeout;
    let service =
        service_fn(|request| Box::pin(respond((edge, admission), request, peer, &drained)));
    let sessions = Arc::clone(&edge.sessions);
    let is_short = Box::new(move || is_short_of_room(&sessions));
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(edge.params.http_idle_timeout)
        .keep_alive(admission.is_agents)
        // One that has said all may wait for its answer still.
        .half_close(true)
        .max_headers(HEADERS_MAX)
        .max_buf_size(edge.params.head_bytes_max.max(HYPER_BUFFER_BYTES_MIN))
        .serve_connection(
            TokioIo::new(Prefixed::new(
                prefix,
                socket,
                ReadPatience { longest: patience, is_short },
            )),
            service,
        );
    let served = tokio::select! {
        served = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(served),
        () = edge.until_cut() => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            drained.store(true, Ordering::Relaxed);
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    lingering_close::close(connection.into_parts().io.inner_mut()).await;
    match served {
        Ok(()) if drained.load(Ordering::Relaxed) => CloseReason::Drain,
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
        Err(error) if left_unread(&error) => CloseReason::SlowReader,
        Err(_) => CloseReason::Reset,
    }
}

/// Whether the peer has left its answers unread for too long: see [`Prefixed`].
fn left_unread(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// Answers one request. Sets `drained` if the connection ends with this answer because the node drains.
async fn respond<B>(
    (edge, admission): (&Arc<Edge>, &RequestAdmission),
    request: Request<B>,
    peer: SocketAddr,
    drained: &AtomicBool,
) -> Result<HttpResponse, Infallible>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Display + Send,
{
    let zipped = accepts_gzip(request.headers());
    let stays = admission.is_agents && stays_open(&request);
    let mut is_overloaded = false;
    let (mut response, drains) = match exchange((edge, admission), request, peer).await {
        Ok((reply, drains)) => (answer(reply, zipped).await, drains),
        Err(refusal) => {
            RequestRefused { peer, reason: refusal.reason }.emit();
            is_overloaded = refusal.reason == RefuseReason::Overloaded;
            (refusal.into_response(), edge.may_close(|| true))
        }
    };
    let headers = response.headers_mut();
    if drains {
        drained.store(true, Ordering::Relaxed);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if is_overloaded {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if stays {
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.insert(KEEP_ALIVE, edge.keep_alive_header.clone());
    }
    Ok(response)
}

/// One message, its reply, and whether that is the last one here because the node drains.
async fn exchange<B>(
    (edge, admission): (&Arc<Edge>, &RequestAdmission),
    request: Request<B>,
    peer: SocketAddr,
) -> Result<(AnswerBytes, bool), HttpRefusal>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Display + Send,
{
    let gzipped = check(edge, &request)?;
    if !admission.is_agents {
        // What hyper makes of a head differs from what admission made of it.
        return Err(HttpRefusal::past_admission());
    }
    let bytes_max = edge.params.message_bytes_max;
    let mut held = Held { edge, share: BudgetShare::default() };
    let (head, body) = request.into_parts();
    let patience = edge.params.keep_alive.message_timeout;
    let collecting = body::collect(body, (bytes_max, patience), |bytes| held.set(bytes));
    let collected = tokio::select! {
        collected = collecting => collected,
        // Its sender keeps the message, and another node takes it.
        () = edge.until_cut() => return Err(HttpRefusal::not_yet(OVERLOADED_RETRY_AFTER)),
    };
    let mut message = collected.map_err(|fault| HttpRefusal::unreadable(&fault, peer))?;
    if gzipped {
        message = body::gunzip(&message, bytes_max, |bytes| held.set(bytes))
            .await
            .map_err(|fault| HttpRefusal::unreadable(&fault, peer))?;
        if !held.set(message.len()) {
            return Err(HttpRefusal::overloaded());
        }
    }
    MessageReceived { transport: Transport::Http, bytes: message.len() }.emit();
    let answer_max = admission.pass(edge, (&head.headers, peer), &message).await?;
    let waiting =
        edge.sessions.receive_http(&message).map_err(|why| HttpRefusal::rejected(&why, peer))?;
    drop((message, held));
    let RequestAnswer { message: reply, settled } = reply(&waiting, answer_max).await;
    // Its sender takes it for lost, says the same again, and is given all of it then.
    let reply = AnswerBytes::try_new(&edge.sessions, reply).ok_or_else(HttpRefusal::overloaded)?;
    let drains = edge.may_close(|| settled);
    if drains {
        waiting.release_drained();
    }
    Ok((reply, drains))
}

/// Checks that the request is an OpAMP message; says whether its body is compressed.
fn check<B>(edge: &Edge, request: &Request<B>) -> Result<bool, HttpRefusal> {
    let headers = request.headers();
    let minor_version = u8::from(request.version() > Version::HTTP_10);
    check_host(minor_version, headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes))
        .map_err(|fault| HttpRefusal::host(&fault))?;
    if !edge.params.paths.has(request.uri().path()) {
        return Err(HttpRefusal::not_found());
    }
    if request.method() == Method::GET {
        return Err(HttpRefusal::upgrade(headers));
    }
    if request.method() != Method::POST {
        return Err(HttpRefusal::method_not_allowed(request.method()));
    }
    if has_other_transfer_coding(headers) {
        return Err(HttpRefusal::transfer_coding());
    }
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    if !media_type.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(PROTOBUF.as_bytes()))
    {
        return Err(HttpRefusal::media_type());
    }
    gzipped(headers).ok_or_else(HttpRefusal::content_encoding)
}

/// A body's share of the budget.
struct Held<'a> {
    edge: &'a Edge,
    share: BudgetShare,
}

impl Held<'_> {
    /// The body has this many bytes now. `false`: that exceeds the budget.
    fn set(&mut self, bytes: usize) -> bool {
        self.share.set(bytes, &self.edge.buffered)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.share.set(0, &self.edge.buffered);
    }
}

/// Waits for the server's own reply, for as long as agents may be kept waiting, and this one for `most` at most.
async fn reply(waiting: &Waiting, most: Duration) -> RequestAnswer {
    let wait = waiting
        .reply_due()
        .map_or(Duration::ZERO, |due| due.saturating_duration_since(clock::now()).min(most));
    let mut expired = pin!(tokio::time::sleep(wait));
    poll_fn(|context| {
        let late = expired.as_mut().poll(context).is_ready();
        waiting.poll_answer(context, late)
    })
    .await
}
