//! What a dial copes with: names with a dead address, answers that are right if seldom, files that change, servers that
//! show the wrong certificate.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use seawall::websocket::{RequestHead, accept_response};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::gateway::{Gateway, Mode};
use crate::support::mock::Mock;
use crate::support::mock::state::State;
use crate::tls::{Authority, acceptor};
use crate::{agents, before, refs};

/// A server that opens each WebSocket with an answer of its own, and is silent from then on: its URL, its dials, its
/// task.
async fn opens_with(
    interim: &'static str,
    headers: String,
) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/opamp", listener.local_addr().unwrap());
    let dials = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&dials);
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = socket.read_u8().await else { break };
                head.push(byte);
            }
            let Ok(Some(request)) = RequestHead::parse(&head) else { continue };
            let mut answer = Vec::new();
            accept_response(&request.upgrade().unwrap(), &mut answer);
            answer.truncate(answer.len() - 2);
            let answer = [interim.as_bytes(), &answer, headers.as_bytes(), b"\r\n"].concat();
            let _ = socket.write_all(&answer).await;
            open.push(socket);
        }
    });
    (url, dials, task)
}

#[tokio::test]
async fn answers_that_are_right_if_seldom_open_a_link_at_the_first_dial() {
    for (interim, headers) in [
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
            String::new(),
        ),
        ("", (0..100).map(|n| format!("X-{n}: v\r\n")).collect()),
        ("", format!("Content-Security-Policy: {}\r\n", "x".repeat(60_000))),
        ("", "Sec-WebSocket-Protocol: \r\nSec-WebSocket-Extensions: \r\n".to_owned()),
    ] {
        let shown: String = format!("{interim}{headers}").chars().take(60).collect();
        let (url, dials, task) = opens_with(interim, headers).await;
        let gateway = Gateway::builder().server(&url, Mode::Multiplexed(1)).start().await;
        assert_eq!(dials.load(Ordering::Relaxed), 1, "{shown}");
        drop(gateway);
        task.abort();
    }
}

#[tokio::test]
async fn an_answer_to_a_post_may_have_many_headers() {
    let server = Mock::start_http().await;
    server.behave(|behaviour| behaviour.headers_more = 110);
    let gateway = Gateway::builder().server(&server.url(), Mode::Http(1)).start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    let failed = gateway.metrics().await.sum("seawall_upstream_failed_posts_total", &[]);
    assert_eq!(failed, 0.0);
    for head in server.with(|state| state.heads.clone()) {
        assert_eq!(head["accept-encoding"], "identity");
    }
}

#[tokio::test]
async fn a_token_that_is_renewed_is_used_from_the_next_dial_on() {
    for (server, mode) in
        [(Mock::start().await, Mode::Multiplexed(1)), (Mock::start_http().await, Mode::Http(1))]
    {
        let token = NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "first\n").unwrap();
        let file = format!("{{ X-Token = \"{}\" }}", token.path().display());
        let gateway = Gateway::builder()
            .server(&server.url(), mode)
            .server_key("headers_from_file", &file)
            .set("ownership", "node", "\"n1\"")
            .start()
            .await;
        let agents = agents(&gateway, 2).await;
        server.converged(&refs(&agents)).await;
        let says = |token: &'static str| {
            move |state: &State| state.heads.last().is_some_and(|head| head["x-token"] == token)
        };
        server.wait("the first token", says("first")).await;
        let agent = format!("Seawall/{} (n1)", env!("CARGO_PKG_VERSION"));
        assert_eq!(server.with(|state| state.heads[0]["user-agent"].clone()), agent.as_str());
        std::fs::write(token.path(), "second\n").unwrap();
        server.cut();
        agents[0].set_health("something to say").await;
        server.wait("the second token", says("second")).await;
        server.converged(&refs(&agents)).await;
    }
}

/// A connection for POSTs lives for long, and its token for less.
#[tokio::test]
async fn a_token_that_is_renewed_is_used_on_a_connection_that_stands() {
    let server = Mock::start_http().await;
    let token = NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "first\n").unwrap();
    let file = format!("{{ X-Token = \"{}\" }}", token.path().display());
    let gateway = Gateway::builder()
        .server(&server.url(), Mode::Http(1))
        .server_key("headers_from_file", &file)
        .server_key("poll_interval", "\"500ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    std::fs::write(token.path(), "second\n").unwrap();
    let renewed =
        |state: &State| state.heads.last().is_some_and(|head| head["x-token"] == "second");
    server.wait("a poll with the second token", renewed).await;
    assert_eq!(server.with(|state| state.dials.len()), 1);
}

#[tokio::test]
async fn a_token_that_is_gone_is_named() {
    let server = Mock::start().await;
    let token = NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "first\n").unwrap();
    let file = format!("{{ X-Token = \"{}\" }}", token.path().display());
    let mut gateway = before(&server).server_key("headers_from_file", &file).start().await;
    std::fs::remove_file(token.path()).unwrap();
    server.cut();
    let failed = [("server", "a"), ("result", "failed")];
    gateway.wait_metric("seawall_upstream_dials_total", &failed, |dials| dials >= 1.0).await;
    let told = format!("a file that the dial needs: {}", token.path().display());
    assert!(gateway.process().log().count(&told) > 0);
}

#[tokio::test]
async fn an_authority_that_is_renewed_is_trusted_from_the_next_dial_on() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let server = Mock::start_tls(right.acceptor()).await;
    let mut gateway = wrong.trusted_by(before(&server)).start_unready().await;
    let failed = [("server", "a"), ("result", "failed")];
    gateway.wait_metric("seawall_upstream_dials_total", &failed, |dials| dials >= 1.0).await;
    // Both have one name.
    assert!(gateway.process().log().count("is ca_file outdated?") > 0);
    std::fs::write(wrong.path(), std::fs::read(right.path()).unwrap()).unwrap();
    gateway.wait_ready().await;
}

/// What an authority's own certificate lacks as a server's is said, and what is said helps.
#[tokio::test]
async fn an_authoritys_own_certificate_is_explained() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    for (is_ca, accepted) in
        [(IsCa::Ca(BasicConstraints::Unconstrained), false), (IsCa::ExplicitNoCa, true)]
    {
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        let server = Mock::start_tls(acceptor(certificate.der().clone(), &key)).await;
        let path = format!("\"{}\"", file.path().display());
        let mut gateway = before(&server).server_key("ca_file", &path).start_unready().await;
        if accepted {
            gateway.wait_ready().await;
            continue;
        }
        let failed = [("server", "a"), ("result", "failed")];
        gateway.wait_metric("seawall_upstream_dials_total", &failed, |dials| dials >= 1.0).await;
        assert!(gateway.process().log().count("basicConstraints CA:FALSE") > 0);
    }
}
