//! A node that goes away while another is there: its agents move, paced, and their server keeps them all.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod support;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use prost::Message as _;
use rustix::process::Signal;
use seawall::clock;
use seawall::opamp::proto::{AgentDisconnect, AgentToServer};
use support::PATIENCE;
use support::agent::Agent;
use support::gateway::{Gateway, GatewayBuilder, Mode};
use support::http;
use support::message::{full_report, heartbeat, uid};
use support::mock::Mock;
use support::mock::state::Reply;
use support::socket::{Got, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than the grace period of both nodes: a session that it could end would have ended.
const GRACE: Duration = Duration::from_millis(200);

/// Two nodes before one server.
struct World {
    server: Mock,
    first: Gateway,
    second: Gateway,
}

impl World {
    async fn with(configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let server = Mock::start().await;
        let builder = || {
            let gateway = Gateway::builder().server(&server.url(), Mode::Multiplexed(1));
            gateway.set("sessions", "grace_period", "\"200ms\"").set("drain", "notice", "\"100ms\"")
        };
        let first = configure(builder()).start().await;
        let second = builder().start().await;
        Self { server, first, second }
    }

    async fn drain(&self) {
        let answer = http::request(self.first.admin(), "POST", "/drain", &[], &[]).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(!self.first.ready().await, "readiness comes first");
    }

    async fn reaches(&self, phase: &str) {
        let labels = [("phase", phase)];
        self.first.wait_metric("seawall_drain_phase", &labels, |value| value == 1.0).await;
    }

    /// Connects agents to the first node.
    async fn fill(&self, count: u16) -> Vec<Agent> {
        let agents = (0..count).map(|n| Agent::connect(self.first.edge(), uid(n)));
        let agents = join_all(agents).await;
        self.server.converged(&agents.iter().collect::<Vec<_>>()).await;
        agents
    }

    /// Waits for each agent's Close, then connects it to the second node. Returns when it happened.
    async fn move_over(&self, agents: Vec<Agent>) -> (Vec<Agent>, Vec<Instant>) {
        let moving = agents.into_iter().map(|agent| async move {
            agent.wait(|seen| seen.ended.is_some()).await;
            let at = clock::now();
            agent.wait(|seen| seen.ended == Some(Some(1001))).await;
            let moved = Agent::connect(self.second.edge(), agent.uid().to_vec()).await;
            moved.set_health("moved").await;
            (moved, at)
        });
        join_all(moving).await.into_iter().unzip()
    }

    fn no_agent_left(&self) {
        assert!(self.server.with(|state| state.left.is_empty()), "the server was told of a leave");
    }
}

#[tokio::test]
async fn drained_agents_move_paced_and_no_server_hears_of_it() {
    let mut world = World::with(|gateway| gateway.set("drain", "rate", "20")).await;
    let agents = world.fill(30).await;
    let begun = clock::now();
    world.drain().await;
    let (moved, mut at) = world.move_over(agents).await;
    world.server.converged(&moved.iter().collect::<Vec<_>>()).await;
    at.sort();
    // The notice, and 29 intervals of 50 ms less one that a burst may save: nothing makes them shorter.
    assert!(at[29] - begun > Duration::from_millis(1_400), "{:?}", at[29] - begun);
    world.reaches("drained").await;
    // The grace period of a moved agent ends in silence.
    tokio::time::sleep(GRACE * 3).await;
    world.no_agent_left();
    assert_eq!(
        world.second.metrics().await.sum("seawall_sessions", &[("state", "connected")]),
        30.0
    );
    let ended = [("reason", "moved")];
    assert_eq!(world.first.metrics().await.sum("seawall_ended_sessions_total", &ended), 30.0);
    let answer = world.first.get("/drain").await.text();
    assert!(answer.contains("\"phase\":\"drained\",\"left\":0,\"rate\":20"), "{answer}");
    assert!(TcpStream::connect(world.first.edge()).await.is_err(), "connections are refused");
    // It stays until it is stopped, and then its drain is still the same.
    assert!(!world.first.ready().await);
    world.first.process().signal(Signal::TERM);
    assert_eq!(world.first.process().exited(PATIENCE).await.code(), Some(0));
    world.no_agent_left();
}

#[tokio::test]
async fn a_signal_drains_and_what_agents_said_is_heard_first() {
    // Long enough for a slow machine to say goodbye in it, and shorter than the server's silence.
    let configure = |gateway: GatewayBuilder| gateway.set("drain", "notice", "\"3s\"");
    let mut world = World::with(configure).await;
    let agents = world.fill(5).await;
    let leaver = Socket::open(world.first.edge()).await;
    let late = Duration::from_millis(4_500);
    world.server.behave(|behaviour| behaviour.reply = Reply::Late(late));
    let asked = clock::now();
    for (n, agent) in agents.iter().enumerate() {
        agent.set_health(&format!("last words {n}")).await;
    }
    let truths: Vec<AgentToServer> = agents.iter().map(Agent::truth).collect();
    world.first.process().signal(Signal::TERM);
    let ((moved, at), ()) = tokio::join!(world.move_over(agents), says_goodbye(leaver));
    assert!(at.iter().all(|at| *at - asked > late), "before their answers");
    assert_eq!(world.first.process().exited(PATIENCE).await.code(), Some(0));
    world.server.converged(&moved.iter().collect::<Vec<_>>()).await;
    let heard = |truth: &AgentToServer| {
        world.server.with(|state| {
            let mut received = state.received.iter().map(|(_, message)| message);
            received.any(|message| message.health.is_some() && message.health == truth.health)
        })
    };
    assert!(truths.iter().all(heard), "a report was lost");
    let left = world.server.with(|state| state.left.clone());
    assert_eq!(left, [uid(99)], "a goodbye is passed on");
}

/// An agent that is stopped while its node drains.
async fn says_goodbye(mut agent: Socket) {
    agent.send(&full_report(&uid(99), 0)).await;
    let goodbye = AgentToServer {
        agent_disconnect: Some(AgentDisconnect::default()),
        ..heartbeat(&uid(99), 1)
    };
    agent.send(&goodbye).await;
    while agent.next().await != Got::End {}
}

#[tokio::test]
async fn a_plain_http_agent_is_told_with_its_next_answer() {
    let world = World::with(|gateway| gateway).await;
    let mut stream = TcpStream::connect(world.first.edge()).await.unwrap();
    let head = post(&mut stream, &full_report(&uid(1), 0)).await;
    assert!(!head.contains("connection: close"), "{head}");
    world.drain().await;
    world.reaches("closing").await;
    let head = post(&mut stream, &heartbeat(&uid(1), 1)).await;
    assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: close"), "{head}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
    drop(stream);
    world.reaches("drained").await;
    let mut stream = TcpStream::connect(world.second.edge()).await.unwrap();
    post(&mut stream, &heartbeat(&uid(1), 2)).await;
    world.no_agent_left();
    let closed = [("reason", "drain")];
    world.first.wait_metric("seawall_edge_closed_connections_total", &closed, |n| n == 1.0).await;
}

#[tokio::test]
async fn a_connection_whose_agent_is_unknown_is_closed_too() {
    // One goes at once, the other when there is a place for it.
    let world = World::with(|gateway| gateway.set("drain", "rate", "2")).await;
    let mut silent =
        [Socket::open(world.first.edge()).await, Socket::open(world.first.edge()).await];
    world.drain().await;
    for socket in &mut silent {
        assert_eq!(socket.next().await, Got::Close(Some(1001)));
    }
    drop(silent);
    world.reaches("drained").await;
}

#[tokio::test]
async fn when_time_is_up_all_that_is_left_is_closed() {
    let configure = |gateway: GatewayBuilder| {
        gateway.set("drain", "rate", "1").set("drain", "time_max", "\"300ms\"")
    };
    let world = World::with(configure).await;
    let agents = world.fill(40).await;
    // It would stay for as long as the edge lets it.
    let mut stream = TcpStream::connect(world.first.edge()).await.unwrap();
    post(&mut stream, &full_report(&uid(50), 0)).await;
    // And one that has yet to say all: its agent keeps the message.
    let mut partly = TcpStream::connect(world.first.edge()).await.unwrap();
    let head = "POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\n\
        Content-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nx";
    partly.write_all(head.as_bytes()).await.unwrap();
    world.drain().await;
    let (moved, at) = world.move_over(agents).await;
    let mut answer = String::new();
    partly.read_to_string(&mut answer).await.unwrap();
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
    let took = *at.iter().max().unwrap() - *at.iter().min().unwrap();
    assert!(took < Duration::from_secs(15), "40 at one a second took {took:?}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
    drop(stream);
    world.reaches("drained").await;
    world.server.converged(&moved.iter().collect::<Vec<_>>()).await;
    world.no_agent_left();
}

/// One message over a connection that is kept; returns the answer's head in small letters.
async fn post(stream: &mut TcpStream, message: &AgentToServer) -> String {
    let body = message.encode_to_vec();
    let head = format!(
        "POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(byte.expect("an answer in time").unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").unwrap();
    let length = rest.split("\r\n").next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    head
}
