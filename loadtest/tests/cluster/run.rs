//! One run of `loadtest cluster` in a folder of its own, and what it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The load generator.
const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// A small fleet that is admitted in a second, and notices soon what there is to notice.
const SMALL: [&str; 7] = [
    "--agents=240",
    "--rate=480",
    "--heartbeat=1s",
    "--hold=2s",
    "--settle=60s",
    "--grace=30s",
    "--json=-",
];

/// One run in a folder of its own, which goes when the test has passed.
pub(super) struct Run {
    folder: PathBuf,
    pub(super) exit_code: Option<i32>,
    pub(super) said: String,
    pub(super) figures: Value,
}

impl Run {
    pub(super) fn of(flags: &[&str]) -> Self {
        let folder = folder(flags);
        let output = command(&folder, flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let figures = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Self { folder, exit_code: output.status.code(), said, figures }
    }

    /// A run whose server is right in the end, whatever was said on the way.
    pub(super) fn settled(flags: &[&str]) -> Self {
        let run = Self::of(flags);
        assert!(run.figures.is_object(), "{}", run.said);
        for key in ["agents_missing", "agents_wrong", "misrouted", "malformed"] {
            assert_eq!(run.figures[key], 0, "{key}: {}", run.said);
        }
        let faults = run.figures["faults"].as_array().unwrap();
        assert_eq!(run.exit_code, Some(i32::from(!faults.is_empty())), "{}", run.said);
        run
    }

    pub(super) fn count(&self, key: &str) -> u64 {
        self.figures[key].as_u64().unwrap_or_else(|| panic!("{key} is {}", self.figures[key]))
    }

    pub(super) fn number(&self, key: &str) -> f64 {
        self.figures[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", self.figures[key]))
    }

    /// Whether the gateway could share sessions.
    pub(super) fn shares(&self) -> bool {
        self.figures["nodes_share"] == true
    }

    pub(super) fn has_fault(&self, words: &str) -> bool {
        self.said.lines().any(|line| line.starts_with("FAULT: ") && line.contains(words))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _: std::io::Result<()> = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// An empty folder for this run's files.
pub(super) fn folder(flags: &[&str]) -> PathBuf {
    let name = format!("cluster-{}-{}", std::process::id(), flags.join("").replace(['-', '/'], ""));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(super) fn command(folder: &Path, flags: &[&str]) -> Command {
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let is_other = |small: &&&str| flags.iter().all(|flag| name(flag) != name(small));
    let mut command = Command::new(LOADTEST);
    command.arg("cluster").args(flags).args(SMALL.iter().filter(is_other));
    command.env("TMPDIR", folder);
    command
}

/// Whether the gateway's program and these others are there. In CI they must be.
pub(super) fn has(programs: &[&str]) -> bool {
    let gateway = Path::new(LOADTEST).with_file_name("seawall");
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(Path::new);
    let is_there = |name: &&&str| folders.iter().any(|folder| folder.join(name).exists());
    let mut missing: Vec<&str> = programs.iter().filter(|p| !is_there(p)).copied().collect();
    missing.extend((!gateway.exists()).then_some("seawall"));
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(missing.is_empty() || !is_ci, "{missing:?} are missing: `make setup` installs them");
    if !missing.is_empty() {
        eprintln!("NOT TESTED: {missing:?} are missing; `make setup` installs them");
    }
    missing.is_empty()
}
