//! Real requests over real sockets, against a view that knows five agents.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::places::PLACES;
use super::*;
use crate::ident::InstanceUid;

fn uid(number: u8) -> InstanceUid {
    InstanceUid::from_bytes([number; 16])
}

fn session(number: u8) -> SessionView {
    SessionView {
        uid: uid(number),
        shard: 7,
        home: "node-1".to_owned(),
        front: Some("node-2".to_owned()),
        state: "connected",
        capabilities: 0x2007,
        agent_sequence_num: Some(3),
        server_sequence_num: None,
        server: Some("main".to_owned()),
        link: Some(1),
        unanswered: 0,
        full_state: "reported",
        waiting_bytes: 0,
        server_lacks: Vec::new(),
        queued: false,
    }
}

fn connection(number: u8) -> ConnectionView {
    ConnectionView {
        uid: uid(number),
        shard: 7,
        home: Some("node-2".to_owned()),
        transport: "websocket",
        is_open: true,
        is_attached: false,
        held_bytes: 300,
    }
}

/// This node is the home of four agents, and the front of the fifth.
fn listed(number: u8) -> ListedAgent {
    match number {
        5 => ListedAgent::Front { role: "front", connection: connection(5) },
        number => ListedAgent::Home { role: "home", session: session(number) },
    }
}

#[derive(Default)]
struct Fake {
    drains: Mutex<u32>,
    /// Whether connections are closed for other nodes; empty: there are none.
    rebalances: Mutex<Option<bool>>,
    /// The rate once agents are admitted; before that, the outer value is empty.
    rate: Mutex<Option<Option<NonZeroU32>>>,
    reasons: Mutex<Vec<String>>,
    full: Mutex<bool>,
}

impl View for Fake {
    fn readiness(&self) -> Readiness {
        let server = ServerView {
            name: "main".to_owned(),
            reachable: true,
            available: true,
            resync_sessions: 0,
        };
        let full = *self.full.lock();
        Readiness {
            reasons: self.reasons.lock().clone(),
            servers: vec![server],
            full,
            full_reason: full.then(|| "no room".to_owned()),
        }
    }

    fn sessions(&self, after: Option<InstanceUid>, limit: usize) -> Vec<ListedAgent> {
        let follows = |agent: &ListedAgent| after.is_none_or(|after| agent.uid() > after);
        (1..=5).map(listed).filter(follows).take(limit).collect()
    }

    fn session(&self, wanted: InstanceUid) -> SessionAnswer {
        assert_ne!(wanted, uid(99), "a view that fails");
        let home = "node-2".to_owned();
        match (1..=5).map(session).find(|view| view.uid == wanted) {
            Some(session) => SessionAnswer::Here(session),
            None if wanted == uid(20) => SessionAnswer::Elsewhere(json!({ "home": home })),
            None if wanted == uid(21) => {
                let (why, connection) =
                    ("no node link to it is up".to_owned(), Some(connection(21)));
                SessionAnswer::Silent { home, why, connection }
            }
            None if wanted == uid(22) => SessionAnswer::Homeless { shard: 7, connection: None },
            None => SessionAnswer::Unknown { home },
        }
    }

    fn cluster(&self) -> cluster::ClusterView {
        let asked = "node-1".to_owned();
        cluster::ClusterView { asked, homeless_shards: 2, ..Default::default() }.with_attention()
    }

    fn drain(&self) -> DrainView {
        let phase = if *self.drains.lock() == 0 { "serving" } else { "notice" };
        DrainView { phase, left: 7, rate: 1_000 }
    }

    fn begin_drain(&self) {
        *self.drains.lock() += 1;
    }

    fn rebalance(&self) -> Option<RebalanceView> {
        let shedding = (*self.rebalances.lock())?;
        Some(RebalanceView {
            shedding,
            connections: 300,
            share: 200,
            closed: 4,
            came_back: 1,
            rate: 10,
            ended: None,
        })
    }

    fn order_rebalance(&self, begin: bool) {
        *self.rebalances.lock() = Some(begin);
    }

