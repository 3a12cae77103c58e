//! Sizes: of heads, of bodies, plain and compressed.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message as _;
use seawall::opamp::proto::{AgentConfigFile, AgentConfigMap, AgentRemoteConfig, ServerToAgent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::requests::{PATH, error_of, post, raw};
use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::message::{config, full_report, heartbeat, uid};
use crate::support::socket::{Socket, frame};
use crate::{REFUSED, REJECTED, World};

const BYTES_MAX: usize = 64 << 10;

async fn small_world() -> World {
    World::with(|gateway| gateway.set("edge", "message_bytes_max", "\"64KiB\"")).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_length_before_it_is_sent() {
    let world = small_world().await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: 1000000000\r\n\r\n"
    );
    // The body stays unsent.
    let answer = raw(&world, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("larger than 65536 bytes"), "{answer}");
    world.counts(REFUSED, ("reason", "too_large"), 1).await;
    world.counts(REJECTED, ("fault", "too_big"), 1).await;
}

/// One message of 64 KiB fits, and no second one beside it.
async fn crowded_world() -> World {
    World::with(|gateway| {
        let gateway = gateway.set("edge", "message_bytes_max", "\"64KiB\"");
        gateway.set("edge", "buffered_bytes_max", "\"96KiB\"")
    })
    .await
}

/// Bodies that are on their way count as what they are: memory.
#[tokio::test]
async fn bodies_under_way_are_bounded_for_all_agents_together() {
    let world = crowded_world().await;
    let mut slow = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: 65536\r\n\r\n"
    );
    slow.write_all(&[head.as_bytes(), &[7; 60 << 10]].concat()).await.unwrap();
    let held = |bytes: f64| bytes >= f64::from(60 << 10);
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], held).await;
    // 503 with Retry-After: the agent keeps its message and comes again.
    let answer = post(&world, &[], &[7; 60 << 10]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("30")));
    world.counts(REFUSED, ("reason", "overloaded"), 1).await;
    drop(slow);
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], |bytes| bytes == 0.0).await;
    let report = full_report(&uid(1), 0).encode_to_vec();
    assert_eq!(post(&world, &[], &report).await.status, 200);
}

