//! Agents that take too long, or are gone in silence.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::requests::{PATH, raw};
use crate::support::PATIENCE;
use crate::support::message::{full_report, uid};
use crate::support::socket::{Got, PING, PONG, Socket, frame};
use crate::{CLOSED, REFUSED, World};

#[tokio::test]
async fn a_head_that_does_not_end_is_refused() {
    let world = World::with(|gateway| gateway.set("edge", "head_timeout", "\"150ms\"")).await;
    let answer = raw(&world, b"GET /v1/opamp HTTP/1.1\r\nHost: sea").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    world.counts(REFUSED, ("reason", "header_timeout"), 1).await;
    world.counts(CLOSED, ("reason", "head_timeout"), 1).await;
}

#[tokio::test]
async fn a_body_or_message_that_does_not_end_is_refused() {
    let world = World::with(|gateway| gateway.set("edge", "message_timeout", "\"150ms\"")).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: 100\r\n\r\nten bytes."
    );
    let answer = raw(&world, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    world.counts(REFUSED, ("reason", "body_timeout"), 1).await;

    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.ask(&full_report(&uid(1), 0)).await;
    // A message trickles in; each byte is a sign of life, and still it takes too long.
    let bytes = frame(0x82, true, &[0; 100]);
    let trickle = async {
        for byte in bytes.chunks(1) {
            if agent.raw(byte).await.is_err() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        agent.closed().await
    };
    assert_eq!(tokio::time::timeout(PATIENCE, trickle).await.unwrap(), Some(1008));
    world.counts(CLOSED, ("reason", "message_timeout"), 1).await;
    world.gateway.wait_metric("seawall_edge_buffered_bytes", &[], |bytes| bytes == 0.0).await;
}

#[tokio::test]
async fn an_idle_http_connection_is_closed() {
    let world = World::with(|gateway| gateway.set("edge", "http_idle_timeout", "\"150ms\"")).await;
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let request = b"POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the edge closes").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 415 "));
    world.counts(CLOSED, ("reason", "http_idle"), 1).await;
}

#[tokio::test]
async fn silence_is_pinged_and_a_dead_peer_is_closed() {
    let world = World::with(|gateway| {
        gateway.set("edge", "ping_interval", "\"200ms\"").set("edge", "ping_timeout", "\"3s\"")
    })
    .await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.ask(&full_report(&uid(1), 0)).await;
    // One that answers stays, for longer than both times together. A slow machine has three seconds for
    // each answer.
    for _ in 0..18 {
        let Got::Ping(payload) = agent.next().await else { panic!("a ping") };
        agent.frame(PONG, &payload).await;
    }
    // The agent's own pings are signs of life as well, and answered. This is the last of them.
    let since = seawall::clock::now();
    agent.frame(PING, b"alive?").await;
    loop {
        match agent.next().await {
            Got::Pong(payload) => break assert_eq!(payload, b"alive?"),
            Got::Ping(payload) => agent.frame(PONG, &payload).await,
            other => panic!("{other:?}"),
        }
    }
    // Now it is silent.
    while agent.next().await != Got::End {}
    let lasted = seawall::clock::now() - since;
    assert!(lasted >= std::time::Duration::from_millis(3_150), "{lasted:?}");
    world.counts(CLOSED, ("reason", "ping_timeout"), 1).await;
    let pings = world.gateway.metrics().await.sum("seawall_edge_sent_pings_total", &[]);
    assert!(pings >= 19.0, "{pings} pings");
    world.gateway.wait_metric("seawall_sessions", &[("state", "absent")], |n| n == 1.0).await;
}
