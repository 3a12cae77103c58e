//! Seawall itself as a process, built from a few lines of configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::PATIENCE;
use super::http::{self, Answer};
use super::metrics::Metrics;
use super::ports::free_port;
use super::process::Process;

/// How often an endpoint is asked that has to be polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How agents share connections to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Over this many links.
    Multiplexed(u16),
    /// Each its own.
    PerAgent,
    /// By POSTs over this many connections.
    Http(u16),
}

/// A server in the configuration.
#[derive(Debug)]
struct Server {
    url: String,
    mode: Mode,
    /// Further keys, their values as TOML writes them.
    keys: Vec<(&'static str, String)>,
}

/// A configuration in the making. Every port is a free one of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct GatewayBuilder {
    edge: SocketAddr,
    admin: SocketAddr,
    tables: BTreeMap<&'static str, BTreeMap<String, String>>,
    servers: Vec<Server>,
    environment: Vec<(String, String)>,
}

impl GatewayBuilder {
    /// Adds a server; they are named "a", "b" and so on.
    pub(crate) fn server(mut self, url: &str, mode: Mode) -> Self {
        self.servers.push(Server { url: url.to_owned(), mode, keys: Vec::new() });
        self
    }

    /// Sets a key of the server added last.
    pub(crate) fn server_key(mut self, key: &'static str, value: &str) -> Self {
        self.servers.last_mut().expect("a server").keys.push((key, value.to_owned()));
        self
    }

    /// Sets a key of a table (`edge`, `sessions`, `upstream`, `admin`), its value as TOML writes it.
    pub(crate) fn set(mut self, table: &'static str, key: &str, value: &str) -> Self {
        self.tables.entry(table).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The file that this makes.
    pub(crate) fn toml(&self) -> String {
        let mut text = String::new();
        for (table, keys) in &self.tables {
            writeln!(text, "[{table}]").expect("text grows");
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").expect("text grows");
            }
        }
        for (name, Server { url, mode, keys }) in ('a'..).zip(&self.servers) {
            let mode = match mode {
                Mode::Multiplexed(links) => format!("mode = \"multiplexed\"\nlinks = {links}"),
                Mode::PerAgent => "mode = \"per-agent\"".to_owned(),
                Mode::Http(connections) => {
                    format!("mode = \"http\"\nconnections = {connections}")
                }
            };
            writeln!(text, "[[upstream.servers]]\nname = \"{name}\"\nurl = \"{url}\"\n{mode}")
                .expect("text grows");
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").expect("text grows");
            }
        }
        text
    }

    /// Starts it and waits until it is ready: it listens and reaches a server.
    pub(crate) async fn start(self) -> Gateway {
        let mut gateway = self.start_unready().await;
        gateway.wait_ready().await;
        gateway
    }

    /// Starts it and waits until it is alive, for tests in which the server is absent.
    pub(crate) async fn start_unready(self) -> Gateway {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("seawall.toml");
        std::fs::write(&file, self.toml()).expect("a temporary file");
        let mut process = spawn(&file, &self.environment);
        until_answer(&mut process, self.admin, "/healthz", |answer| answer.status == 200).await;
        let Self { edge, admin, environment, .. } = self;
        Gateway { process, edge, admin, environment, directory }
    }
}

fn spawn(file: &Path, environment: &[(String, String)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.arg("run").arg("--config").arg(file).envs(environment.iter().cloned());
    Process::start("seawall", command)
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Process,
    edge: SocketAddr,
    admin: SocketAddr,
    environment: Vec<(String, String)>,
    directory: TempDir,
}

impl Gateway {
    /// A configuration with free ports; servers are added to it.
    pub(crate) fn builder() -> GatewayBuilder {
        let edge = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let builder = GatewayBuilder {
            edge,
            admin,
            tables: BTreeMap::new(),
            servers: Vec::new(),
            environment: Vec::new(),
        };
        builder
            .set("edge", "listen", &format!("[\"{edge}\"]"))
            .set("edge", "paths", "[\"/v1/opamp\"]")
            .set("admin", "listen", &format!("\"{admin}\""))
    }

    /// Where agents connect.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.edge
    }

    /// Where operators look.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The WebSocket endpoint.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/v1/opamp", self.edge)
    }

    /// The plain-HTTP endpoint.
    pub(crate) fn http_url(&self) -> String {
        format!("http://{}/v1/opamp", self.edge)
    }

    /// Its process, for signals and logs.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it (SIGKILL) and starts it again with the same configuration.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await;
        self.process = spawn(&self.directory.path().join("seawall.toml"), &self.environment);
        self.wait_ready().await;
    }

    /// Fetches an admin path.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::get(self.admin, path).await.expect("the admin endpoint answers")
    }

    /// Whether `/readyz` says so now.
    pub(crate) async fn ready(&self) -> bool {
        self.get("/readyz").await.status == 200
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn wait_ready(&mut self) {
        until_answer(&mut self.process, self.admin, "/readyz", |answer| answer.status == 200).await;
    }

    /// Waits until it listens for agents, even if its server is absent.
    pub(crate) async fn wait_listening(&mut self) {
        let listens = |answer: &Answer| !answer.text().contains("starting");
        until_answer(&mut self.process, self.admin, "/readyz", listens).await;
    }

    /// Waits until `/readyz` answers 503.
    pub(crate) async fn wait_unready(&mut self) {
        until_answer(&mut self.process, self.admin, "/readyz", |answer| answer.status == 503).await;
    }

    /// All metrics now.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").await.text())
    }

    /// Waits until the sum over a metric's series with these labels is as wanted; returns it.
    pub(crate) async fn wait_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        let mut last = None;
        let found = polling(async || {
            let value = self.metrics().await.sum(name, labels);
            last = Some(value);
            wanted(value).then_some(value)
        })
        .await;
        found.unwrap_or_else(|| panic!("{name} {labels:?} stays at {last:?}"))
    }
}

/// Asks until the answer is as wanted; fails the test if the process ends or time runs out.
async fn until_answer(
    process: &mut Process,
    admin: SocketAddr,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) {
    let mut last = "no answer".to_owned();
    let found = polling(async || {
        if let Some(status) = process.ended() {
            // The rest of its log is about to be read.
            tokio::time::sleep(POLL_INTERVAL).await;
            panic!("seawall ended: {status}");
        }
        let answer = http::get(admin, path).await.ok()?;
        last = format!("{} {}", answer.status, answer.text());
        wanted(&answer).then_some(())
    })
    .await;
    assert!(found.is_some(), "{path} of seawall: {last}");
}

/// Asks again and again, for what can only be asked for; `None` after [`PATIENCE`].
pub(crate) async fn polling<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.ok()
}
