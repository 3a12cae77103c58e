//! The commands that people are told to type: they exist, `make help` lists them, and a `make setup`
//! that fails names the command to run by hand.
//!
//! Setup runs here with a PATH of its own, made of a few system tools and of stand-ins. Every stand-in
//! exits at once, so the machine stays as it is, and a tool that setup "installs" stays missing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::root;

/// What the scripts themselves are made of.
const SYSTEM: [&str; 12] = [
    "bash", "basename", "cat", "dirname", "env", "id", "ls", "mktemp", "rm", "sed", "tail", "true",
];

/// Everything that setup looks for, as a complete machine has it.
const TOOLS: [&str; 13] = [
    "cargo",
    "cargo-fmt",
    "cargo-clippy",
    "cargo-deny",
    "cargo-fuzz",
    "rustup",
    "cc",
    "go",
    "apt-get",
    "redis-server",
    "redis-sentinel",
    "redis-cli",
    "valkey-server",
];

/// A stand-in does what it is asked for; Go also tells its version.
const STAND_IN: &str = "#!/bin/bash\n[ \"$1 $2\" != 'env GOVERSION' ] || echo go1.24.6\n";

/// Runs setup where these of its tools are missing, and those are other than they should be.
fn setup(missing: &[&str], other: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in SYSTEM {
        symlink(system(name), path(name)).unwrap();
    }
    let found = TOOLS.iter().filter(|name| !missing.contains(name)).map(|name| (*name, STAND_IN));
    for (name, text) in found.chain(other.iter().copied()) {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = root().join(".ci/setup");
    Command::new(path("bash"))
        .arg(script)
        .env_clear()
        .env("PATH", folder.path())
        .env("HOME", folder.path())
        .env("GO", path("go"))
        .output()
        .unwrap()
}

fn system(name: &str) -> std::path::PathBuf {
    let folders = ["/usr/bin", "/bin"];
    let paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.into_iter().find(|path| path.exists()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn setup_is_content_where_everything_is_there() {
    let output = setup(&[], &[("haproxy", STAND_IN)]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("setup: everything is there"), "{text}");
    assert!(!text.contains("installing"), "{text}");
}

#[test]
fn setup_names_the_command_for_what_it_could_not_install() {
    for (tool, command) in [
        ("cargo", "https://sh.rustup.rs | sh"),
        ("cc", "apt-get install -y build-essential"),
        ("go", "apt-get install -y golang-go"),
        ("cargo-fmt", "rustup component add rustfmt"),
        ("cargo-clippy", "rustup component add clippy"),
        ("redis-cli", "apt-get install -y redis-tools"),
        ("cargo-deny", "cargo install cargo-deny --locked"),
        ("cargo-fuzz", "cargo install cargo-fuzz --locked"),
    ] {
        let output = setup(&[tool], &[("haproxy", STAND_IN)]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{tool}: {text}");
        let (before, after) = text.split_once("NOT INSTALLED").unwrap();
        assert!(after.contains(command), "{tool}: {text}");
        // It says what it is going to do before it does it.
        assert!(tool == "cargo" || before.contains("will be installed"), "{tool}: {text}");
        assert!(!text.contains("everything is there"), "{tool}: {text}");
    }
}

#[test]
fn setup_fetches_a_newer_go_beside_one_that_is_too_old() {
    let old = "#!/bin/bash\n[ \"$1\" = env ] && echo go1.19.8\n";
    let output = setup(&["go"], &[("haproxy", STAND_IN), ("go", old)]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("go install golang.org/dl/go1."), "{text}");
    assert!(!text.contains("golang-go"), "{text}");
}

/// Documents that tell people what to type.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/ARCHITECTURE.md",
    "docs/CLUSTER.md",
    "docs/INVARIANTS.md",
    "docs/METRICS.md",
    "docs/PERFORMANCE.md",
    "docs/PROTOCOL.md",
];

/// The targets that `make help` lists.
fn help() -> BTreeSet<String> {
    // Below `make tests` it would say on which level it runs.
    let mut make = Command::new("make");
    let make = make.args(["--no-print-directory", "help"]).current_dir(root());
    let output = make.env_remove("MAKELEVEL").env_remove("MAKEFLAGS").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn make_help_lists_every_target() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let (_, phony) = makefile.split_once(".PHONY:").unwrap();
    let (phony, _) = phony.split_once("\n\n").unwrap();
    let targets: BTreeSet<String> = phony
        .split([' ', '\\', '\n', '\t'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(targets, help());
}

#[test]
fn documents_name_targets_that_exist() {
    let help = help();
    let mut wrong = Vec::new();
    let mut named = 0;
    for path in DOCUMENTS {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for target in targets(&text) {
            named += 1;
            if !help.contains(target) {
                wrong.push(format!("{path}: make {target}"));
            }
        }
    }
    assert!(named > 20, "{named} targets are named");
    assert!(wrong.is_empty(), "make has none of these: {wrong:#?}");
}

#[test]
fn targets_are_found_in_back_ticks_and_at_the_beginning_of_a_line() {
    let text =
        "make demo   # one\nso we make do, `make sim SEED=1` or `make fmt clippy`\n    make test";
    assert_eq!(targets(text).collect::<Vec<_>>(), ["demo", "sim", "fmt", "test"]);
}

/// The first target of each `make TARGET` that is code: in back-ticks, or a line's beginning.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("make ").filter_map(|(at, make)| {
        let line = text[..at].rsplit('\n').next()?;
        let is_code = line.ends_with('`') || line.trim().is_empty();
        let rest = &text[at + make.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        (is_code && end > 0).then(|| &rest[..end])
    })
}