/// An agent that is refused while memory is short may go on sending: nothing of that is stored.
#[tokio::test]
async fn messages_under_way_are_bounded_for_all_agents_together() {
    let world = crowded_world().await;
    let unfinished = &frame(0x02, true, &[7; 60 << 10])[..59 << 10];
    let held = |bytes: f64| (f64::from(59 << 10)..f64::from(96 << 10)).contains(&bytes);
    let mut first = Socket::open(world.gateway.edge()).await;
    first.raw(unfinished).await.unwrap();
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], held).await;
    let mut refused = Socket::open(world.gateway.edge()).await;
    refused.raw(unfinished).await.unwrap();
    assert_eq!(refused.closed().await, Some(1013));
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], held).await;
    drop(first);
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], |bytes| bytes < 1024.0).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_answer_arrives() {
    let world = small_world().await;
    let answer = post(&world, &[], &vec![7; 128 * BYTES_MAX]).await;
    assert_eq!(answer.status, 413);
    assert!(error_of(&answer).error_message.contains("larger than 65536 bytes"));

    // The same with the length left open.
    let mut body = format!(
        "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..40 {
        body.extend_from_slice(b"2000\r\n");
        body.extend_from_slice(&[7; 0x2000]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let answer = raw_until_answered(&world, &body).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    world.counts(REFUSED, ("reason", "too_large"), 2).await;
}

/// Writes as far as the edge takes it, and reads the head of the answer.
async fn raw_until_answered(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let both = async {
        let (_, read) = tokio::join!(writer.write_all(bytes), reader.read_buf(&mut answer));
        read.expect("an answer");
    };
    tokio::time::timeout(PATIENCE, both).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_chunked_body_is_taken() {
    let world = small_world().await;
    let report = full_report(&uid(1), 0).encode_to_vec();
    let mut bytes = format!(
        "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        report.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&report);
    bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = raw(&world, &bytes).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    world.server.wait("the report", |state| state.knows(&full_report(&uid(1), 0))).await;
}

#[tokio::test]
async fn gzip_is_taken_up_to_the_limit_and_named_otherwise() {
    let world = World::with(|gateway| gateway.set("edge", "message_bytes_max", "\"3MiB\"")).await;
    let zipped = ("Content-Encoding", "gzip");
    // What is generated may become a fifth of a percent of its size.
    let mut report = full_report(&uid(1), 0);
    report.effective_config = Some(config(&b"      action: keep\n".repeat(100 << 10)));
    let small = gzip(&report.encode_to_vec());
    assert!(small.len() * 200 < report.encoded_len());
    assert_eq!(post(&world, &[zipped], &small).await.status, 200);
    world.server.wait("the report", |state| state.knows(&report)).await;

    let mut bomb = heartbeat(&uid(2), 0);
    bomb.effective_config = Some(config(&vec![b' '; 4 << 20]));
    let answer = post(&world, &[zipped], &gzip(&bomb.encode_to_vec())).await;
    assert_eq!(answer.status, 413);
    assert!(error_of(&answer).error_message.contains("larger than 3145728 bytes"));
    world.counts(REFUSED, ("reason", "too_large"), 1).await;

    let answer = post(&world, &[zipped], b"not gzip").await;
    assert_eq!(answer.status, 400);
    assert!(error_of(&answer).error_message.contains("not valid gzip"));
    world.counts(REJECTED, ("fault", "gzip"), 1).await;
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], |bytes| bytes == 0.0).await;
}

#[tokio::test]
async fn a_reply_is_compressed_for_those_who_accept_it() {
    let world = World::start().await;
    let uid = uid(1);
    assert_eq!(post(&world, &[], &full_report(&uid, 0).encode_to_vec()).await.status, 200);
    for (number, accept) in [(1, "gzip, deflate"), (2, "identity"), (3, "gzip;q=0"), (4, "*")] {
        let offer = offer(&uid);
        world.server.push(&offer).await;
        let path = format!("/sessions/{}", seawall::ident::InstanceUid::from_wire(&uid).unwrap());
        // It waits for the poll.
        stored(&world, &path).await;
        let body = heartbeat(&uid, number).encode_to_vec();
        let answer = post(&world, &[("Accept-Encoding", accept)], &body).await;
        assert_eq!(answer.status, 200);
        let zipped = answer.header("content-encoding") == Some("gzip");
        assert_eq!(zipped, number == 1 || number == 4, "{accept}: {answer:?}");
        let mut message = answer.body.clone();
        if zipped {
            message.clear();
            GzDecoder::new(&*answer.body).read_to_end(&mut message).unwrap();
            assert!(answer.body.len() < message.len() / 2);
        }
        let message = ServerToAgent::decode(&*message).unwrap();
        assert_eq!(message.remote_config, offer.remote_config);
    }
}

/// Waits until something waits for the agent.
async fn stored(world: &World, path: &str) {
    let waiting = async {
        loop {
            let view: serde_json::Value =
                serde_json::from_str(&world.gateway.get(path).await.text()).unwrap();
            if view["waiting_bytes"].as_u64().unwrap() > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the offer is stored");
}

fn offer(uid: &[u8]) -> ServerToAgent {
    let body = b"exporters: {}\n".repeat(500);
    let file = AgentConfigFile { body, ..AgentConfigFile::default() };
    let config_map = [(String::new(), file)].into_iter().collect();
    let config = Some(AgentConfigMap { config_map });
    ServerToAgent {
        instance_uid: uid.to_vec(),
        remote_config: Some(AgentRemoteConfig { config, config_hash: b"hash".to_vec() }),
        ..ServerToAgent::default()
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_and_the_answer_arrives() {
    let world = World::with(|gateway| gateway.set("edge", "head_bytes_max", "\"16KiB\"")).await;
    let value = "x".repeat(20 << 10);
    for method in ["GET", "POST"] {
        let answer = request(world.gateway.edge(), method, PATH, &[("X-Long", &value)], &[]).await;
        assert_eq!(answer.expect("an answer").status, 431);
    }
    // One that goes on for ever, and is far longer than what is read at once.
    let endless = format!("GET {PATH} HTTP/1.1\r\nX-Long: {}", "x".repeat(1 << 20));
    let answer = raw_until_answered(&world, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    world.counts(REFUSED, ("reason", "head_too_large"), 3).await;
}
