//! Requests that are refused over HTTP, and what their senders are told: in one place for each status, written
//! as a response for hyper, or as bytes of HTTP/1.1 while hyper has yet to see the connection.
//!
//! 503 and 429 are the two statuses after which agents keep their message and wait (docs/FIELD-NOTES.md,
//! section 1). Overload is always answered with 503 and `Retry-After`.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::admission::RefusalForm;
use super::body::BodyError;
use super::lingering_close;
use crate::ident::InstanceUid;
use crate::opamp::splice;
use crate::sessions::Rejected;
use crate::telemetry::events::edge::{MessageFault, MessageRejected, RefuseReason};
use crate::websocket::{self, HostFault, UpgradeFault};

/// The media type of OpAMP messages.
pub(super) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// What an agent is told to wait while the node is overloaded: the specification's minimum.
pub(super) const OVERLOADED_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What a message says by which an agent is told to come again.
pub(super) const COME_AGAIN: &str = "come again after this time";

/// A response as hyper takes it.
pub(super) type HttpResponse = Response<Full<Bytes>>;

/// A request that is refused, and what its sender is told.
#[derive(Debug)]
pub(super) struct HttpRefusal {
    status: StatusCode,
    /// Why, for the operator.
    pub(super) reason: RefuseReason,
    header: Option<(HeaderName, HeaderValue)>,
    /// A `ServerToAgent` that names the fault, if the request was OpAMP at all.
    body: Vec<u8>,
}

