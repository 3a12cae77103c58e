//! From a server's address to an open WebSocket, or a connection for plain HTTP: TCP, TLS, upgrade.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::params::{Mode, ServerParams, UpstreamParams};
use super::voice::{GatedStream, Voice};
use crate::clock;
use crate::core::server::FailedDial;
use crate::telemetry::events::upstream::DialResult;
use crate::tls::{self, TlsError};
use crate::websocket::{self, ClientRequest, ResponseHead};

/// Both halves of a connection, whatever it runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open WebSocket, and what the server sent behind its handshake.
pub(super) struct OpenedSocket {
    pub(super) stream: Box<dyn Stream>,
    pub(super) early: Vec<u8>,
}

/// Why a dial failed. The server's or the network's fault; retrying may help.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The server is missing at the address: the name is unknown, or connections are refused.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// TLS: the certificate is of an unknown authority, or the server speaks something else than TLS.
    #[error("TLS handshake: {source}{}", hint(source, plain))]
    Tls {
        /// What the TLS library says.
        #[source]
        source: io::Error,
        /// The scheme of plain text.
        plain: &'static str,
    },
    /// The server answered the upgrade with something else.
    #[error("{}", refusal(.0))]
    Refused(#[from] websocket::Refused),
    /// The answer is something else than HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(#[from] websocket::HeadFault),
    /// The connection broke, or the answer was too long.
    #[error("connection lost during the handshake: {0}")]
    Lost(#[source] io::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// A server that answers a TLS handshake with plain text has the other scheme in its URL.
fn hint(error: &io::Error, plain: &str) -> String {
    if error.to_string().contains("InvalidContentType") {
        format!(" (does the server speak plain text? then use {plain}://)")
    } else {
        String::new()
    }
}

/// Two statuses say what an operator has to look at.
fn refusal(refused: &websocket::Refused) -> String {
    match refused.status {
        401 => "the server refuses the credentials (401)".to_owned(),
        404 => "no OpAMP at this path (404): check the path of url".to_owned(),
        _ => refused.to_string(),
    }
}

impl DialError {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            _ => None,
        }
    }

    /// What it means for the server's other links. 429 and 503 say that it has too much to do; other
    /// statuses say that it refuses this client.
    pub(super) fn failed_dial(&self) -> FailedDial {
        let overloaded =
            matches!(self, Self::Refused(refused) if matches!(refused.status, 429 | 503));
        FailedDial { retry_after: self.retry_after(), overloaded }
    }

    pub(super) const fn label(&self) -> DialResult {
        match self {
            Self::Refused(_) | Self::NotHttp(_) => DialResult::Refused,
            Self::Connect(_) | Self::Tls { .. } | Self::Lost(_) => DialResult::Failed,
            Self::Timeout(_) => DialResult::Timeout,
        }
    }
}

/// Longest answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How to reach one server.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    authority: String,
    target: String,
    headers: Vec<(String, String)>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The scheme that reaches the server if it speaks plain text.
    plain: &'static str,
    timeout: Duration,
    voice: Arc<Voice>,
}

impl Endpoint {
    /// # Errors
    /// If the trust store is unreadable, or the host is something that a certificate has no room for.
    pub(super) fn new(
        server: &ServerParams,
        all: &UpstreamParams,
        voice: &Arc<Voice>,
    ) -> Result<Self, TlsError> {
        let host = server.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = matches!(server.url.scheme_str(), Some("wss" | "https"));
        let tls = if secure {
            let name =
                ServerName::try_from(host.clone()).map_err(|_| TlsError::Name(host.clone()))?;
            Some((
                TlsConnector::from(Arc::new(tls::client(server.ca_file.as_deref(), None)?)),
                name,
            ))
        } else {
            None
        };
        let headers = server
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        Ok(Self {
            host,
            port: server.url.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: server.url.authority().map(ToString::to_string).unwrap_or_default(),
            target: server.url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            headers,
            tls,
            plain: if matches!(server.mode, Mode::Http { .. }) { "http" } else { "ws" },
            timeout: all.dial_timeout,
            voice: Arc::clone(voice),
        })
    }

