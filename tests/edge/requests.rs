//! Requests over plain HTTP: an agent's messages, and all others.

use prost::Message as _;
use seawall::opamp::proto::{ServerErrorResponse, ServerErrorResponseType, ServerToAgent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::http::{Answer, request};
use crate::support::message::{full_report, heartbeat, uid};
use crate::support::socket::UPGRADE;
use crate::{REFUSED, REJECTED, World};

pub(crate) const PATH: &str = "/v1/opamp";
pub(crate) const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

/// Posts a body as an agent does.
pub(crate) async fn post(world: &World, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: Vec<_> = [PROTOBUF].iter().chain(headers).copied().collect();
    request(world.gateway.edge(), "POST", PATH, &headers, body).await.expect("an answer")
}

/// Writes bytes and reads what comes until the edge closes.
pub(crate) async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the edge closes").expect("and its answer arrives");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The error that an answer carries.
pub(crate) fn error_of(answer: &Answer) -> ServerErrorResponse {
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    let message = ServerToAgent::decode(&*answer.body).expect("a ServerToAgent");
    let error = message.error_response.expect("with an error");
    assert_eq!(error.r#type, i32::from(ServerErrorResponseType::BadRequest));
    error
}

#[tokio::test]
async fn other_paths_methods_and_types() {
    let world = World::start().await;
    let edge = world.gateway.edge();
    for method in ["GET", "POST"] {
        let answer = request(edge, method, "/v1/other", &[PROTOBUF], &[]).await.unwrap();
        assert_eq!(answer.status, 404);
    }
    let upgrade = UPGRADE.replace(PATH, "/elsewhere").replace("Host", "Connection: close\r\nHost");
    assert!(raw(&world, upgrade.as_bytes()).await.starts_with("HTTP/1.1 404 "));
    world.counts(REFUSED, ("reason", "not_found"), 3).await;

    let answer = request(edge, "PUT", PATH, &[PROTOBUF], b"x").await.unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));
    assert!(answer.text().contains("POST"), "{}", answer.text());
    let answer = request(edge, "HEAD", PATH, &[], &[]).await.unwrap();
    assert_eq!((answer.status, answer.header("content-length")), (405, None));
    world.counts(REFUSED, ("reason", "method_not_allowed"), 2).await;

    for headers in [vec![("Content-Type", "application/json")], vec![]] {
        let answer = request(edge, "POST", PATH, &headers, b"{}").await.unwrap();
        assert_eq!(answer.status, 415);
        assert_eq!(answer.header("accept"), Some("application/x-protobuf"));
    }
    let answer = post(&world, &[("Content-Encoding", "zstd")], b"x").await;
    assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("gzip")));
    world.counts(REFUSED, ("reason", "unsupported_media_type"), 3).await;
}

#[tokio::test]
async fn a_get_that_is_no_upgrade() {
    let world = World::start().await;
    let answer = request(world.gateway.edge(), "GET", PATH, &[], &[]).await.unwrap();
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(error_of(&answer).error_message.contains("does not ask for a WebSocket"));

    let old =
        UPGRADE.replace("Version: 13", "Version: 8").replace("Upgrade\r\n", "Upgrade, close\r\n");
    let answer = raw(&world, old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{answer}");
    world.counts(REFUSED, ("reason", "upgrade_required"), 2).await;

    let keyless = UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short");
    let keyless = keyless.replace("Upgrade\r\n", "Upgrade, close\r\n");
    let answer = raw(&world, keyless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    world.counts(REFUSED, ("reason", "bad_request"), 1).await;
}

#[tokio::test]
async fn bytes_that_are_not_http() {
    let world = World::start().await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"HELO seawall\r\n\r\n"] {
        let answer = raw(&world, bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    world.counts(REFUSED, ("reason", "bad_request"), 2).await;
}

#[tokio::test]
async fn bodies_that_are_not_opamp() {
    let world = World::start().await;
    let answer = post(&world, &[], b"\x0a\xff").await;
    assert_eq!(answer.status, 400);
    assert!(error_of(&answer).error_message.contains("not an AgentToServer"));
    world.counts(REJECTED, ("fault", "scan"), 1).await;

    for (uid, words) in [(&b""[..], "missing"), (&[1; 15], "15 bytes"), (&[b'u'; 26], "ULID")] {
        let answer = post(&world, &[], &heartbeat(uid, 0).encode_to_vec()).await;
        assert_eq!(answer.status, 400);
        let error = error_of(&answer).error_message;
        assert!(error.contains("instance_uid") && error.contains(words), "{error}");
    }
    world.counts(REJECTED, ("fault", "uid"), 3).await;
    world.counts(REFUSED, ("reason", "bad_request"), 4).await;
}

/// Many requests on one connection, each with the server's own reply.
#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let uid = uid(1);
    for number in 0..5 {
        let report = if number == 0 { full_report(&uid, 0) } else { heartbeat(&uid, number) };
        let body = report.encode_to_vec();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let (head, body) = tokio::time::timeout(PATIENCE, read_answer(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let reply = ServerToAgent::decode(&*body).unwrap();
        assert_eq!(reply.instance_uid, uid);
        assert_eq!(reply.capabilities != 0, number == 0, "the first reply greets");
    }
    // The server got each once: one report; heartbeats within the interval stay here.
    assert_eq!(world.server.with(|state| state.received.len()), 1);
    world.total("seawall_edge_accepted_connections_total", 1).await;
}

/// Reads one answer with a Content-Length.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}