impl HttpRefusal {
    const fn new(status: StatusCode, reason: RefuseReason) -> Self {
        Self { status, reason, header: None, body: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// BAD_REQUEST in the specification's terms.
    fn bad(status: StatusCode, reason: RefuseReason, text: &str) -> Self {
        let mut body = Vec::new();
        splice::bad_request(None, text, &mut body);
        Self { body, ..Self::new(status, reason) }
    }

    /// Admission tells the agent to come again after this time, in the form that its client obeys.
    pub(super) fn come_again(
        form: RefusalForm,
        named: Option<InstanceUid>,
        retry_after: Duration,
    ) -> Self {
        match form {
            RefusalForm::Status => Self::not_yet(retry_after),
            RefusalForm::Message => {
                let mut body = Vec::new();
                splice::unavailable(named, COME_AGAIN, retry_after, &mut body);
                Self { body, ..Self::new(StatusCode::OK, RefuseReason::NotYet) }
            }
        }
    }

    /// 503: admission tells the agent to come again after this time.
    pub(super) fn not_yet(retry_after: Duration) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, RefuseReason::NotYet);
        refusal.with(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()))
    }

    /// 503: the node lacks memory or sessions for this message.
    pub(super) fn overloaded() -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, RefuseReason::Overloaded);
        refusal.with(header::RETRY_AFTER, HeaderValue::from(OVERLOADED_RETRY_AFTER.as_secs()))
    }

    /// 431.
    pub(super) const fn head_too_large() -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, RefuseReason::HeadTooLarge)
    }

    /// 400: the head is something else than HTTP/1.
    pub(super) const fn malformed_head() -> Self {
        Self::new(StatusCode::BAD_REQUEST, RefuseReason::BadRequest)
    }

    /// 400: a message that came past admission.
    pub(super) fn past_admission() -> Self {
        let text = "the first request on this connection is no POST to this path";
        Self::bad(StatusCode::BAD_REQUEST, RefuseReason::BadRequest, text)
    }

    /// 408: the head took too long.
    pub(super) const fn head_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, RefuseReason::HeaderTimeout)
    }

    /// 408: the body took too long.
    pub(super) const fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, RefuseReason::BodyTimeout)
    }

    /// 404.
    pub(super) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, RefuseReason::NotFound)
    }

    /// 400: it is left open which host the request is for.
    pub(super) fn host(fault: &HostFault) -> Self {
        Self::bad(StatusCode::BAD_REQUEST, RefuseReason::BadRequest, &fault.to_string())
    }

    /// 501: the body is in a transfer coding that is not undone here (RFC 9112, section 6.1).
    pub(super) fn transfer_coding() -> Self {
        let text = "of transfer codings only chunked is known; Content-Encoding takes gzip";
        Self::bad(StatusCode::NOT_IMPLEMENTED, RefuseReason::TransferCoding, text)
    }

    /// 405, with a text. An answer to HEAD has no content (RFC 9110, section 9.3.2), and announces none: not every client
    /// knows that it must not wait for it.
    pub(super) fn method_not_allowed(method: &Method) -> Self {
        let text = "OpAMP over plain HTTP is a POST, and a WebSocket begins with a GET";
        let (status, reason) = (StatusCode::METHOD_NOT_ALLOWED, RefuseReason::MethodNotAllowed);
        let refusal = match *method {
            Method::HEAD => Self::new(status, reason),
            _ => Self::bad(status, reason, text),
        };
        refusal.with(header::ALLOW, HeaderValue::from_static("GET, POST"))
    }

    /// 415: the body is something else than protobuf.
    pub(super) fn media_type() -> Self {
        Self::unsupported(header::ACCEPT, PROTOBUF)
    }

    /// 415: the body is compressed by something else than gzip.
    pub(super) fn content_encoding() -> Self {
        Self::unsupported(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
    }

    fn unsupported(name: HeaderName, value: HeaderValue) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, RefuseReason::UnsupportedMediaType).with(name, value)
    }

    /// A GET that reaches HTTP is a faulty upgrade: the answer says what is wrong with it.
    pub(super) fn upgrade(headers: &HeaderMap) -> Self {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let fault =
            websocket::check_upgrade("GET", pairs).err().unwrap_or(UpgradeFault::HttpVersion);
        let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let reason = if status == StatusCode::UPGRADE_REQUIRED {
            RefuseReason::UpgradeRequired
        } else {
            RefuseReason::BadRequest
        };
        Self::bad(status, reason, &fault.to_string())
    }

    /// The body cannot be taken.
    pub(super) fn unreadable(fault: &BodyError, peer: SocketAddr) -> Self {
        let (status, reason) = match fault {
            BodyError::TooLarge { .. } => {
                MessageRejected { peer, fault: MessageFault::TooBig }.emit();
                (StatusCode::PAYLOAD_TOO_LARGE, RefuseReason::TooLarge)
            }
            BodyError::Gzip(_) => {
                MessageRejected { peer, fault: MessageFault::Gzip }.emit();
                (StatusCode::BAD_REQUEST, RefuseReason::BadRequest)
            }
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, RefuseReason::BadRequest),
            BodyError::TooSlow => return Self::body_timeout(),
            BodyError::NoRoom => return Self::overloaded(),
        };
        Self::bad(status, reason, &fault.to_string())
    }

    /// The sessions reject the message.
    pub(super) fn rejected(why: &Rejected, peer: SocketAddr) -> Self {
        MessageRejected { peer, fault: message_fault(why) }.emit();
        if matches!(why, Rejected::Full | Rejected::Busy) {
            return Self::overloaded();
        }
        Self::bad(StatusCode::BAD_REQUEST, RefuseReason::BadRequest, &why.to_string())
    }

    /// For a connection that hyper serves.
    pub(super) fn into_response(self) -> HttpResponse {
        let upgrade_required = self.status == StatusCode::UPGRADE_REQUIRED;
        let typed = !self.body.is_empty();
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if typed {
            headers.insert(header::CONTENT_TYPE, PROTOBUF);
        }
        if upgrade_required {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }

    /// For a connection that hyper has yet to see: answers, with the body of a message alone, and closes. A peer that takes the
    /// answer too slowly goes without it.
    pub(super) async fn write<S: AsyncRead + AsyncWrite + Unpin>(self, socket: &mut S) {
        lingering_close::write(socket, &self.head()).await;
    }

    /// The answer as bytes of HTTP/1.1.
    fn head(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16()).into_bytes();
        if let Some((name, value)) = &self.header {
            head.extend_from_slice(title_case(name).as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        // A body that names a fault is left out here: the peer speaks something else than OpAMP.
        let body = if self.status == StatusCode::OK { &self.body[..] } else { &[] };
        if !body.is_empty() {
            head.extend_from_slice(b"Content-Type: application/x-protobuf\r\n");
        }
        let length = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        head.extend_from_slice(length.as_bytes());
        head.extend_from_slice(body);
        head
    }
}

/// `retry-after` as `Retry-After`, which every client understands.
fn title_case(name: &HeaderName) -> String {
    let mut begins = true;
    let title = |letter: char| {
        let begun = std::mem::replace(&mut begins, letter == '-');
        if begun { letter.to_ascii_uppercase() } else { letter }
    };
    name.as_str().chars().map(title).collect()
}

/// What is wrong with a message that the sessions reject.
pub(super) const fn message_fault(why: &Rejected) -> MessageFault {
    match why {
        Rejected::Malformed(_) => MessageFault::Scan,
        Rejected::Uid(_) => MessageFault::Uid,
        Rejected::Cloned { .. } => MessageFault::ClonedUid,
        Rejected::Full => MessageFault::SessionsFull,
        Rejected::TooManyHere { .. } => MessageFault::TooManyAgents,
        Rejected::Busy => MessageFault::Busy,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::opamp::proto::server_error_response::Details;
    use crate::opamp::proto::{ServerErrorResponseType, ServerToAgent};

    fn text(refusal: &HttpRefusal) -> String {
        String::from_utf8(refusal.head()).unwrap()
    }

    #[test]
    fn an_agent_that_has_to_come_again_is_told_when_in_whole_seconds() {
        let refusal = HttpRefusal::not_yet(Duration::from_secs(17));
        assert_eq!(
            text(&refusal),
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 17\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let response = refusal.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "17");
    }

    #[test]
    fn a_client_that_obeys_a_message_is_told_by_one() {
        let told = Duration::from_secs(17);
        let refusal = HttpRefusal::come_again(RefusalForm::Message, None, told);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: ";
        let bytes = refusal.head();
        assert!(bytes.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let message = ServerToAgent::decode(&bytes[body..]).unwrap();
        let error = message.error_response.unwrap();
        assert_eq!(error.r#type, ServerErrorResponseType::Unavailable as i32);
        let Some(Details::RetryInfo(retry)) = error.details else { panic!("no retry_info") };
        assert_eq!(u128::from(retry.retry_after_nanoseconds), told.as_nanos());
        let response = refusal.into_response();
        assert_eq!(
            (response.status(), &response.headers()[header::CONTENT_TYPE]),
            (StatusCode::OK, &PROTOBUF)
        );
    }

    #[test]
    fn a_refusal_before_http_closes_the_connection() {
        let end = "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let refused = text(&HttpRefusal::head_too_large());
        assert_eq!(refused, format!("HTTP/1.1 431 Request Header Fields Too Large{end}"));
        let refused = text(&HttpRefusal::head_timeout());
        assert_eq!(refused, format!("HTTP/1.1 408 Request Timeout{end}"));
    }

    #[test]
    fn a_faulty_upgrade_is_told_what_websocket_needs() {
        let response = HttpRefusal::upgrade(&HeaderMap::new()).into_response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROTOBUF);
    }
}
