//! An operator is told the truth: a full node, a storm between two scrapes, a signal to read the configuration again, a
//! server that is mute at the end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use seawall::clock;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, Mode, polling};
use crate::support::http;
use crate::support::message::{full_report, heartbeat, uid};
use crate::support::metrics::Metrics;
use crate::support::mock::Mock;
use crate::support::mock::state::Reply;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::socket::{Socket, UPGRADE};

/// A gateway whose file and limits the test sets.
struct Node {
    process: Process,
    edge: SocketAddr,
    admin: SocketAddr,
    file: NamedTempFile,
}

impl Node {
    /// `open_files`: its limit, if it is not the test's own.
    async fn start(server: &Mock, open_files: Option<u32>) -> Self {
        let [edge, admin] = [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
        let mut file = NamedTempFile::new().unwrap();
        let text = text(edge, admin, server, "");
        file.write_all(text.as_bytes()).unwrap();
        let limit = open_files.map(|limit| format!("ulimit -n {limit}; ")).unwrap_or_default();
        let mut command = Command::new("sh");
        let path = file.path().to_str().unwrap();
        let run = format!("{limit}exec \"$0\" run --config {path}");
        command.args(["-c", &run, env!("CARGO_BIN_EXE_seawall")]);
        let process = Process::start("seawall", command);
        let node = Self { process, edge, admin, file };
        node.until("/readyz", |status, _| status == 200).await;
        node
    }

    fn rewrite(&mut self, text: &str) {
        std::fs::write(self.file.path(), text).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = http::get(self.admin, path).await.unwrap();
        (answer.status, answer.text())
    }

    async fn until(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) {
        let found = polling(async || {
            let answer = http::get(self.admin, path).await.ok()?;
            wanted(answer.status, &answer.text()).then_some(())
        });
        assert!(found.await.is_some(), "{path} is never as wanted");
    }

    async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").await.1)
    }

    async fn value(&self, name: &str) -> f64 {
        self.metrics().await.sum(name, &[])
    }

    async fn says(&self, text: &str) {
        let log = self.process.log();
        let said = log.until(crate::support::PATIENCE, |log| log.count(text) > 0).await;
        assert!(said, "the log never says {text:?}");
    }
}

fn text(edge: SocketAddr, admin: SocketAddr, server: &Mock, more: &str) -> String {
    let mut text = format!(
        "{more}\n[edge]\nlisten = [\"{edge}\"]\n[admin]\nlisten = \"{admin}\"\n[drain]\nnotice = \"0s\"\n"
    );
    writeln!(text, "[[upstream.servers]]\nname = \"a\"\nurl = \"{}\"\nlinks = 1", server.url())
        .unwrap();
    text
}

/// Dials, asks for a WebSocket, and returns the status and `Retry-After` of the answer with the open connection.
async fn dial(edge: SocketAddr) -> (u16, Option<u64>, TcpStream) {
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    let told = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    (status, told.map(|seconds| seconds.trim().parse().unwrap()), stream)
}

/// The test holds an end of each connection, too.
fn raise_own_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
}

