//! From a server's address to an open WebSocket, or a connection for plain HTTP: TCP, a proxy, TLS, upgrade.

mod error;
mod head;
mod material;
mod proxy;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::params::{Mode, ProxyParams, ServerParams, UpstreamParams};
use super::voice::{GatedStream, Voice};
use crate::tls::TlsError;
use crate::websocket::{self, ClientRequest};
use crate::{clock, connect};
pub(super) use error::DialError;
use error::ProxyFault;
use head::{HeadError, read_head};
use material::{Material, MaterialSource};

/// Both halves of a connection, whatever it runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open WebSocket, and what the server sent behind its handshake.
pub(super) struct OpenedSocket {
    pub(super) stream: Box<dyn Stream>,
    pub(super) early: Vec<u8>,
}

/// A connection for plain HTTP, and the headers that belong to each request on it.
pub(super) struct OpenedConnection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) headers: HeaderMap,
}

/// How to reach one server.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    authority: String,
    target: String,
    source: MaterialSource,
    proxy: Option<ProxyParams>,
    /// How Seawall names itself, to proxies, too.
    user_agent: String,
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
        let host = server.host().to_owned();
        let user_agent = user_agent(&server.node);
        // A node's name is made of letters that a header can have.
        let named = HeaderValue::from_str(&user_agent)
            .unwrap_or_else(|_| HeaderValue::from_static(PRODUCT));
        let tls_host = server.is_encrypted().then_some(host.as_str());
        Ok(Self {
            source: MaterialSource::new(server, &named, tls_host)?,
            host,
            port: server.port(),
            authority: server.url.authority().map(ToString::to_string).unwrap_or_default(),
            target: server.url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            proxy: server.proxy.clone(),
            user_agent,
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
        let OpenedConnection { mut stream, headers } = self.open_stream().await?;
        let early = self.upgrade(&mut stream, &headers).await?;
        Ok(OpenedSocket { stream, early })
    }

    /// Opens a connection for plain HTTP.
    pub(super) async fn connect(&self) -> Result<OpenedConnection, DialError> {
        tokio::time::timeout(self.timeout, self.open_stream())
            .await
            .unwrap_or(Err(DialError::Timeout(self.timeout)))
    }

    /// The headers of requests as they are now, if files have a say in them; `None`: they are those of the dial.
    pub(super) async fn renewed_headers(&self) -> Result<Option<HeaderMap>, DialError> {
        if self.source.reads_headers() { self.source.headers().await.map(Some) } else { Ok(None) }
    }

    async fn open_stream(&self) -> Result<OpenedConnection, DialError> {
        let Material { headers, tls } = self.source.read().await?;
        // From before the first byte: a right that is lost while the dial lasts is lost for this connection.
        let right = self.voice.listen();
        let socket = self.open_socket().await?;
        socket.set_nodelay(true).map_err(DialError::Connect)?;
        if let Some(most) = self.voice.unconfirmed_max() {
            SockRef::from(&socket).set_tcp_user_timeout(Some(most)).map_err(DialError::Connect)?;
        }
        let mut socket = GatedStream::new(socket, right);
        if let Some(proxy) = &self.proxy {
            let server = host_and_port(&self.host, self.port);
            let way = proxy::open_way(&mut socket, proxy, &server, &self.user_agent).await;
            way.map_err(|fault| DialError::Proxy { proxy: proxy.to_string(), fault })?;
        }
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some((connector, name)) => {
                let connected = connector.connect(name, socket).await;
                let plain = self.plain;
                Box::new(connected.map_err(|source| DialError::Tls { source, plain })?)
            }
        };
        Ok(OpenedConnection { stream, headers })
    }

    /// To the server, or to the proxy in front of it.
    async fn open_socket(&self) -> Result<TcpStream, DialError> {
        let Some(proxy) = &self.proxy else {
            return connect::connect(&self.host, self.port).await.map_err(DialError::Connect);
        };
        connect::connect(&proxy.host, proxy.port).await.map_err(|error| DialError::Proxy {
            proxy: proxy.to_string(),
            fault: ProxyFault::Connect(error),
        })
    }

    async fn upgrade(
        &self,
        stream: &mut Box<dyn Stream>,
        headers: &HeaderMap,
    ) -> Result<Vec<u8>, DialError> {
        let key = websocket::generate_key();
        let mut request = Vec::new();
        let (authority, target) = (&self.authority, &self.target);
        websocket::client_request(
            &ClientRequest { authority, target, headers, key: &key },
            &mut request,
        );
        stream.write_all(&request).await.map_err(DialError::Lost)?;
        stream.flush().await.map_err(DialError::Lost)?;
        let judge = |head: &websocket::ResponseHead<'_>| {
            websocket::check_response(head, &key, clock::wall())
        };
        let (judged, early) = read_head(stream, judge).await.map_err(|error| match error {
            HeadError::Broken(error) => DialError::Lost(error),
            HeadError::NotHttp(fault) => DialError::NotHttp(fault),
            HeadError::TooLong(most) => DialError::TooLong(most),
        })?;
        judged?;
        Ok(early)
    }
}

/// Product and version (RFC 9110, section 10.1.5).
const PRODUCT: &str = concat!("Seawall/", env!("CARGO_PKG_VERSION"));

/// What a server's log shows of who dials it: product, version, and which node.
fn user_agent(node: &str) -> String {
    if node.is_empty() { PRODUCT.to_owned() } else { format!("{PRODUCT} ({node})") }
}

/// As CONNECT has it.
fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
