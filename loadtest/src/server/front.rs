//! The stand-in's OpAMP port: listeners, handshakes, and plain HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::links::{LinkHold, NODE_HEADER};
use super::reply::{Origin, StandIn};
use super::socket;
use crate::http::{StandInAnswer, read_body};

/// OpAMP's path.
const PATH: &str = "/v1/opamp";
/// The media type of OpAMP's plain-HTTP transport.
const PROTOBUF: &str = "application/x-protobuf";
/// The longest body of a POST.
const BODY_BYTES_MAX: usize = 64 << 20;
/// What the kernel queues; it caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Opens one of several listeners on the same address. `SO_REUSEADDR` lets a server come back at
/// once after a kill.
///
/// # Errors
/// When the address is taken or absent.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the runtime ends.
pub(crate) async fn accept(server: Arc<StandIn>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                server.counts.dials.one();
                tokio::spawn(serve(server.clone(), stream));
            }
            // Out of descriptors, most likely; a pause keeps this from spinning.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

/// Serves requests until the peer ends the connection or it has become a WebSocket. What goes wrong
/// with one connection is its peer's business; the counts show it.
async fn serve(server: Arc<StandIn>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServedConnection { number: server.next_connection(), link: OnceLock::new() };
    let service = service_fn(|request| respond(&server, &connection, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    connection.with_upgrades().await.map_err(io::Error::other)
}

/// A connection to this port, and what its first request said of the node behind it.
struct ServedConnection {
    number: u64,
    link: OnceLock<Arc<LinkHold>>,
}

impl ServedConnection {
    fn link(&self, server: &StandIn, request: &Request<Incoming>) -> Arc<LinkHold> {
        let begin = || {
            let node = request.headers().get(NODE_HEADER).and_then(|name| name.to_str().ok());
            Arc::new(server.links.open(self.number, node))
        };
        self.link.get_or_init(begin).clone()
    }
}

async fn respond(
    server: &Arc<StandIn>,
    connection: &ServedConnection,
    mut request: Request<Incoming>,
) -> io::Result<StandInAnswer> {
    let answer = http::Response::builder();
    if request.uri().path() != PATH {
        return finish(answer.status(StatusCode::NOT_FOUND), Vec::new());
    }
    if let Some((status, retry_after)) = server.faults.current().refuse() {
        server.counts.refused.one();
        let answer = answer.status(status).header(CONNECTION, "close");
        let answer = match retry_after {
            Some(seconds) => answer.header(RETRY_AFTER, seconds),
            None => answer,
        };
        return finish(answer, Vec::new());
    }
    let link = connection.link(server, &request);
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        let accepted = derive_accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(become_socket(server.clone(), upgrade, (connection.number, link)));
        let answer = answer.status(StatusCode::SWITCHING_PROTOCOLS);
        let answer = answer.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        return finish(answer.header(SEC_WEBSOCKET_ACCEPT, accepted), Vec::new());
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    if request.method() != Method::POST || content_type.is_none_or(|value| value != PROTOBUF) {
        return finish(
            answer.status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "POST"),
            Vec::new(),
        );
    }
    let body = read_body(request.into_body(), BODY_BYTES_MAX).await?;
    server.counts.posts.one();
    if let Some(per_second) = server.faults.current().capacity {
        server.faults.work(per_second).await;
    }
    // Each POST stands alone, so each reply introduces the server.
    let handled = server.handle(&body, Origin { link: &link, route: None, is_first: true });
    finish(answer.header(CONTENT_TYPE, PROTOBUF), handled.body())
}

fn finish(
    answer: http::response::Builder,
    body: impl Into<bytes::Bytes>,
) -> io::Result<StandInAnswer> {
    answer.body(body.into().into()).map_err(io::Error::other)
}

/// Takes the connection over once the answer to its upgrade is written.
async fn become_socket(server: Arc<StandIn>, upgrade: OnUpgrade, connection: (u64, Arc<LinkHold>)) {
    let Ok(upgraded) = upgrade.await else { return };
    // Every connection here is made of this stream, so this is always what comes back.
    let Ok(parts) = Upgraded::downcast::<TokioIo<TcpStream>>(upgraded) else { return };
    socket::serve(server, parts.io.into_inner(), parts.read_buf.to_vec(), connection).await;
}
