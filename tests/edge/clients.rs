//! Kinds of clients at admission: over plain HTTP agents owe entries, not connections; each kind waits for no longer than
//! it bears, and is told to come again, and sent away, in the form that it obeys.

use std::time::Duration;

use prost::Message as _;
use seawall::clock;
use seawall::opamp::proto::server_error_response::Details;
use seawall::opamp::proto::{AgentToServer, ServerErrorResponseType, ServerToAgent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::World;
use crate::admission::{OUTCOMES, answer, one_a_second};
use crate::requests::{PATH, PROTOBUF, post};
use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::message::{from_payload, full_report, heartbeat, uid};
use crate::support::mock::state::Reply;
use crate::support::socket::{Got, Socket, UPGRADE};

const JAVA: (&str, &str) = ("User-Agent", "okhttp/5.1.0");
const PYTHON: (&str, &str) = ("User-Agent", "OTel-OpAMP-Python/0.5b0");

/// A request as bytes, for a connection that goes on.
fn posted(message: &AgentToServer, headers: &str) -> (String, Vec<u8>) {
    let body = message.encode_to_vec();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\n{}: {}\r\n{headers}Content-Length: {}\r\n\r\n",
        PROTOBUF.0,
        PROTOBUF.1,
        body.len()
    );
    (head, body)
}

