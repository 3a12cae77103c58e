//! The `seawall` command as an operator types it: answers, exit codes, signals.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

#[path = "cli/compose.rs"]
mod compose;
#[path = "cli/logs.rs"]
mod logs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn seawall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(arguments).env_clear();
    command
}

fn check(text: &str) -> (Output, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let output = seawall(&["check", "--config", path]).output().unwrap();
    (output, path.to_owned())
}

#[test]
fn check_says_what_a_right_configuration_means() {
    let (output, _) =
        check("[[upstream.servers]]\nname = \"main\"\nurl = \"ws://10.0.0.5:4320\"\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("ok\n"), "{text}");
    assert!(
        text.contains("main at ws://10.0.0.5:4320/v1/opamp, all agents over 4 links"),
        "{text}"
    );
    assert!(text.contains("connections/s (8,000 agents: 8 s;"), "{text}");
}

#[test]
fn check_says_every_mistake_and_exits_with_2() {
    let (output, path) = check("[edge]\npaht = \"/x\"\n[sessions]\nlinger = 60\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "{path}: line 2: edge.paht: not a known key; did you mean `paths`?\n\
             {path}: line 4: sessions.linger: renamed; say sessions.grace_period\n\
             {path}: upstream.servers: no [[upstream.servers]]: name at least one server, by `url`\n\
             3 mistakes\n"
        )
    );
}

#[test]
fn the_sample_is_a_right_configuration() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/seawall.toml");
    let output = seawall(&["check", "--config", sample]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn wrong_arguments_exit_with_2() {
    assert_eq!(seawall(&["walk"]).output().unwrap().status.code(), Some(2));
    assert_eq!(seawall(&["run"]).output().unwrap().status.code(), Some(2));
}

/// A gateway on ports of the kernel's choice, whose server refuses every connection.
fn start() -> Child {
    seawall(&["run"])
        .env("SEAWALL_EDGE__LISTEN", "127.0.0.1:0")
        .env("SEAWALL_ADMIN__LISTEN", "127.0.0.1:0")
        .env("SEAWALL_DRAIN__NOTICE", "0s")
        .env("SEAWALL_UPSTREAM__SERVERS__0__URL", "ws://127.0.0.1:1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_signal_stops_it_in_order_and_logs_are_json_without_a_terminal() {
    // Who signals a process and then its group means one stop.
    for signals in [&[Signal::TERM][..], &[Signal::INT], &[Signal::INT, Signal::TERM]] {
        let mut child = start();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&first["message"], &first["level"]), (&"starting".into(), &"INFO".into()));
        signals.iter().for_each(|signal| kill_process(Pid::from_child(&child), *signal).unwrap());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("\"stopping\"")), "{rest:?}");
        assert!(rest.last().unwrap().contains("\"stopped\""), "{rest:?}");
    }
}

#[test]
fn the_first_lines_sum_the_configuration_up_and_numbers_are_numbers() {
    let mut child = start();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()));
    let mut events = events.map(Result::unwrap);
    let summary: Vec<String> = events
        .by_ref()
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .take_while(|message| message != "listening for operators")
        .collect();
    for wanted in
        ["starting", "agents:    127.0.0.1:0/v1/opamp", "admission: automatic", "server:    "]
    {
        assert!(summary.iter().any(|line| line.starts_with(wanted)), "{wanted}: {summary:?}");
    }
    let failed = events.find(|event| event["message"] == "server cannot be reached").unwrap();
    assert!(failed["retry_after_seconds"].is_f64() && failed["link"].is_u64(), "{failed}");
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn check_says_for_how_many_agents_there_is_room() {
    let run = "ulimit -n 600; exec \"$0\" check";
    let mut command = Command::new("sh");
    command.args(["-c", run, env!("CARGO_BIN_EXE_seawall")]);
    command.env("SEAWALL_UPSTREAM__SERVERS__0__URL", "ws://127.0.0.1:1");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // (600 - 256 - 4 links) x 15/16, rounded up.
    assert!(
        text.contains("\nroom:      319 agents at one time, by the limit on open files (600)"),
        "{text}"
    );
}

#[test]
fn help_names_the_environment() {
    let text = String::from_utf8(seawall(&["--help"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("SEAWALL_UPSTREAM__SERVERS__0__URL="), "{text}");
}

fn cluster(admin: &str) -> Output {
    seawall(&["cluster", "--admin", admin]).output().unwrap()
}

/// A node by itself, whose only server refuses every connection.
#[test]
fn cluster_shows_a_node_that_is_not_ready_and_exits_with_4() {
    let mut child = start();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()));
    let mut events = events.map(Result::unwrap);
    let listening = events.find(|event| event["message"] == "listening for operators").unwrap();
    let output = cluster(listening["address"].as_str().unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.starts_with("1 node as "), "{text}");
    assert!(text.contains(": it is not ready: "), "{text}");
    assert!(text.contains("memory: the node has no others"), "{text}");
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn cluster_exits_with_2_for_what_is_no_address() {
    for admin in ["foo", "127.0.0.1:", "127.0.0.1:99999"] {
        let output = cluster(admin);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("this is not a host and port such as"), "{text}");
    }
}

#[test]
fn cluster_exits_with_1_where_no_node_listens() {
    let output = cluster("127.0.0.1:1");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is it the node's admin.listen"), "{text}");
}
