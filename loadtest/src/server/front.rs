//! The stand-in's OpAMP port: listeners, handshakes, and plain HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::reply::Server;
use super::socket;
use crate::http1;

/// OpAMP's path.
const PATH: &str = "/v1/opamp";
/// The longest body of a POST.
const BODY_BYTES_MAX: usize = 64 << 20;
/// What the kernel queues; it caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Opens one of several listeners on the same address. `SO_REUSEADDR` lets a server come back at
/// once after a kill.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts for ever.
pub(crate) async fn accept(server: Arc<Server>, listener: TcpListener) {
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

async fn serve(server: Arc<Server>, mut stream: TcpStream) {
    // What goes wrong with one connection is its peer's business; the counts show it.
    let mut buffer = Vec::new();
    let Ok(upgraded) = serve_http(&server, &mut stream, &mut buffer).await else { return };
    if upgraded {
        socket::serve(server, stream, buffer).await;
    }
}

/// Serves requests until one has become a WebSocket (true) or there are no more.
async fn serve_http(
    server: &Server,
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    stream.set_nodelay(true)?;
    while let Some(head) = http1::read_head(stream, buffer).await? {
        if head.path != PATH {
            http1::answer(stream, "404 Not Found\r\n", b"").await?;
            return Ok(false);
        }
        if let Some((status, retry_after)) = server.faults.current().refuse() {
            server.counts.refused.one();
            let retry = retry_after.map_or(String::new(), |s| format!("Retry-After: {s}\r\n"));
            let answer = format!("{status} Refused\r\n{retry}Connection: close\r\n");
            http1::answer(stream, &answer, b"").await?;
            return Ok(false);
        }
        if let Some(key) = head.websocket_key {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            );
            tokio::io::AsyncWriteExt::write_all(stream, answer.as_bytes()).await?;
            return Ok(true);
        }
        if head.method != "POST" || head.content_type != "application/x-protobuf" {
            http1::answer(stream, "405 Method Not Allowed\r\nAllow: POST\r\n", b"").await?;
            return Ok(false);
        }
        let body = http1::read_body(stream, buffer, head.content_length, BODY_BYTES_MAX).await?;
        server.counts.posts.one();
        if let Some(per_second) = server.faults.current().capacity {
            server.faults.work(per_second).await;
        }
        // Each POST stands alone, so each reply introduces the server.
        let handled = server.handle(&Bytes::from(body), None, true);
        let answer = "200 OK\r\nContent-Type: application/x-protobuf\r\n";
        http1::answer(stream, answer, &handled.reply).await?;
        if !head.keep_alive {
            return Ok(false);
        }
    }
    Ok(false)
}
