//! The opamp-go peers of `interop/`: building them, running them, and whole set-ups of them,
//! directly connected or with a gateway in between.

pub(crate) mod agent;
pub(crate) mod server;
pub(crate) mod world;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Which release of the client. They differ in what they send when they connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// v0.22.0: its full state, each time.
    V022,
    /// The newest: only what has changed.
    Latest,
}

/// Where the built peers are.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    directory: PathBuf,
}

impl Peers {
    pub(crate) fn server(&self) -> PathBuf {
        self.directory.join("server")
    }

    pub(crate) fn agent(&self, version: Version) -> PathBuf {
        self.directory.join(match version {
            Version::V022 => "agent-v022",
            Version::Latest => "agent-latest",
        })
    }
}

/// Builds the peers, once for each test process; the Go tool is quick if they are up to date.
///
/// The peers need Go. Where it is missing, the tests say so loudly, past the test runner's capture;
/// under `CI=true` that is a failure.
pub(crate) fn peers() -> Option<Peers> {
    static PEERS: OnceLock<Option<Peers>> = OnceLock::new();
    PEERS.get_or_init(|| go().map(|go| build(&go))).clone().or_else(|| {
        announce_absence();
        None
    })
}

/// The Go tool: what the environment variable `GO` names, or from the path, or from where it is
/// usually put.
fn go() -> Option<PathBuf> {
    let works = |go: &PathBuf| {
        let version = Command::new(go).arg("version").output();
        version.is_ok_and(|output| output.status.success())
    };
    if let Some(named) = std::env::var_os("GO") {
        return Some(PathBuf::from(named)).filter(works);
    }
    ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"].map(PathBuf::from).into_iter().find(works)
}

fn announce_absence() {
    static ANNOUNCED: OnceLock<()> = OnceLock::new();
    ANNOUNCED.get_or_init(|| {
        let line = "#".repeat(78);
        // The test runner swallows `eprintln!` of a passing test and lets this through.
        let banner = format!(
            "\n{line}\n# GO IS NOT INSTALLED: THE INTEROP TESTS DID NOT RUN.\n\
             # Nothing was checked against the real OpAMP client and server (opamp-go).\n\
             # Install Go 1.24 or newer (Debian: apt-get install golang) and run again.\n{line}\n\n"
        );
        // If even standard error is gone, the banner is lost.
        let _ = std::io::stderr().write_all(banner.as_bytes());
    });
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "Go is not installed, and in CI the interop tests must run");
}

fn build(go: &Path) -> Peers {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    // target/<profile>/seawall lies two levels below the target directory.
    let target = Path::new(env!("CARGO_BIN_EXE_seawall")).ancestors().nth(2).expect("a directory");
    let directory = target.join("interop");
    std::fs::create_dir_all(&directory).expect("the target directory is writable");
    // Test binaries may run side by side.
    let lock = File::create(directory.join(".lock")).expect("the target directory is writable");
    lock.lock().expect("a local file can be locked");
    let peers = Peers { directory };
    compile(go, &source, "go.mod", ("./server", &peers.server()));
    compile(go, &source, "go.mod", ("./agent", &peers.agent(Version::Latest)));
    compile(go, &source, "go.v022.mod", ("./agent", &peers.agent(Version::V022)));
    peers
}

fn compile(go: &Path, source: &Path, module: &str, (package, output): (&str, &Path)) {
    let mut command = Command::new(go);
    command.current_dir(source).args(["build", "-buildvcs=false", "-trimpath", "-modfile", module]);
    let built = command.arg("-o").arg(output).arg(package).output().expect("Go runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "go build {package} with {module}:\n{said}");
}
