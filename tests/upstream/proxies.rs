//! Servers that can be reached through an HTTP proxy alone.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::gateway::{Gateway, Mode};
use crate::support::mock::Mock;
use crate::tls::Authority;
use crate::{agents, refs};

/// A proxy in front of one server, whatever it is asked for.
struct Proxy {
    address: SocketAddr,
    /// What it was asked.
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// `refusal`: how it answers, instead of opening a way.
    async fn start(server: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let asked = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                ways.spawn(serve(socket, server, refusal, Arc::clone(&asked)));
            }
        });
        Self { address, heads, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    server: SocketAddr,
    refusal: Option<&'static str>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    asked.lock().push(String::from_utf8(head).unwrap());
    if let Some(refusal) = refusal {
        let _ = socket.write_all(refusal.as_bytes()).await;
        return;
    }
    let Ok(mut behind) = TcpStream::connect(server).await else { return };
    let _ = socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut behind).await;
}

#[tokio::test]
async fn every_mode_and_scheme_goes_through_the_proxy_that_is_configured() {
    let authority = Authority::new();
    for (server, mode) in [
        (Mock::start().await, Mode::Multiplexed(2)),
        (Mock::start().await, Mode::PerAgent),
        (Mock::start_http().await, Mode::Http(2)),
        (Mock::start_tls(authority.acceptor()).await, Mode::Multiplexed(2)),
        (Mock::start_https(authority.acceptor()).await, Mode::Http(2)),
    ] {
        let proxy = Proxy::start(server.address(), None).await;
        let url = server.url();
        let at = format!("\"http://user:p%40ss@{}\"", proxy.address);
        let mut gateway = Gateway::builder().server(&url, mode).set("upstream", "proxy", &at).set(
            "ownership",
            "node",
            "\"n1\"",
        );
        if url.starts_with("wss") || url.starts_with("https") {
            gateway = authority.trusted_by(gateway);
        }
        let mut gateway = gateway.start().await;
        let agents = agents(&gateway, 3).await;
        server.converged(&refs(&agents)).await;
        let heads = proxy.heads.lock().clone();
        assert!(!heads.is_empty(), "{url} in {mode:?}");
        let agent = format!("User-Agent: Seawall/{} (n1)\r\n", env!("CARGO_PKG_VERSION"));
        for head in heads {
            assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address())));
            // "user:p@ss".
            assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
            assert!(head.contains(&agent), "{head}");
        }
        for head in server.with(|state| state.heads.clone()) {
            assert!(!head.contains_key("proxy-authorization"), "that is the proxy's alone");
        }
        assert_eq!(gateway.process().log().count("p%40ss"), 0);
    }
}

#[tokio::test]
async fn the_environment_names_a_proxy_and_exceptions() {
    let server = Mock::start().await;
    let proxy = Proxy::start(server.address(), None).await;
    let at = format!("http://{}", proxy.address);
    let url = format!("ws://behind.invalid:{}/v1/opamp", server.address().port());
    let gateway = Gateway::builder()
        .server(&url, Mode::Multiplexed(1))
        .env("HTTP_PROXY", &at)
        .env("NO_PROXY", "elsewhere.invalid")
        .start()
        .await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    assert!(proxy.heads.lock()[0].starts_with("CONNECT behind.invalid:"));
    drop(gateway);

    // What is on this machine needs none.
    let before = proxy.heads.lock().len();
    let gateway = Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(1))
        .env("HTTP_PROXY", &at)
        .start()
        .await;
    drop(gateway);
    assert_eq!(proxy.heads.lock().len(), before);
}

#[tokio::test]
async fn a_proxys_refusal_is_named_as_its_own() {
    let server = Mock::start().await;
    let refusal = "HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n";
    let proxy = Proxy::start(server.address(), Some(refusal)).await;
    let at = format!("\"http://{}\"", proxy.address);
    let mut gateway = Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(1))
        .server_key("proxy", &at)
        .start_unready()
        .await;
    let failed = [("server", "a"), ("result", "failed")];
    gateway.wait_metric("seawall_upstream_dials_total", &failed, |dials| dials >= 2.0).await;
    let told = format!("the proxy {}: it refuses the credentials", proxy.address);
    assert_eq!(gateway.process().log().count(&told), 1);
    assert_eq!(server.with(|state| state.dials.len()), 0);
}
