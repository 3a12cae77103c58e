//! One pooled keep-alive connection to a server, and one exchange on it: a POST and its response (OpAMP
//! specification, "Plain HTTP Transport"). What a response means,
//! `core::http_mode` decides.

use std::fmt::Display;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::foreign::Foreign;
use crate::clock;
use crate::core::http_mode::Answered;
use crate::upstream::dial::{DialError, Endpoint, OpenedConnection};
use crate::upstream::params::ServerParams;
use crate::upstream::queue::Post;
use crate::websocket;

/// The agent whose message it is: for balancers in front of servers.
const INSTANCE_UID: HeaderName = HeaderName::from_static("opamp-instance-uid");
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Answers are small: what packing them saves, unpacking them costs (RFC 9110, section 12.5.3).
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
/// Longest head of a response. Also the longest body of an error, which is read so that the connection
/// can be used again.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// For how long a connection's headers are not read again from their files.
const HEADERS_FRESH_FOR: Duration = Duration::from_secs(2);

/// What all requests to one server have in common.
#[derive(Clone)]
pub(super) struct RequestTemplate {
    target: Uri,
    headers: HeaderMap,
}

impl RequestTemplate {
    /// What is the same for each connection; a connection adds the headers that its dial has read.
    pub(super) fn new(server: &ServerParams) -> Self {
        let mut headers = HeaderMap::new();
        let authority = server.url.authority().map_or("", |authority| authority.as_str());
        // What is an authority is a header's value.
        if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(ACCEPT_ENCODING, IDENTITY);
        let target = server.url.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        Self { target, headers }
    }

    fn request(&self, post: &Post) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(post.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        if let Ok(uid) = HeaderValue::try_from(post.uid.to_string()) {
            request.headers_mut().insert(INSTANCE_UID, uid);
        }
        request
    }
}

/// What came of a POST: for the core, and beyond that the message, and the error for the log.
#[derive(Debug)]
pub(super) enum Exchanged {
    Message(Bytes),
    Status { status: StatusCode, retry_after: Option<Duration> },
    Unsent,
    Lost(hyper::Error),
    Timeout,
    TooBig,
    Foreign(Foreign),
}

impl Exchanged {
    /// The same for the core.
    pub(super) fn answered(&self) -> Answered {
        match self {
            Self::Message(_) => Answered::Message,
            Self::Status { status, retry_after } => {
                Answered::Status { status: status.as_u16(), retry_after: *retry_after }
            }
            Self::Unsent => Answered::Unsent,
            Self::Lost(_) => Answered::Lost,
            Self::Timeout => Answered::Timeout,
            Self::TooBig => Answered::TooBig,
            Self::Foreign(_) => Answered::Foreign,
        }
    }

    /// The message, if there is one.
    pub(super) fn message(&self) -> Option<&[u8]> {
        if let Self::Message(bytes) = self { Some(bytes) } else { None }
    }

    /// The same for the log.
    pub(super) fn reason(&self) -> &dyn Display {
        match self {
            Self::Message(_) => &"a message",
            Self::Status { status, .. } => status,
            Self::Unsent => &"closed before a request",
            Self::Lost(error) => error,
            Self::Timeout => &"no response in time",
            Self::TooBig => &"the response is over the limit",
            Self::Foreign(foreign) => foreign,
        }
    }
}

/// Bounds of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExchangeLimits {
    pub(super) message_bytes_max: usize,
    pub(super) timeout: Duration,
}

/// An open connection. Dropping it closes it.
pub(super) struct HttpConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    template: RequestTemplate,
    /// When the files that have a say in the headers were read.
    read_at: Instant,
    /// Moves the bytes; ends with the connection.
    driver: JoinSet<()>,
}

impl HttpConnection {
    pub(super) async fn open(
        endpoint: &Endpoint,
        template: &RequestTemplate,
    ) -> Result<Self, DialError> {
        let read_at = clock::now();
        let OpenedConnection { stream, headers } = endpoint.connect().await?;
        let mut template = template.clone();
        template.headers.extend(headers);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(websocket::HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| DialError::Lost(std::io::Error::other(error)))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong with it, the request on it sees.
            let _ = connection.await;
        });
        Ok(Self { sender, template, read_at, driver })
    }

    /// Returns when the server has closed the connection. Cancel-safe.
    pub(super) async fn closed(&mut self) {
        self.driver.join_next().await;
    }

    /// A connection lives for long, and its token for less. If a file cannot be read now, the former token may still do;
    /// the next dial says what is wrong.
    async fn renew_headers(&mut self, endpoint: &Endpoint) {
        if clock::now() - self.read_at < HEADERS_FRESH_FOR {
            return;
        }
        self.read_at = clock::now();
        if let Ok(Some(headers)) = endpoint.renewed_headers().await {
            self.template.headers.extend(headers);
        }
    }

    /// Sends a message and reads the response. After a message or a status the connection can carry
    /// another one; after anything else it must be dropped.
    pub(super) async fn exchange(
        &mut self,
        endpoint: &Endpoint,
        post: &Post,
        limits: ExchangeLimits,
    ) -> Exchanged {
        let exchange = async {
            self.renew_headers(endpoint).await;
            if self.sender.ready().await.is_err() {
                return Exchanged::Unsent;
            }
            match self.sender.try_send_request(self.template.request(post)).await {
                Ok(response) => read(response, limits.message_bytes_max).await,
                Err(error) if error.message().is_some() => Exchanged::Unsent,
                Err(error) => Exchanged::Lost(error.into_error()),
            }
        };
        tokio::time::timeout(limits.timeout, exchange).await.unwrap_or(Exchanged::Timeout)
    }
}

async fn read(response: Response<Incoming>, bytes_max: usize) -> Exchanged {
    let status = response.status();
    if !status.is_success() {
        let wish = response.headers().get(RETRY_AFTER);
        let retry_after =
            wish.and_then(|wish| websocket::retry_after(wish.as_bytes(), clock::wall()));
        // If that fails, the connection closes, which the next request finds out.
        let _ = Limited::new(response.into_body(), HEAD_BYTES_MAX).collect().await;
        return Exchanged::Status { status, retry_after };
    }
    let (head, body) = response.into_parts();
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => {
            let bytes = body.to_bytes();
            let foreign = Foreign::find(status, &head.headers, &bytes);
            foreign.map_or(Exchanged::Message(bytes), Exchanged::Foreign)
        }
        Err(error) if error.is::<LengthLimitError>() => Exchanged::TooBig,
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Exchanged::Lost(*error),
            // `Limited` has these two kinds alone.
            Err(_) => Exchanged::TooBig,
        },
    }
}