/// The status of the answer, which is read to its end.
async fn status(stream: &mut TcpStream) -> u16 {
    let head = answer(stream).await.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn exchange(stream: &mut TcpStream, message: &AgentToServer, headers: &str) -> u16 {
    let (head, body) = posted(message, headers);
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    status(stream).await
}

fn named(agent: u16) -> String {
    let name: String = uid(agent).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("OpAMP-Instance-UID: {name}\r\n")
}

/// How long it is told to stay away, by a message.
fn told(message: &ServerToAgent) -> Duration {
    let error = message.error_response.as_ref().expect("an error");
    assert_eq!(error.r#type, i32::from(ServerErrorResponseType::Unavailable));
    let Some(Details::RetryInfo(retry)) = &error.details else { panic!("{error:?}") };
    Duration::from_nanos(retry.retry_after_nanoseconds)
}

async fn connected(world: &World) -> TcpStream {
    TcpStream::connect(world.gateway.edge()).await.unwrap()
}

#[tokio::test]
async fn an_agent_that_dials_for_each_poll_pays_once() {
    let world = one_a_second(&[("park_horizon", "\"0s\"")]).await;
    let first = full_report(&uid(1), 0).encode_to_vec();
    assert_eq!(post(&world, &[], &first).await.status, 200);
    for number in 1..6 {
        let body = heartbeat(&uid(1), number).encode_to_vec();
        assert_eq!(post(&world, &[], &body).await.status, 200, "number {number}");
    }
    // The body in a packet of its own, as many clients send it, and in chunks.
    let mut apart = connected(&world).await;
    let (head, body) = posted(&heartbeat(&uid(1), 6), "");
    apart.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    apart.write_all(&body).await.unwrap();
    assert_eq!(status(&mut apart).await, 200);
    let mut chunked = connected(&world).await;
    let body = heartbeat(&uid(1), 7).encode_to_vec();
    let head =
        head.replace(&format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked");
    let chunks =
        [format!("{head}{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    chunked.write_all(&chunks).await.unwrap();
    assert_eq!(status(&mut chunked).await, 200);
    world.outcome("admitted", 1).await;
    world.outcome("passed_session", 7).await;
}

/// As a balancer's pool brings them.
#[tokio::test]
async fn many_agents_on_one_connection_each_owe_an_entry() {
    let world = one_a_second(&[]).await;
    let began = clock::now();
    let mut pool = connected(&world).await;
    for agent in 1..=4 {
        assert_eq!(exchange(&mut pool, &full_report(&uid(agent), 0), "").await, 200);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_900), "four in {took:?}");
    // From here on they owe nothing, on whichever connection.
    let began = clock::now();
    let mut other = connected(&world).await;
    for agent in 1..=4 {
        assert_eq!(exchange(&mut pool, &heartbeat(&uid(agent), 1), "").await, 200);
        assert_eq!(exchange(&mut other, &heartbeat(&uid(agent), 2), "").await, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let metrics = world.gateway.metrics().await;
    let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
    assert_eq!(of("admitted") + of("admitted_from_park"), 4.0);
}

#[tokio::test]
async fn a_new_agent_is_told_to_come_again_and_the_others_connection_stays() {
    let world = one_a_second(&[("park_horizon", "\"0s\"")]).await;
    let mut pool = connected(&world).await;
    assert_eq!(exchange(&mut pool, &full_report(&uid(1), 0), "").await, 200);
    let mut refused = 0;
    for agent in 2..8 {
        refused += u16::from(exchange(&mut pool, &full_report(&uid(agent), 0), "").await == 503);
        assert_eq!(exchange(&mut pool, &heartbeat(&uid(1), agent.into()), "").await, 200);
    }
    assert!(refused >= 3, "on a slow machine some are let in: {refused}");
    // Whose head names an agent that has a session, and whose message another, owes an entry all the same.
    let mut forged = 0;
    for agent in 20..26 {
        let mut fresh = connected(&world).await;
        forged +=
            u16::from(exchange(&mut fresh, &full_report(&uid(agent), 0), &named(1)).await == 503);
    }
    assert!(forged >= 3, "{forged}");
}

/// Head and body in one write, or the body left behind in the kernel.
#[tokio::test]
async fn no_entry_is_spent_on_a_client_that_has_given_up() {
    let world = World::with(|gateway| {
        gateway.set("admission", "rate", "5").set("admission", "burst", "\"10ms\"")
    })
    .await;
    let began = clock::now();
    let mut line = Vec::new();
    for agent in 0..60 {
        let mut stream = connected(&world).await;
        let (head, body) = posted(&full_report(&uid(agent), 0), "Expect: nothing\r\n");
        let first = if agent % 2 == 0 { body.len() } else { 3 };
        stream.write_all(&[head.as_bytes(), &body[..first]].concat()).await.unwrap();
        line.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for stream in &mut line {
        stream.write_all(&[0; 600]).await.unwrap();
    }
    drop(line);
    let gone = began.elapsed();
    world.gateway.wait_metric("seawall_admission_parked", &[], |parked| parked == 0.0).await;
    let left = [("outcome", "left")];
    let left = world.gateway.wait_metric(OUTCOMES, &left, |left| left >= 20.0).await;
    let metrics = world.gateway.metrics().await;
    let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
    let entries = of("admitted") + of("admitted_from_park");
    let due = 5.0 * gone.as_secs_f64() + 2.0;
    assert!(entries <= due, "{entries} entries, {due} were due before they had gone; {left} left");
}

#[tokio::test]
async fn a_client_that_obeys_messages_is_told_by_a_message() {
    let world = one_a_second(&[("park_horizon", "\"0s\"")]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    // On a slow machine one of them is let in.
    let mut over_http = 0;
    for agent in 0..3 {
        let answer = post(&world, &[JAVA], &full_report(&uid(agent), 0).encode_to_vec()).await;
        assert_eq!(answer.status, 200);
        let message = ServerToAgent::decode(&*answer.body).unwrap();
        if message.error_response.is_some() {
            assert!(told(&message) >= Duration::from_secs(1));
            assert_eq!(message.instance_uid, uid(agent));
            over_http += 1;
        }
    }
    assert!(over_http >= 1);
    let mut on_socket = 0;
    for _ in 0..3 {
        let headers = format!("{}: {}\r\n", JAVA.0, JAVA.1);
        let mut socket = Socket::open_as(world.gateway.edge(), &headers).await;
        let next = tokio::time::timeout(Duration::from_millis(300), socket.next_ever()).await;
        if let Ok(Got::Message(payload)) = next {
            assert!(told(&from_payload(&payload)) >= Duration::from_secs(1));
            assert_eq!(socket.next().await, Got::End, "and no Close");
            on_socket += 1;
        }
    }
    assert!(on_socket >= 1);
}

#[tokio::test]
async fn a_drained_client_that_a_close_would_lose_gets_none() {
    let world = World::with(|gateway| gateway.set("drain", "notice", "\"0s\"")).await;
    let headers = format!("{}: {}\r\n", JAVA.0, JAVA.1);
    let mut java = Socket::open_as(world.gateway.edge(), &headers).await;
    java.ask(&full_report(&uid(1), 0)).await;
    let mut silent = Socket::open_as(world.gateway.edge(), &headers).await;
    let mut other = Socket::open(world.gateway.edge()).await;
    other.ask(&full_report(&uid(2), 0)).await;
    request(world.gateway.admin(), "POST", "/drain", &[], &[]).await.unwrap();
    assert_eq!(other.closed().await, Some(1001));
    for socket in [&mut java, &mut silent] {
        let told = told(&socket.reply().await);
        assert!((Duration::from_secs(1)..=Duration::from_secs(12)).contains(&told), "{told:?}");
        assert_eq!(socket.next().await, Got::End);
    }
}

#[tokio::test]
async fn a_client_that_can_be_told_nothing_is_served_beside_the_rate() {
    let world = one_a_second(&[]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let began = clock::now();
    for agent in 0..10 {
        let body = full_report(&uid(agent), 0).encode_to_vec();
        assert_eq!(post(&world, &[PYTHON], &body).await.status, 200);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "ten in {took:?}");
    world.outcome("passed_untold", 10).await;
}

/// A client that is never asked again waits in a line of its own.
#[tokio::test]
async fn a_client_that_a_refusal_costs_more_than_a_wait_waits() {
    let world = one_a_second(&[("park_horizon", "\"1s\"")]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let mut line = Vec::new();
    for agent in 0..4 {
        let mut stream = connected(&world).await;
        let (head, body) = posted(&full_report(&uid(agent), 0), &named(agent));
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        line.push(stream);
    }
    for stream in &mut line {
        assert_eq!(status(stream).await, 200);
    }
}

/// Some clients give up after one second, the network's time included.
#[tokio::test]
async fn a_request_is_answered_in_time_though_the_server_is_slow() {
    let world = World::start().await;
    world.server.behave(|behaviour| behaviour.reply = Reply::Late(Duration::from_secs(3)));
    let mut stream = connected(&world).await;
    let began = clock::now();
    assert_eq!(exchange(&mut stream, &full_report(&uid(1), 0), "").await, 200);
    let took = began.elapsed();
    assert!((Duration::from_millis(450)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

/// Kinds that the operator adds come before the built-in ones.
#[tokio::test]
async fn an_operator_adds_a_kind_of_client() {
    let kinds = "[{ user_agent = \"acme/\", refusal = \"unavailable\" }]";
    let world = one_a_second(&[("park_horizon", "\"0s\""), ("clients", kinds)]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let mut told_so = 0;
    for agent in 0..3 {
        let body = full_report(&uid(agent), 0).encode_to_vec();
        let answer = post(&world, &[("User-Agent", "acme/2.1")], &body).await;
        let message = ServerToAgent::decode(&*answer.body).unwrap();
        told_so += u32::from(answer.status == 200 && message.error_response.is_some());
    }
    assert!(told_so >= 1);
    let mut plain = connected(&world).await;
    plain.write_all(UPGRADE.as_bytes()).await.unwrap();
    let head = tokio::time::timeout(PATIENCE, answer(&mut plain)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") || head.starts_with("HTTP/1.1 101 "), "{head}");
}