#[tokio::test]
async fn nine_hundred_agents_at_six_hundred_open_files_are_told_and_so_is_the_operator() {
    raise_own_limit();
    let server = Mock::start().await;
    let node = Node::start(&server, Some(600)).await;
    let agents_max = node.value("seawall_edge_agents_max").await;
    assert!((300.0..330.0).contains(&agents_max), "{agents_max}");

    let (mut open, mut told) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        for (status, retry_after, stream) in join_all((0..100).map(|_| dial(node.edge))).await {
            match status {
                101 => open.push(stream),
                503 => told.push(retry_after.expect("a moment")),
                status => panic!("answered {status}"),
            }
        }
    }
    assert_eq!(open.len() + told.len(), 900);
    // A hundred at once fill the places that are reserved for refusals. One by one the rest comes in.
    // Those that were refused give their places back as they go: until then one more may be refused.
    let mut refused_early = 0;
    while open.len() < 400 && refused_early < 50 {
        if let (101, _, stream) = dial(node.edge).await {
            open.push(stream);
            continue;
        }
        if open.len() as f64 > agents_max - 10.0 {
            break;
        }
        refused_early += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let here = u32::try_from(open.len()).unwrap();
    assert!((agents_max - f64::from(here)).abs() < 10.0, "{here} of {agents_max}");
    node.says("the node is full").await;
    node.until("/readyz", |status, body| {
        status == 200 && body.contains("\"full\":true") && body.contains("open files")
    })
    .await;
    assert_eq!(node.get("/readyz?room").await.0, 503);
    let metrics = node.metrics().await;
    assert_eq!(metrics.sum("seawall_full", &[("limit", "connections")]), 1.0);
    let outcomes =
        metrics.sum("seawall_admission_outcomes_total", &[("outcome", "refused_no_room")]);
    assert!(outcomes > 500.0, "{outcomes}");
    let addresses = node.get("/admission").await.1;
    assert!(addresses.contains("\"source\":\"127.0.0.1\",\"arrivals\":9"), "{addresses}");

    drop(open);
    node.until("/readyz?room", |status, body| status == 200 && body.contains("\"full\":false"))
        .await;
    // The hundreds at once filled it, too. On a slow machine it had room for a while after them.
    let log = node.process.log();
    let counts = || (log.count("the node is full"), log.count("has room again"));
    let in_turn = log.until(crate::support::PATIENCE, |_| counts().0 == counts().1).await;
    assert!(in_turn && counts().0 <= 2, "{:?}", counts());
}

