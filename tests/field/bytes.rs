//! Bytes and their bounds: what is acknowledged arrives, slow peers are waited for, and room for some is not taken from
//! others.

use std::time::Duration;

use prost::Message as _;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentRemoteConfig, AgentToServer, CustomMessage, ServerToAgent,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::support::PATIENCE;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::message::{full_report, heartbeat, uid, with_header};
use crate::support::mock::Mock;
use crate::support::mock::state::State;
use crate::support::socket::{BINARY, Got, Socket, frame};

const OUTBOX: &str = "seawall_outbox_bytes";
const CLOSED: &str = "seawall_edge_closed_connections_total";
const DROPPED: &str = "seawall_dropped_offers_total";

async fn start(configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> (Mock, Gateway) {
    let server = Mock::start().await;
    let builder = Gateway::builder().server(&server.url(), Mode::Multiplexed(1));
    let gateway = configure(builder).start().await;
    (server, gateway)
}

/// A configuration of this many bytes that compress badly enough.
fn offer(uid: &[u8], bytes: usize) -> ServerToAgent {
    let body: Vec<u8> = (0..bytes).map(|place| (place * place / 251).to_le_bytes()[0]).collect();
    let file = AgentConfigFile { body, content_type: String::new() };
    let config = AgentConfigMap { config_map: [("c".to_owned(), file)].into() };
    let config = AgentRemoteConfig { config: Some(config), config_hash: vec![1] };
    ServerToAgent {
        instance_uid: uid.to_vec(),
        remote_config: Some(config),
        ..ServerToAgent::default()
    }
}

fn custom(uid: &[u8], number: u64) -> AgentToServer {
    let message = CustomMessage {
        capability: "c".to_owned(),
        r#type: "t".to_owned(),
        data: number.to_be_bytes().to_vec(),
    };
    AgentToServer { custom_message: Some(message), ..heartbeat(uid, number) }
}

/// Data of the custom messages of this agent, in the order in which the server had them.
fn arrived(state: &State, uid: &[u8]) -> Vec<Vec<u8>> {
    let of_agent = state.received.iter().filter(|(_, message)| message.instance_uid == uid);
    of_agent
        .filter_map(|(_, message)| Some(message.custom_message.as_ref()?.data.clone()))
        .collect()
}

/// What an agent says whose custom messages have these numbers.
fn data(count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(|number| number.to_be_bytes().to_vec()).collect()
}

/// A gateway's connection: its agents speak in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_messages_of_several_agents_at_once_all_arrive() {
    const COUNT: u64 = 150;
    let (server, gateway) = start(|gateway| gateway).await;
    let agents = [uid(1), uid(2)];
    let mut carrier = Socket::open(gateway.edge()).await;
    for uid in &agents {
        carrier.ask(&full_report(uid, 0)).await;
    }
    let mut burst = Vec::new();
    for number in 1..=COUNT {
        for uid in &agents {
            burst.extend(frame(BINARY, true, &with_header(&custom(uid, number))));
        }
    }
    carrier.raw(&burst).await.unwrap();
    for number in 1..=2 * COUNT {
        let reply = carrier.reply().await;
        assert_eq!(reply.error_response, None, "{number}");
    }
    let has_all =
        |state: &State| agents.iter().all(|uid| arrived(state, uid).len() as u64 >= COUNT);
    server.wait("all custom messages", has_all).await;
    for uid in &agents {
        assert_eq!(server.with(|state| arrived(state, uid)), data(COUNT));
    }
}

/// A snapshot in pieces, to a quick and idle server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_messages_at_once_all_arrive() {
    const COUNT: u64 = 300;
    let (server, gateway) = start(|gateway| gateway).await;
    let uid = uid(1);
    let mut agent = Socket::open(gateway.edge()).await;
    agent.ask(&full_report(&uid, 0)).await;
    let mut burst = Vec::new();
    for number in 1..=COUNT {
        burst.extend(frame(BINARY, true, &with_header(&custom(&uid, number))));
    }
    agent.raw(&burst).await.unwrap();
    for number in 1..=COUNT {
        let reply = agent.reply().await;
        assert_eq!(reply.error_response, None, "{number}");
    }
    server.wait("all custom messages", |state| arrived(state, &uid).len() as u64 >= COUNT).await;
    assert_eq!(server.with(|state| arrived(state, &uid)), data(COUNT), "in their order, once each");
}

/// Many agents have left with an offer each, which fill what may wait. Others are there and read at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_for_absent_agents_cost_present_ones_nothing() {
    const ABSENT: u16 = 30;
    let (server, gateway) = start(|it| {
        it.set("sessions", "outbox_total_bytes_max", "\"2MiB\"").set(
            "upstream",
            "message_bytes_max",
            "\"1MiB\"",
        )
    })
    .await;
    for n in 0..ABSENT {
        let mut agent = Socket::open(gateway.edge()).await;
        agent.ask(&full_report(&uid(n), 0)).await;
    }
    gateway.wait_metric("seawall_sessions", &[("state", "absent")], |value| value >= 30.0).await;
    for n in 0..ABSENT {
        server.push(&offer(&uid(n), 100 << 10)).await;
    }
    gateway.wait_metric(OUTBOX, &[], |value| value > 1_900_000.0).await;
    let (id, mut number) = (uid(500), 0);
    let mut agent = Socket::open(gateway.edge()).await;
    agent.ask(&full_report(&id, number)).await;
    for _ in 0..5 {
        server.push(&offer(&id, 300 << 10)).await;
        let got = tokio::time::timeout(PATIENCE, agent.next_ever()).await.expect("in time");
        assert!(matches!(got, Got::Message(bytes) if bytes.len() > 300 << 10), "an offer");
        number += 1;
        agent.ask(&heartbeat(&id, number)).await;
    }
    gateway.wait_metric(DROPPED, &[("reason", "evicted")], |value| value >= 3.0).await;
    let closed = gateway.metrics().await.sum(CLOSED, &[("reason", "slow_reader")]);
    assert_eq!(closed, 0.0);
}

/// Answers over plain HTTP that their agents leave unread are counted until their sockets have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_counted() {
    const AGENTS: u16 = 3;
    const BYTES: usize = 6 << 20;
    let (server, gateway) = start(|gateway| gateway).await;
    let mut held = Vec::new();
    for n in 0..AGENTS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut stream = socket.connect(gateway.edge()).await.unwrap();
        for number in 0..2 {
            let body = full_report(&uid(n), number).encode_to_vec();
            let head = format!(
                "POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\n\
                 Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            if number == 0 {
                let mut answer = vec![0; 4 << 10];
                let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
                assert!(read.unwrap().unwrap() > 12 && answer.starts_with(b"HTTP/1.1 200"));
                server.push(&offer(&uid(n), BYTES)).await;
                let stored = f64::from(n + 1);
                gateway.wait_metric("seawall_stored_offers_total", &[], |it| it >= stored).await;
            }
        }
        held.push(stream);
    }
    // All are written, as far as their agents read.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = gateway.metrics().await.sum(OUTBOX, &[]);
    assert!(waiting >= f64::from(AGENTS) * f64::from(6 << 20), "{waiting}");
    drop(held);
    gateway.wait_metric(OUTBOX, &[], |value| value == 0.0).await;
}