    /// Opens a WebSocket.
    pub(super) async fn dial(&self) -> Result<OpenedSocket, DialError> {
        tokio::time::timeout(self.timeout, self.open())
            .await
            .unwrap_or(Err(DialError::Timeout(self.timeout)))
    }

    async fn open(&self) -> Result<OpenedSocket, DialError> {
        let mut stream = self.open_stream().await?;
        let early = self.upgrade(&mut stream).await?;
        Ok(OpenedSocket { stream, early })
    }

    /// Opens a connection for plain HTTP.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, DialError> {
        tokio::time::timeout(self.timeout, self.open_stream())
            .await
            .unwrap_or(Err(DialError::Timeout(self.timeout)))
    }

    async fn open_stream(&self) -> Result<Box<dyn Stream>, DialError> {
        // From before the first byte: a right that is lost while the dial lasts is lost for this connection.
        let right = self.voice.listen();
        let socket = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(DialError::Connect)?;
        socket.set_nodelay(true).map_err(DialError::Connect)?;
        if let Some(most) = self.voice.unconfirmed_max() {
            SockRef::from(&socket).set_tcp_user_timeout(Some(most)).map_err(DialError::Connect)?;
        }
        let socket = GatedStream::new(socket, right);
        Ok(match &self.tls {
            None => Box::new(socket),
            Some((connector, name)) => {
                let connected = connector.connect(name.clone(), socket).await;
                let plain = self.plain;
                Box::new(connected.map_err(|source| DialError::Tls { source, plain })?)
            }
        })
    }

    async fn upgrade(&self, stream: &mut Box<dyn Stream>) -> Result<Vec<u8>, DialError> {
        let key = websocket::generate_key();
        let mut request = Vec::new();
        let (authority, target, headers) = (&self.authority, &self.target, &self.headers);
        websocket::client_request(
            &ClientRequest { authority, target, headers, key: &key },
            &mut request,
        );
        stream.write_all(&request).await.map_err(DialError::Lost)?;
        stream.flush().await.map_err(DialError::Lost)?;
        let mut head = Vec::with_capacity(1024);
        loop {
            let read = stream.read_buf(&mut head).await.map_err(DialError::Lost)?;
            if read == 0 {
                return Err(DialError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(response) = ResponseHead::parse(&head)? {
                websocket::check_response(&response, &key, clock::wall())?;
                let end = response.head_bytes;
                head.drain(..end);
                return Ok(head);
            }
            if head.len() >= HEAD_BYTES_MAX {
                return Err(DialError::Lost(io::ErrorKind::InvalidData.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_dial_says_what_to_look_at() {
        let refused = |status| {
            let reason = "it does not switch protocols";
            let refused = websocket::Refused { status, retry_after: None, reason };
            DialError::from(refused).to_string()
        };
        assert_eq!(refused(401), "the server refuses the credentials (401)");
        assert_eq!(refused(404), "no OpAMP at this path (404): check the path of url");
        assert_eq!(refused(503), "the server answered 503: it does not switch protocols");
    }

    #[test]
    fn tls_towards_plain_text_names_the_other_scheme() {
        let tls = |text: &str| {
            let source = io::Error::other(text.to_owned());
            DialError::Tls { source, plain: "ws" }.to_string()
        };
        assert_eq!(
            tls("received corrupt message of type InvalidContentType"),
            "TLS handshake: received corrupt message of type InvalidContentType (does the server \
             speak plain text? then use ws://)"
        );
        assert_eq!(tls("invalid peer certificate"), "TLS handshake: invalid peer certificate");
    }

    #[test]
    fn an_overloaded_server_is_told_from_one_that_refuses_this_client() {
        for (status, overloaded) in [(429, true), (503, true), (401, false), (500, false)] {
            let retry_after = Some(Duration::from_secs(3));
            let refused = websocket::Refused { status, retry_after, reason: "" };
            let expected = FailedDial { retry_after, overloaded };
            assert_eq!(DialError::from(refused).failed_dial(), expected);
        }
        assert_eq!(DialError::Timeout(Duration::ZERO).failed_dial(), FailedDial::default());
    }
}