    fn admission(&self) -> Option<AdmissionView> {
        let rate = (*self.rate.lock())?;
        Some(AdmissionView {
            automatic: rate.is_none(),
            rate: rate.map_or(7, NonZeroU32::get),
            parked: 3,
            park_places: 100,
            held: 1,
            disconnected: None,
            last_in_seconds: Some(0.5),
            fleet_rate: None,
            storm: None,
            last_storm: None,
            top_addresses: Vec::new(),
            top_credentials: Vec::new(),
        })
    }

    fn admitted(&self) -> Option<AdmittedView> {
        let admitted = vec![3, 0, 4];
        (*self.rate.lock()).map(|_| AdmittedView { first_unix_ms: 7, slot_ms: 50, admitted })
    }

    fn set_admission_rate(&self, rate: Option<NonZeroU32>) {
        *self.rate.lock() = Some(rate);
    }
}

/// A running listener.
struct Running {
    address: SocketAddr,
    view: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(head_timeout: Duration) -> Running {
    let params = AdminParams { listen: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let mut admin = Admin::bind(&params).await.unwrap();
    admin.head_timeout = head_timeout;
    let address = admin.listener.local_addr().unwrap();
    let view = Arc::new(Fake::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let task = tokio::spawn(admin.serve(Arc::clone(&view) as Arc<dyn View>, shutdown));
    Running { address, view, stop, task }
}

/// The status, head and body of the answer to one request.
async fn ask(address: SocketAddr, method: &str, target: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, target: &str) -> (u16, Value) {
    let (status, _, body) = ask(address, "GET", target).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn metrics_and_health_are_text() {
    let running = start(HEAD_TIMEOUT).await;
    let (status, head, body) = ask(running.address, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("\nseawall_edge_accepted_connections_total "), "{body}");
    assert!(body.contains("\nprocess_resident_memory_bytes "), "{body}");
    let (status, _, body) = ask(running.address, "GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let (status, _, body) = ask(running.address, "HEAD", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let running = start(HEAD_TIMEOUT).await;
    let servers = json!([
        { "name": "main", "reachable": true, "available": true, "resync_sessions": 0 }
    ]);
    let expected = json!({
        "ready": true, "reasons": [], "servers": servers, "full": false, "full_reason": null,
    });
    assert_eq!(get(running.address, "/readyz").await, (200, expected));
    running.view.reasons.lock().push("no server is reached".to_owned());
    let (status, body) = get(running.address, "/readyz").await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["reasons"], json!(["no server is reached"]));
}

#[tokio::test]
async fn sessions_come_in_pages() {
    let running = start(HEAD_TIMEOUT).await;
    let (mut target, mut seen) = ("/sessions?limit=2".to_owned(), Vec::new());
    loop {
        let (status, page) = get(running.address, &target).await;
        assert_eq!(status, 200);
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 2);
        seen.extend(sessions.iter().map(|session| session["uid"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/sessions?limit=2&after={next}");
    }
    assert_eq!(seen, (1..=5).map(|n| json!(uid(n).to_string())).collect::<Vec<_>>());
    let (status, page) = get(running.address, "/sessions?limit=99999999999999999999").await;
    assert_eq!((status, page["sessions"].as_array().unwrap().len()), (200, 5));
}

#[tokio::test]
async fn one_session_is_shown_whole() {
    let running = start(HEAD_TIMEOUT).await;
    let (status, shown) = get(running.address, &format!("/sessions/{}", uid(2))).await;
    let expected = json!({
        "uid": uid(2).to_string(), "shard": 7, "home": "node-1", "front": "node-2",
        "state": "connected", "capabilities": 0x2007,
        "agent_sequence_num": 3, "server_sequence_num": null, "server": "main", "link": 1,
        "unanswered": 0, "full_state": "reported", "waiting_bytes": 0, "server_lacks": [], "queued": false,
    });
    assert_eq!((status, shown), (200, expected));
}

#[tokio::test]
async fn agents_are_told_apart_by_what_the_node_is_for_them() {
    let running = start(HEAD_TIMEOUT).await;
    let (_, page) = get(running.address, "/sessions").await;
    let (home, front) = (&page["sessions"][0], &page["sessions"][4]);
    assert_eq!((&home["role"], &home["state"]), (&json!("home"), &json!("connected")));
    let expected = json!({
        "role": "front", "uid": uid(5).to_string(), "shard": 7, "home": "node-2",
        "transport": "websocket", "is_open": true, "is_attached": false, "held_bytes": 300,
    });
    assert_eq!(front, &expected);
}

#[tokio::test]
async fn an_agent_is_shown_from_its_home_or_it_is_said_that_the_home_does_not_answer() {
    let running = start(HEAD_TIMEOUT).await;
    let of = async |number| get(running.address, &format!("/sessions/{}", uid(number))).await;
    assert_eq!(of(20).await, (200, json!({ "home": "node-2" })));
    let (status, body) = of(21).await;
    assert_eq!((status, &body["home"]), (504, &json!("node-2")));
    assert_eq!(body["connection"]["is_attached"], json!(false));
    let error = "this agent's home, node-2, does not answer: no node link to it is up";
    assert_eq!(body["error"], json!(error));
    assert_eq!(of(22).await.0, 503);
    let (status, body) = of(23).await;
    assert_eq!((status, &body["home"]), (404, &json!("node-2")));
}

#[tokio::test]
async fn the_fleet_is_shown_to_a_browser_and_to_the_command() {
    let running = start(HEAD_TIMEOUT).await;
    let (status, shown) = get(running.address, "/cluster").await;
    assert_eq!((status, &shown["asked"]), (200, &json!("node-1")));
    let answer = cluster::ask(&running.address.to_string()).await.unwrap();
    assert!(!answer.is_whole() && answer.json().contains("\"homeless_shards\":2"));
    assert!(answer.table().contains("0 nodes as node-1 sees the fleet"), "{}", answer.table());
}

#[tokio::test]
async fn the_command_says_whose_fault_it_is_that_there_is_no_answer() {
    let running = start(HEAD_TIMEOUT).await;
    let address = running.address;
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    let error = cluster::ask(&address.to_string()).await.unwrap_err().to_string();
    assert!(error.contains("is it the node's admin.listen"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = async |text: &str| {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
    };
    for (text, expected) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404 Not Found"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not answer as Seawall does"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "does not answer as Seawall does"),
    ] {
        let (error, ()) = tokio::join!(cluster::ask(&address), answers(text));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_drain_begins_with_a_post_alone() {
    let running = start(HEAD_TIMEOUT).await;
    let expected = json!({ "phase": "serving", "left": 7, "rate": 1000 });
    assert_eq!(get(running.address, "/drain").await, (200, expected));
    let (status, _, body) = ask(running.address, "POST", "/drain").await;
    assert_eq!((status, body.contains("\"notice\"")), (202, true), "{body}");
    let (status, head, _) = ask(running.address, "DELETE", "/drain").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: GET, HEAD, POST"), "{head}");
    assert_eq!(*running.view.drains.lock(), 1);
}

#[tokio::test]
async fn rebalancing_begins_with_a_post_and_ends_with_a_delete() {
    let running = start(HEAD_TIMEOUT).await;
    let (status, _, body) = ask(running.address, "POST", "/rebalance").await;
    assert_eq!((status, body.contains("ownership.store")), (409, true), "{body}");
    *running.view.rebalances.lock() = Some(false);
    let expected = json!({
        "shedding": false, "connections": 300, "share": 200, "closed": 4, "came_back": 1, "rate": 10,
        "ended": null,
    });
    assert_eq!(get(running.address, "/rebalance").await, (200, expected));
    assert_eq!(ask(running.address, "POST", "/rebalance").await.0, 202);
    assert_eq!(*running.view.rebalances.lock(), Some(true));
    assert_eq!(ask(running.address, "DELETE", "/rebalance").await.0, 202);
    assert_eq!(*running.view.rebalances.lock(), Some(false));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let running = start(HEAD_TIMEOUT).await;
    let missing = format!("/sessions/{}", uid(77));
    let failing = format!("/sessions/{}", uid(99));
    for (target, expected) in [
        ("/nowhere", 404),
        ("/sessions/x", 400),
        (missing.as_str(), 404),
        (failing.as_str(), 500),
        ("/sessions?limit=0", 400),
        ("/sessions?limit=many", 400),
        ("/sessions?after=x", 400),
        ("/sessions?page=2", 400),
    ] {
        let (status, body) = get(running.address, target).await;
        assert_eq!(status, expected, "{target}");
        assert!(body["error"].is_string(), "{target}: {body}");
    }
    let (status, head, _) = ask(running.address, "POST", "/metrics").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: GET, HEAD"), "{head}");
    let long = format!("/{}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(ask(running.address, "GET", &long).await.0, 431);
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_others_are_answered() {
    let running = start(Duration::from_millis(50)).await;
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    // All places are taken, and these are closed in the end whichever connection comes.
    let (status, _, _) = ask(running.address, "GET", "/healthz").await;
    assert_eq!(status, 200);
    for mut stream in silent {
        // An error, a 408 or an end: each of them ends the silence.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test]
async fn idle_connections_give_way_to_one_that_asks() {
    let running = start(HEAD_TIMEOUT).await;
    let mut idle = Vec::new();
    for place in 0..PLACES {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // Some have asked before and stay, some have yet to ask, some have begun to.
        let said = [&b""[..], b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /hea"][place % 3];
        stream.write_all(said).await.unwrap();
        idle.push(stream);
    }
    let began = crate::clock::now();
    for _ in 0..4 {
        assert_eq!(ask(running.address, "GET", "/healthz").await.0, 200);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}, not the time that a head may take");
}

#[tokio::test]
async fn a_full_node_stays_ready_unless_room_is_asked_for() {
    let running = start(HEAD_TIMEOUT).await;
    for (full, with_room) in [(false, 200), (true, 503)] {
        *running.view.full.lock() = full;
        let (status, body) = get(running.address, "/readyz").await;
        assert_eq!((status, &body["ready"], &body["full"]), (200, &json!(true), &json!(full)));
        assert_eq!(body["full_reason"].is_string(), full, "{body}");
        assert_eq!(get(running.address, "/readyz?room").await.0, with_room);
    }
}

#[tokio::test]
async fn a_rate_that_is_only_asked_for_is_refused_by_the_name_of_the_method() {
    let running = start(HEAD_TIMEOUT).await;
    *running.view.rate.lock() = Some(None);
    let (status, body) = get(running.address, "/admission?rate=5").await;
    assert_eq!(status, 405);
    assert!(body["error"].as_str().unwrap().contains("POST"), "{body}");
    assert_eq!(*running.view.rate.lock(), Some(None));
}

#[tokio::test]
async fn it_stops_when_told() {
    let running = start(HEAD_TIMEOUT).await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn the_admission_rate_is_shown_and_set() {
    let running = start(HEAD_TIMEOUT).await;
    let post = async |target| {
        let (status, _, body) = ask(running.address, "POST", target).await;
        (status, body)
    };
    assert_eq!(get(running.address, "/admission").await.0, 503);
    assert_eq!(get(running.address, "/admission/recent").await.0, 503);
    assert_eq!(post("/admission?rate=500").await.0, 503);
    *running.view.rate.lock() = Some(None);
    let (status, body) = post("/admission?rate=500").await;
    assert_eq!(status, 200);
    assert!(body.contains("\"automatic\":false,\"rate\":500,\"parked\":3,"), "{body}");
    let (_, body) = post("/admission?rate=0").await;
    assert!(body.contains("\"automatic\":true,\"rate\":7,"), "{body}");
    for wrong in ["/admission", "/admission?rate=fast", "/admission?rate=1&x=2", "/admission?x=1"] {
        assert_eq!(post(wrong).await.0, 400, "{wrong}");
    }
    let (status, recent) = get(running.address, "/admission/recent").await;
    assert_eq!(status, 200);
    assert_eq!(recent, json!({ "first_unix_ms": 7, "slot_ms": 50, "admitted": [3, 0, 4] }));
    assert_eq!(post("/admission/recent").await.0, 405, "it only shows");
}
