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

/// One arrival is admitted in this time.
const EACH: Duration = Duration::from_secs(1);
/// How many times a scene is set that must stand before the next arrival is admitted.
const ATTEMPTS: usize = 8;
/// The gateway's and the test's timers may differ by this much.
const TIMER: Duration = Duration::from_millis(100);

pub(crate) const OUTCOMES: &str = "seawall_admission_outcomes_total";
const PARKED: &str = "seawall_admission_parked";

/// One arrival is admitted each second, the first at once.
pub(crate) async fn one_a_second(keys: &[(&str, &str)]) -> World {
    World::with(|gateway| {
        let gateway = gateway.set("admission", "rate", "1").set("admission", "hold_max", "\"0s\"");
        keys.iter().fold(gateway, |gateway, (key, value)| gateway.set("admission", key, value))
    })
    .await
}

/// A gateway that has just admitted its first arrival, and what `scene` did to it before the next one was
/// due. A machine that takes longer than that sets another scene.
async fn before_the_next<T>(
    keys: &[(&str, &str)],
    scene: impl AsyncFn(&World) -> T,
) -> (World, Socket, T) {
    for _ in 0..ATTEMPTS {
        let world = one_a_second(keys).await;
        let began = clock::now();
        let first = Socket::open(world.gateway.edge()).await;
        let played = scene(&world).await;
        if began.elapsed() < EACH {
            return (world, first, played);
        }
    }
    panic!("{ATTEMPTS} scenes took longer than {EACH:?} each");
}

/// Asks for an upgrade and leaves the answer for later.
async fn ask(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    stream
}

pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(read.expect("an answer in time").expect("an answer"));
    }
    String::from_utf8(head).unwrap()
}

impl World {
    pub(crate) async fn outcome(&self, outcome: &str, wanted: u32) {
        self.counts(OUTCOMES, ("outcome", outcome), wanted).await;
    }