#[tokio::test]
async fn a_storm_of_a_second_is_seen_between_two_scrapes_and_agents_that_leave_are_none() {
    raise_own_limit();
    let server = Mock::start().await;
    let node = Node::start(&server, None).await;
    // What Prometheus sees, before and afterwards.
    assert_eq!(node.value("seawall_storms_total").await, 0.0);
    let dialled = clock::now();
    let agents = join_all((0..400).map(|_| dial(node.edge))).await;
    assert!(agents.iter().all(|(status, ..)| *status == 101));
    let took = dialled.elapsed().as_secs_f64();
    node.says("storm over").await;
    let metrics = node.metrics().await;
    assert_eq!(metrics.sum("seawall_storms_total", &[]), 1.0);
    assert_eq!(metrics.sum("seawall_storm_under_way", &[]), 0.0);
    let seconds = metrics.sum("seawall_last_storm_seconds", &[]);
    assert!(seconds > 0.0 && seconds < took + 2.0, "{seconds} of {took}");
    // A storm is noticed within a quarter of a second; what came in the one before counts.
    let dials = metrics.sum("seawall_last_storm_dials", &[]);
    assert!((300.0..=400.0).contains(&dials), "{dials}");
    assert_eq!(metrics.sum("seawall_last_storm_refusals", &[]), 0.0);
    assert!(metrics.sum("seawall_last_storm_end_timestamp_seconds", &[]) > 1.7e9);

    drop(agents);
    node.until("/metrics", |_, text| text.contains("\nseawall_edge_open_connections 0\n")).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(node.value("seawall_storms_total").await, 1.0);
    assert_eq!(node.process.log().count("\"storm: "), 1, "it began once");
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again_and_never_ends_the_process() {
    let server = Mock::start().await;
    let mut node = Node::start(&server, None).await;
    let (edge, admin) = (node.edge, node.admin);
    node.rewrite("[admission]\nrate = \"fast\"\n");
    node.process.signal(Signal::HUP);
    node.says("SIGHUP: nothing changes").await;
    node.says("admission.rate: \\\"fast\\\" is not a whole number").await;

    let more =
        "[log]\nlevel = \"debug\"\n[admission]\nrate = 77\n[sessions]\ngrace_period = \"9s\"";
    let changed = text(edge, admin, &server, more);
    node.rewrite(&changed);
    node.process.signal(Signal::HUP);
    node.says("\"keys\":\"sessions.grace_period\"").await;
    node.says("\"changed\":\"admission.rate, log.level\"").await;
    node.until("/admission", |_, body| body.contains("\"rate\":77")).await;
    let _agent = dial(edge).await;
    node.until("/metrics", |_, text| text.contains("seawall_edge_accepted_connections_total 1"))
        .await;
    drop(_agent);
    node.says("connection closed").await;

    let back = text(edge, admin, &server, "");
    node.rewrite(&back);
    node.process.signal(Signal::HUP);
    node.until("/admission", |_, body| body.contains("\"automatic\":true")).await;
    node.process.signal(Signal::TERM);
    assert!(node.process.exited(Duration::from_secs(15)).await.success());
}

#[tokio::test]
async fn a_mute_server_does_not_hold_up_the_end() {
    let server = Mock::start().await;
    let mut node = Node::start(&server, None).await;
    let agent = Agent::connect(node.edge, uid(1)).await;
    server.converged(&[&agent]).await;
    server.behave(|behaviour| {
        behaviour.reply = Reply::Late(Duration::from_hours(1));
        behaviour.stalled = true;
    });
    agent.set_health("unheard").await;
    node.process.signal(Signal::TERM);
    agent.wait(|seen| seen.ended.is_some()).await;
    let closed = clock::now();
    assert!(node.process.exited(Duration::from_secs(10)).await.success());
    assert!(closed.elapsed() < Duration::from_secs(10), "{:?}", closed.elapsed());
}

#[tokio::test]
async fn replies_count_alike_on_both_transports() {
    let server = Mock::start().await;
    let gateway = Gateway::builder().server(&server.url(), Mode::Multiplexed(1)).start().await;
    let counts = async || {
        let metrics = gateway.metrics().await;
        let sent = |kind| metrics.sum("seawall_edge_sent_messages_total", &[("kind", kind)]);
        let replies = |source| metrics.sum("seawall_replies_total", &[("source", source)]);
        let timed = |source| metrics.sum("seawall_reply_seconds_count", &[("source", source)]);
        [
            sent("reply"),
            sent("local_ack"),
            replies("server"),
            replies("local"),
            timed("server"),
            timed("local"),
        ]
    };
    let mut socket = Socket::open(gateway.edge()).await;
    socket.ask(&full_report(&uid(1), 1)).await;
    socket.ask(&heartbeat(&uid(1), 2)).await;
    let by_socket = counts().await;
    assert_eq!(by_socket, [1.0; 6]);
    let headers = [("content-type", "application/x-protobuf")];
    for message in [full_report(&uid(2), 1), heartbeat(&uid(2), 2)] {
        let body = prost::Message::encode_to_vec(&message);
        let answer =
            http::request(gateway.edge(), "POST", "/v1/opamp", &headers, &body).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(counts().await, [2.0; 6], "as much again");
}

#[tokio::test]
async fn a_gateway_without_agents_rests() {
    let server = Mock::start().await;
    let node = Node::start(&server, None).await;
    // The probe rests after a second without arrivals.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pid = node.process.pid().unwrap();
    let (began, before) = (clock::now(), wakes(pid));
    tokio::time::sleep(Duration::from_secs(8)).await;
    let each_second = (wakes(pid) - before) as f64 / began.elapsed().as_secs_f64();
    // An optimised build uses 30 us for each, so less than 0.1 % of a core. A node that asked a
    // hundred times a second woke more than 130 times.
    assert!(each_second < 60.0, "{each_second:.0} wakes a second");
    // The next agent is served at once all the same.
    let dialled = clock::now();
    assert_eq!(dial(node.edge).await.0, 101);
    assert!(dialled.elapsed() < Duration::from_secs(1), "{:?}", dialled.elapsed());
}

/// How often the threads of a process have waited and gone on: a busy machine changes it little, unlike
/// processor time.
fn wakes(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        count.trim().parse::<u64>().ok()
    };
    threads.filter_map(|thread| of(thread.unwrap())).sum()
}
