//! Which arrivals are admitted, wait, or are told to come again; each accepted connection is counted once.

use std::time::Duration;

use seawall::clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::World;
use crate::requests::{PATH, PROTOBUF, post, raw};
use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::message::{full_report, heartbeat, uid, with_header};
use crate::support::socket::{Socket, UPGRADE};

const OUTCOMES: &str = "seawall_admission_outcomes_total";
const PARKED: &str = "seawall_admission_parked";

/// One arrival is admitted each second, the first at once.
async fn one_a_second(keys: &[(&str, &str)]) -> World {
    World::with(|gateway| {
        let gateway = gateway.set("admission", "rate", "1").set("admission", "hold_max", "\"0s\"");
        keys.iter().fold(gateway, |gateway, (key, value)| gateway.set("admission", key, value))
    })
    .await
}

/// Asks for an upgrade and leaves the answer for later.
async fn ask(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    stream
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(read.expect("an answer in time").expect("an answer"));
    }
    String::from_utf8(head).unwrap()
}

impl World {
    async fn outcome(&self, outcome: &str, wanted: u32) {
        self.counts(OUTCOMES, ("outcome", outcome), wanted).await;
    }

    async fn parked(&self, wanted: u32) {
        self.total(PARKED, wanted).await;
    }

    /// Waits until this many arrivals are parked or have ended.
    async fn parked_or_decided(&self, wanted: u32) {
        let reached = async {
            let sum = async || {
                let metrics = self.gateway.metrics().await;
                metrics.sum(PARKED, &[]) + metrics.sum(OUTCOMES, &[])
            };
            while sum().await != f64::from(wanted) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("all arrivals are accounted for");
    }
}

#[tokio::test]
async fn an_arrival_above_the_rate_waits_unanswered_until_it_is_admitted() {
    let world = one_a_second(&[]).await;
    let first = Socket::open(world.gateway.edge()).await;
    let began = clock::now();
    let mut line = [ask(&world).await, ask(&world).await];
    world.parked(2).await;
    for (place, stream) in (1..).zip(&mut line) {
        let head = answer(stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let waited = began.elapsed().as_secs_f64();
        let earliest = f64::from(place) - 0.4;
        // On a machine that is busy with other tests it may come much later.
        assert!(waited > earliest, "number {place} after {waited} s");
    }
    world.outcome("admitted", 1).await;
    world.outcome("admitted_from_park", 2).await;
    world.parked(0).await;
    drop(first);
}

#[tokio::test]
async fn a_post_waits_like_an_upgrade_and_its_body_with_it() {
    let world = one_a_second(&[]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let report = with_header(&full_report(&uid(7), 0));
    let began = clock::now();
    let body = report.get(1..).unwrap();
    let answer = post(&world, &[], body).await;
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() > Duration::from_millis(500), "it was admitted at once");
    world.outcome("admitted_from_park", 1).await;

    // On a connection that is admitted the next request goes ahead at once.
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    for _ in 0..3 {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\n{}: {}\r\nContent-Length: 1\r\n\r\n!",
            PROTOBUF.0, PROTOBUF.1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let head = self::answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut rest = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut rest).await.unwrap();
    }
    world.outcome("admitted_from_park", 2).await;
    world.outcome("admitted", 1).await;
}

#[tokio::test]
async fn an_agent_that_finds_the_park_full_is_told_when_to_come_again() {
    let world = one_a_second(&[("park_horizon", "\"0s\"")]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    for place in 1..=5_u64 {
        let answer = raw(&world, UPGRADE.as_bytes()).await;
        let (status, headers) = answer.split_once("\r\n").unwrap();
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        let retry_after: u64 =
            headers.strip_prefix("Retry-After: ").unwrap().lines().next().unwrap().parse().unwrap();
        assert!((1..=place + 1).contains(&retry_after), "number {place}: {answer}");
        assert!(headers.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"), "{answer}");
    }
    let body = [0; 100_000];
    let answer = post(&world, &[], &body).await;
    assert_eq!((answer.status, answer.body.len()), (503, 0));
    world.outcome("refused_park_full", 6).await;
    world.counts("seawall_edge_refused_requests_total", ("reason", "not_yet"), 6).await;
}

#[tokio::test]
async fn a_refusal_is_held_and_the_hold_counts_as_waited() {
    let keys = [("park_horizon", "\"0s\""), ("hold_max", "\"1s\"")];
    let world = one_a_second(&keys).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let began = clock::now();
    let mut line = Vec::new();
    for _ in 0..6 {
        line.push(ask(&world).await);
    }
    // The first reservation is too near for a hold.
    world.gateway.wait_metric("seawall_admission_held", &[], |held| held >= 3.0).await;
    for stream in &mut line {
        assert!(answer(stream).await.starts_with("HTTP/1.1 503 "));
    }
    assert!(began.elapsed() > Duration::from_millis(800), "not held");
    world.total("seawall_admission_held", 0).await;
}

#[tokio::test]
async fn an_agent_that_goes_away_frees_its_place_at_once() {
    let world = one_a_second(&[("park_ttl", "\"40s\"")]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    // The two that go are far from the line's front, also on a slow machine.
    let mut before = Vec::new();
    for _ in 0..17 {
        before.push(ask(&world).await);
    }
    // Two listeners accept: only now it is certain that all of them stand before the two.
    world.parked_or_decided(18).await;
    let upgrade = ask(&world).await;
    let mut posted = TcpStream::connect(world.gateway.edge()).await.unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
    posted.write_all(head.as_bytes()).await.unwrap();
    posted.write_all(&[0; 3000]).await.unwrap();
    world.parked_or_decided(20).await;
    drop((upgrade, posted));
    world.outcome("left", 2).await;
    world.parked_or_decided(20).await;
    let admitted = [("outcome", "admitted_from_park")];
    let admitted = world.gateway.metrics().await.sum(OUTCOMES, &admitted);
    assert!(admitted < 17.0, "the places were freed by time, after {admitted} entries");
    let admin = world.gateway.admin();
    request(admin, "POST", "/admission?rate=1000", &[], &[]).await.unwrap();
    let mut last = ask(&world).await;
    assert!(answer(&mut last).await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn an_agent_that_can_be_recognised_keeps_its_reservation() {
    let world = one_a_second(&[("park_horizon", "\"0s\""), ("retry_min", "\"1s\"")]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    for _ in 0..5 {
        raw(&world, UPGRADE.as_bytes()).await;
    }
    let known = [("OpAMP-Instance-UID", "0192b1a0-0000-7000-8000-000000000001")];
    let told = |answer: &crate::support::http::Answer| {
        assert_eq!(answer.status, 503);
        answer.header("retry-after").unwrap().parse::<u64>().unwrap()
    };
    let moment = told(&post(&world, &known, b"x").await);
    for _ in 0..5 {
        let again = told(&post(&world, &known, b"x").await);
        assert!(again <= moment + 1, "{again} s, after {moment} s");
    }
    world.outcome("refused_before_its_time", 5).await;
}

#[tokio::test]
async fn the_rate_can_be_set_while_it_runs() {
    let world = one_a_second(&[]).await;
    let _first = Socket::open(world.gateway.edge()).await;
    let mut line = Vec::new();
    for _ in 0..10 {
        line.push(ask(&world).await);
    }
    let began = clock::now();
    let admin = world.gateway.admin();
    let answer = request(admin, "POST", "/admission?rate=1000", &[], &[]).await.unwrap();
    assert!(answer.text().contains("\"automatic\":false,\"rate\":1000"), "{}", answer.text());
    for stream in &mut line {
        assert!(self::answer(stream).await.starts_with("HTTP/1.1 101 "));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "ten at one a second");
}

#[tokio::test]
async fn a_node_that_drains_sends_parked_arrivals_to_another() {
    let world = World::with(|gateway| {
        gateway.set("admission", "rate", "1").set("drain", "notice", "\"0s\"")
    })
    .await;
    let _first = Socket::open(world.gateway.edge()).await;
    let mut line = [ask(&world).await, ask(&world).await, ask(&world).await];
    world.parked(3).await;
    request(world.gateway.admin(), "POST", "/drain", &[], &[]).await.unwrap();
    let mut sent_away = 0;
    for stream in &mut line {
        let head = answer(stream).await;
        let refused = head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: ");
        assert!(refused || head.starts_with("HTTP/1.1 101 "), "{head}");
        sent_away += u32::from(refused);
    }
    assert!(sent_away >= 2, "one may have had its turn before: {sent_away}");
}

/// The promise of the metric: its outcomes and the parked arrivals add up to the connections accepted.
#[tokio::test]
async fn every_accepted_connection_has_exactly_one_outcome() {
    let world = one_a_second(&[("park_horizon", "\"2s\"")]).await;
    let edge = world.gateway.edge();
    let _first = Socket::open(edge).await;
    // Two wait, most are refused; on a slow machine one or two more are admitted.
    let mut line = Vec::new();
    for _ in 0..8 {
        line.push(ask(&world).await);
    }
    let refused = [("outcome", "refused_park_full")];
    let refused = world.gateway.wait_metric(OUTCOMES, &refused, |count| count >= 1.0).await;
    // Another path, something else than HTTP, too large a head, silence, cut off in its head.
    request(edge, "GET", "/elsewhere", &[], &[]).await.unwrap();
    raw(&world, b"\x16\x03\x01\x02\x00\r\n\r\n").await;
    raw(&world, format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)).as_bytes()).await;
    drop(TcpStream::connect(edge).await.unwrap());
    let mut cut = TcpStream::connect(edge).await.unwrap();
    cut.write_all(b"GET /v1/op").await.unwrap();
    drop(cut);
    drop(line);
    world.parked(0).await;
    let mut agent = Socket::open(edge).await;
    agent.ask(&heartbeat(&uid(9), 0)).await;

    world.total("seawall_edge_accepted_connections_total", 15).await;
    world.total(OUTCOMES, 15).await;
    world.outcome("not_asked", 5).await;
    let metrics = world.gateway.metrics().await;
    let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
    let admitted_or_left = of("admitted") + of("admitted_from_park") + of("left");
    let all = admitted_or_left + of("refused_park_full");
    assert!(
        (all - 10.0).abs() < 0.5,
        "the first, eight in a line, the last: {all}, {refused} refused"
    );
}

/// Other requests are answered, and then their connection is closed.
#[tokio::test]
async fn every_request_of_an_agent_goes_through_admission() {
    let world = one_a_second(&[("park_horizon", "\"1s\"")]).await;
    let edge = world.gateway.edge();
    let _first = Socket::open(edge).await;
    let _line = ask(&world).await;
    world.parked(1).await;
    // After another request on the same connection.
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let head = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("connection: close"), "{head}");
    // A target in absolute form is ours.
    let post = |target: &str, more: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: 0\r\n\r\n")
    };
    let mut absolute = TcpStream::connect(edge).await.unwrap();
    absolute.write_all(post(&format!("http://a{PATH}"), "").as_bytes()).await.unwrap();
    let head = answer(&mut absolute).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // More headers than admission reads are refused by all that read heads.
    let mut many = TcpStream::connect(edge).await.unwrap();
    many.write_all(post(PATH, &"X: y\r\n".repeat(70)).as_bytes()).await.unwrap();
    let head = answer(&mut many).await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
}

/// A storm is over when arrivals have been admitted at once for a while, also where the rate is set.
#[tokio::test]
async fn the_end_of_a_storm_is_seen_at_a_rate_that_is_set() {
    let world = one_a_second(&[]).await;
    let edge = world.gateway.edge();
    let mut first = Socket::open(edge).await;
    first.ask(&heartbeat(&uid(1), 0)).await;
    let mut second = Socket::open(edge).await;
    second.ask(&heartbeat(&uid(2), 0)).await;
    world
        .gateway
        .wait_metric("seawall_admission_disconnected", &[], |outside| outside == 0.0)
        .await;
}

/// With all connections taken by parked arrivals, the others would miss the answer that says when to come.
#[tokio::test]
async fn the_last_connections_are_reserved_for_refusals() {
    let world = World::with(|gateway| {
        let gateway = gateway.set("admission", "rate", "1").set("admission", "hold_max", "\"0s\"");
        gateway.set("edge", "connections_max", "48")
    })
    .await;
    let mut line = Vec::new();
    for _ in 0..60 {
        line.push(ask(&world).await);
    }
    let refused = [("outcome", "refused_no_room")];
    world.gateway.wait_metric(OUTCOMES, &refused, |count| count >= 10.0).await;
}

/// Servers must see a line before admission as what it is, and keep the fleet.
#[tokio::test]
async fn absent_agents_are_kept_while_admission_tells_agents_to_come_later() {
    let world = World::with(|gateway| {
        let gateway = gateway.set("admission", "rate", "1").set("admission", "hold_max", "\"0s\"");
        gateway.set("admission", "park_horizon", "\"1s\"").set(
            "sessions",
            "grace_period",
            "\"500ms\"",
        )
    })
    .await;
    let edge = world.gateway.edge();
    let mut agent = Socket::open(edge).await;
    agent.ask(&heartbeat(&uid(1), 0)).await;
    let mut line = Vec::new();
    for _ in 0..4 {
        line.push(ask(&world).await);
    }
    let refused = [("outcome", "refused_park_full")];
    world.gateway.wait_metric(OUTCOMES, &refused, |count| count >= 1.0).await;
    drop(agent);
    let cut = clock::now();
    let expired = [("reason", "grace_expired")];
    world.gateway.wait_metric("seawall_ended_sessions_total", &expired, |count| count == 1.0).await;
    let (away, told_at_least) = (cut.elapsed(), Duration::from_millis(1_500));
    assert!(away > told_at_least, "ended after {away:?}");
}