    /// Waits until this many are admitted, at once or from the park; returns how many had waited.
    async fn admitted(&self, wanted: u32) -> f64 {
        let mut waited = 0.0;
        let all = async {
            loop {
                let metrics = self.gateway.metrics().await;
                let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
                waited = of("admitted_from_park");
                if of("admitted") + waited == f64::from(wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all of them are admitted");
        waited
    }

    async fn parked(&self, wanted: u32) {
        self.total(PARKED, wanted).await;
    }

    /// Waits until this many arrivals are parked or have ended. The gauge of the parked follows the counter
    /// of outcomes a little later, so that an arrival may be in both for a moment: the sum must stand.
    async fn parked_or_decided(&self, wanted: u32) {
        let reached = async {
            let sum = async || {
                let metrics = self.gateway.metrics().await;
                metrics.sum(PARKED, &[]) + metrics.sum(OUTCOMES, &[])
            };
            let mut looks = 0;
            while looks < 5 {
                looks = if sum().await == f64::from(wanted) { looks + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("all arrivals are accounted for");
    }
}

/// Asserted: each arrival is admitted no sooner than the rate allows after the beginning, and most of
/// them have waited for it. On a loaded machine they may come late, and some when there is room already.
#[tokio::test]
async fn an_arrival_above_the_rate_waits_unanswered_until_it_is_admitted() {
    let world = one_a_second(&[]).await;
    let began = clock::now();
    let first = Socket::open(world.gateway.edge()).await;
    let mut line = [ask(&world).await, ask(&world).await, ask(&world).await];
    for (place, stream) in (1..).zip(&mut line) {
        let head = answer(stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let waited = began.elapsed();
        assert!(waited + TIMER >= EACH * place, "number {place} after {waited:?}");
    }
    let waited = world.admitted(4).await;
    assert!((1.0..=3.0).contains(&waited), "{waited} have waited");
    world.parked(0).await;
    drop(first);
}

#[tokio::test]
async fn a_post_waits_like_an_upgrade_and_its_body_with_it() {
    let world = one_a_second(&[]).await;
    // From before the first: the next one is admitted a second after it at the earliest.
    let began = clock::now();
    let _first = Socket::open(world.gateway.edge()).await;
    let report = with_header(&full_report(&uid(7), 0));
    let body = report.get(1..).unwrap();
    let answer = post(&world, &[], body).await;
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() + TIMER >= EACH, "it was admitted at once");
    world.admitted(2).await;

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
    assert!(began.elapsed() + TIMER >= EACH * 2, "the third was admitted early");
    world.admitted(3).await;
}

#[tokio::test]
async fn an_agent_that_finds_the_park_full_is_told_when_to_come_again() {
    let keys = [("park_horizon", "\"0s\"")];
    let (world, _first, (upgrades, answer)) = before_the_next(&keys, async |world| {
        let mut upgrades = Vec::new();
        for _ in 0..5 {
            upgrades.push(raw(world, UPGRADE.as_bytes()).await);
        }
        (upgrades, post(world, &[], &[0; 100_000]).await)
    })
    .await;
    for (place, answer) in (1..).zip(upgrades) {
        let (status, headers) = answer.split_once("\r\n").unwrap();
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        let retry_after: u64 =
            headers.strip_prefix("Retry-After: ").unwrap().lines().next().unwrap().parse().unwrap();
        assert!((1..=place + 1_u64).contains(&retry_after), "number {place}: {answer}");
        assert!(headers.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"), "{answer}");
    }
    assert_eq!((answer.status, answer.body.len()), (503, 0));
    world.outcome("refused_park_full", 6).await;
    world.counts("seawall_edge_refused_requests_total", ("reason", "not_yet"), 6).await;
}

#[tokio::test]
async fn a_refusal_is_held_and_the_hold_counts_as_waited() {
    let keys = [("park_horizon", "\"0s\""), ("hold_max", "\"1s\"")];
    let (world, _first, (began, mut line, held)) = before_the_next(&keys, async |world| {
        let began = clock::now();
        let mut line = Vec::new();
        for _ in 0..6 {
            line.push(ask(world).await);
        }
        // The gauge follows the decisions a little later.
        let mut held = 0.0;
        while held < 3.0 && began.elapsed() < EACH {
            held = world.gateway.metrics().await.sum("seawall_admission_held", &[]);
        }
        (began, line, held)
    })
    .await;
    // The first reservation is too near for a hold.
    assert!(held >= 3.0, "{held} are held");
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
    // Of a kind that waits for as long as all others here.
    let client = "User-Agent: Go-http-client/1.1";
    let head =
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{client}\r\nContent-Length: 5000\r\n\r\n");
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
    // On a slow machine some of the five before have been admitted, which brings the moment nearer.
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
    for _ in 0..18 {
        line.push(ask(&world).await);
    }
    let began = clock::now();
    let admin = world.gateway.admin();
    let answer = request(admin, "POST", "/admission?rate=1000", &[], &[]).await.unwrap();
    assert!(answer.text().contains("\"automatic\":false,\"rate\":1000"), "{}", answer.text());
    for stream in &mut line {
        assert!(self::answer(stream).await.starts_with("HTTP/1.1 101 "));
    }
    // Far less than what they would take at the old rate, however loaded the machine.
    world.admitted(19).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "18 at one a second: {took:?}");
}

#[tokio::test]
async fn a_node_that_drains_sends_parked_arrivals_to_another() {
    let world = World::with(|gateway| {
        gateway.set("admission", "rate", "1").set("drain", "notice", "\"0s\"")
    })
    .await;
    let _first = Socket::open(world.gateway.edge()).await;
    let mut line = Vec::new();
    for _ in 0..10 {
        line.push(ask(&world).await);
    }
    world.parked_or_decided(11).await;
    request(world.gateway.admin(), "POST", "/drain", &[], &[]).await.unwrap();
    let mut sent_away = 0;
    for stream in &mut line {
        let head = answer(stream).await;
        let refused = head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: ");
        assert!(refused || head.starts_with("HTTP/1.1 101 "), "{head}");
        sent_away += u32::from(refused);
    }
    assert!(sent_away >= 5, "on a loaded machine some are admitted before: {sent_away}");
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
    let post = |target: &str, more: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: 0\r\n\r\n")
    };
    // A target in absolute form is ours, also with a fragment, which readers drop.
    let absolute = post(&format!("http://a{PATH}#x"), "");
    let keys = [("park_horizon", "\"1s\"")];
    let (world, _first, (_line, head)) = before_the_next(&keys, async |world| {
        let line = ask(world).await;
        world.parked_or_decided(2).await;
        let mut stream = TcpStream::connect(world.gateway.edge()).await.unwrap();
        stream.write_all(absolute.as_bytes()).await.unwrap();
        (line, answer(&mut stream).await)
    })
    .await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let edge = world.gateway.edge();
    // Another path is refused before it asks.
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let head = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("connection: close"), "{head}");
    // More headers than admission reads are refused by all that read heads.
    let mut many = TcpStream::connect(edge).await.unwrap();
    many.write_all(post(PATH, &"X: y\r\n".repeat(140)).as_bytes()).await.unwrap();
    let head = answer(&mut many).await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    // At once, although the head goes on; and one that is no head.
    let mut endless = TcpStream::connect(edge).await.unwrap();
    let many = format!("X: {}\r\n", "y".repeat(90)).repeat(140);
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{many}");
    endless.write_all(head.as_bytes()).await.unwrap();
    let head = answer(&mut endless).await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    let mut other = TcpStream::connect(edge).await.unwrap();
    other.write_all(format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n\x01").as_bytes()).await.unwrap();
    let head = answer(&mut other).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
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
    world.gateway.wait_metric("seawall_admission_disconnected", &[], |agents| agents == 0.0).await;
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

/// An agent that dials for each poll counts as connected in between.
#[tokio::test]
async fn a_full_table_admits_the_agents_that_it_has() {
    let world = World::with(|gateway| {
        gateway.set("sessions", "sessions_max", "1").set("admission", "hold_max", "\"0s\"")
    })
    .await;
    let poll = async |agent: u16, named: bool| {
        let report = with_header(&full_report(&uid(agent), 0));
        let name: String = uid(agent).iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [("OpAMP-Instance-UID", name.as_str())];
        let headers = if named { &headers[..] } else { &[] };
        post(&world, headers, report.get(1..).unwrap()).await.status
    };
    assert_eq!(poll(7, false).await, 200);
    assert_eq!((poll(7, false).await, poll(7, true).await), (200, 200));
    assert_eq!((poll(8, false).await, poll(8, true).await), (503, 503));
    let newcomer = answer(&mut ask(&world).await).await;
    assert!(newcomer.starts_with("HTTP/1.1 503 "), "{newcomer}");
    // Its uid stands in its message, too, and one that has a session owes no entry.
    world.outcome("admitted", 1).await;
    world.outcome("passed_session", 2).await;
    world.outcome("refused_no_room", 3).await;
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
    // The moments that are told count from here on; a slow machine admits some of the line meanwhile.
    let asked = clock::now();
    let mut line = Vec::new();
    for _ in 0..12 {
        line.push(ask(&world).await);
    }
    let refused = [("outcome", "refused_park_full")];
    world.gateway.wait_metric(OUTCOMES, &refused, |count| count >= 1.0).await;
    drop(agent);
    let expired = [("reason", "grace_expired")];
    world.gateway.wait_metric("seawall_ended_sessions_total", &expired, |count| count == 1.0).await;
    let (away, told_at_least) = (asked.elapsed(), Duration::from_millis(1_500));
    assert!(away > told_at_least, "ended after {away:?}");
}
