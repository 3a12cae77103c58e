//! Request heads as proxies and seldom clients write them: what HTTP's RFCs demand of a server, and what they leave open.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::requests::{PATH, post, raw, read_answer};
use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::message::{full_report, heartbeat, uid};
use crate::support::mock::state::Reply;
use crate::support::socket::UPGRADE;
use crate::{REFUSED, World};

/// A POST as bytes, with these lines instead of `Host`.
fn post_with(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n{lines}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// RFC 9112, section 3.2.
#[tokio::test]
async fn a_request_names_one_host() {
    let world = World::start().await;
    let report = full_report(&uid(1), 0).encode_to_vec();
    let faults = ["", "Host: a\r\nHost: b\r\n", "Host: a b\r\n", "Host: a/b\r\n"];
    for lines in faults {
        let answer = raw(&world, &post_with(lines, &report)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("the header Host is "), "{answer}");
        let upgrade = UPGRADE.replace("Host: seawall\r\n", lines);
        let answer = raw(&world, upgrade.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    // One that comes later on a connection that is admitted.
    let first = post_with("Host: a\r\n", &report);
    let second = post_with("Connection: close\r\n", &heartbeat(&uid(1), 1).encode_to_vec());
    let answers = raw(&world, &[first, second].concat()).await;
    assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("HTTP/1.1 400 "), "{answers}");
    world.counts(REFUSED, ("reason", "bad_request"), 9).await;
    // HTTP/1.0 knew no Host.
    let old = String::from_utf8_lossy(&post_with("", b"!")).replace("HTTP/1.1", "HTTP/1.0");
    assert!(raw(&world, old.as_bytes()).await.contains("not an AgentToServer"));
}

#[tokio::test]
async fn a_client_that_ends_its_side_is_answered() {
    let world = World::start().await;
    world.server.behave(|behaviour| behaviour.reply = Reply::Late(PATIENCE));
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let report = full_report(&uid(1), 0).encode_to_vec();
    stream.write_all(&post_with("Host: a\r\n", &report)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the edge closes").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_transfer_coding_beside_chunks_is_not_implemented() {
    let world = World::start().await;
    let head = |codings: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: \
             application/x-protobuf\r\nTransfer-Encoding: {codings}\r\n\r\n1\r\n!\r\n0\r\n\r\n"
        )
    };
    let answer = raw(&world, head("gzip, chunked").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    assert!(answer.contains("only chunked is known"), "{answer}");
    world.counts(REFUSED, ("reason", "transfer_coding"), 1).await;
    let answer = raw(&world, head("chunked, gzip").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn content_codings_are_a_list_with_two_names_for_gzip() {
    let world = World::start().await;
    let coding = |value| ("Content-Encoding", value);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&full_report(&uid(1), 0).encode_to_vec()).unwrap();
    let zipped = encoder.finish().unwrap();
    for headers in [&[coding("x-gzip")][..], &[coding("identity"), coding("gzip")]] {
        assert_eq!(post(&world, headers, &zipped).await.status, 200, "{headers:?}");
    }
    let plain = full_report(&uid(2), 0).encode_to_vec();
    assert_eq!(post(&world, &[coding("")], &plain).await.status, 200);
    let twice = post(&world, &[coding("gzip"), coding("gzip")], &zipped).await;
    assert_eq!((twice.status, twice.header("accept-encoding")), (415, Some("gzip")));
}

/// Limits of the head: 16 KiB and 128 headers.
#[tokio::test]
async fn a_head_as_long_as_others_take_is_taken() {
    let world = World::start().await;
    let numbered = |count: usize| -> String {
        (0..count)
            .flat_map(|n| ["X-Header-".to_owned(), n.to_string(), ": v\r\n".to_owned()])
            .collect()
    };
    let report = full_report(&uid(1), 0).encode_to_vec();
    for (count, bytes, status) in [(100, 10, "200"), (5, 15_000, "200"), (150, 10, "431")] {
        let (long, many) = ("x".repeat(bytes), numbered(count));
        let lines = format!("Host: a\r\nConnection: close\r\nX: {long}\r\n{many}");
        let answer = raw(&world, &post_with(&lines, &report)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {answer}");
    }
    let upgrade = UPGRADE.replace("Host: seawall\r\n", &format!("Host: a\r\n{}", numbered(100)));
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 101 "));
}

/// The next head that comes.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(read.expect("an answer in time").expect("an answer"));
    }
    String::from_utf8(head).unwrap()
}

/// RFC 9110, section 7.8.
#[tokio::test]
async fn an_upgrade_that_waits_gets_a_100_before_its_101() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let upgrade = UPGRADE.replace("Host", "Expect: 100-continue\r\nHost");
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    assert_eq!(head_of(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 101 "));

    let with_body = UPGRADE.replace("Host", "Content-Length: 1\r\nHost") + "!";
    let answer = raw(&world, with_body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("has no body"), "{answer}");
}

#[tokio::test]
async fn an_answer_says_how_long_its_connection_may_stay_idle() {
    let world = World::with(|gateway| gateway.set("edge", "http_idle_timeout", "\"42s\"")).await;
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let report = full_report(&uid(1), 0).encode_to_vec();
    for (body, status) in [(&report[..], "200"), (b"\x0a\xff", "400"), (&report, "200")] {
        stream.write_all(&post_with("Host: a\r\n", body)).await.unwrap();
        let read = tokio::time::timeout(PATIENCE, read_answer(&mut stream)).await;
        let head = read.expect("an answer in time").0.to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(head.contains("\r\nkeep-alive: timeout=42\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: keep-alive\r\n"), "{head}");
    }
    // One that ends with its answer has no such time.
    let last = raw(&world, &post_with("Host: a\r\nConnection: close\r\n", &report)).await;
    assert!(last.starts_with("HTTP/1.1 200 "), "{last}");
    assert!(!last.to_ascii_lowercase().contains("keep-alive"), "{last}");
    let stranger = raw(&world, b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!stranger.to_ascii_lowercase().contains("keep-alive"), "{stranger}");
}

#[tokio::test]
async fn the_endpoint_may_have_several_paths_encoded_or_not() {
    let paths = "[\"/v1/opamp\", \"/opamp\"]";
    let world = World::with(|gateway| gateway.set("edge", "paths", paths)).await;
    let edge = world.gateway.edge();
    let protobuf = ("Content-Type", "application/x-protobuf");
    let body = full_report(&uid(1), 0).encode_to_vec();
    for (path, status) in [
        ("/v1/opamp", 200),
        ("/opamp", 200),
        ("/v1/%6Fpamp?tenant=a", 200),
        ("/v1%2Fopamp", 404),
        ("/v1/opamp/", 404),
    ] {
        let answer = request(edge, "POST", path, &[protobuf], &body).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    for path in ["/opamp", "/%6fpamp"] {
        let mut stream = TcpStream::connect(edge).await.unwrap();
        stream.write_all(UPGRADE.replace(PATH, path).as_bytes()).await.unwrap();
        assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 101 "), "{path}");
    }
}
