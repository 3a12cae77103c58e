//! The commands that start server and gateway themselves, with small fleets: what they promise to
//! print is there and adds up. Upper bounds of times are wide, since other work may share the cores.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// Runs a command with its figures as a line on standard output.
fn run(command: &[&str]) -> (Output, Value) {
    let output = Command::new(LOADTEST).args(command).args(["--json", "-"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "one line of JSON alone: {text}\n{said}");
    let json = serde_json::from_str(&text).unwrap();
    (output, json)
}

/// Runs a command to its good end and returns its figures.
fn figures(command: &[&str]) -> Value {
    let (output, json) = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{json}");
    json
}

/// Whether the gateway's program is there: `cargo test --workspace` builds it, `-p loadtest` alone
/// leaves it out. In CI it must be.
fn has_gateway() -> bool {
    let is_there = Path::new(LOADTEST).with_file_name("seawall").exists();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(is_there || !is_ci, "the gateway has not been built");
    is_there
}

/// 60 reports at a server that works through 60 a second. Asserted: the last reply comes after a second
/// at the earliest, and the server is never faster than its capacity.
#[test]
fn a_slow_server_keeps_agents_waiting_in_order() {
    let json = figures(&["slow", "--direct", "--agents", "60", "--server-capacity", "60"]);
    assert_eq!(json["agents_back"], 60);
    assert_eq!(json["server"]["agents_wrong"], 0);
    let longest = json["first_reply_ms_max"].as_f64().unwrap();
    assert!((950.0..60_000.0).contains(&longest), "{longest}");
    let peak = json["server"]["messages_peak_per_second"].as_u64().unwrap();
    assert!((10..=64).contains(&peak), "{peak}");
    assert!(json["server_messages_per_second"].as_f64().unwrap() < 70.0);
    assert!(json["gateway"]["rss_bytes_peak"].is_null(), "there was none");
}

#[test]
fn an_outage_is_nothing_to_agents_behind_the_gateway() {
    if !has_gateway() {
        return;
    }
    let json = figures(&["outage", "--agents", "60", "--down", "300ms", "--hold", "500ms"]);
    assert_eq!(json["connections_closed_by_gateway"], 0);
    assert_eq!(json["dials"], 0);
    assert_eq!(json["server"]["agents"], 60);
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["server"]["full_states"], 60);
    assert!(json["server"]["full_states_peak_per_second"].as_u64() <= Some(60));
    assert!(json["seconds_down"].as_f64().unwrap() >= 0.3);
    assert!(
        json["seconds_to_settled"].is_number() && json["gateway"]["rss_bytes_peak"].is_number()
    );
}

/// Through HAProxy where it is installed, else through the instrument's own relay. The notice is long
/// enough for a balancer whose checks come late on a loaded machine. Asserted: all agents move, no faster
/// than the rate, and the server stays right about each.
#[test]
fn a_drained_gateways_agents_come_to_the_other() {
    if !has_gateway() {
        return;
    }
    let mut command = vec!["drain", "--agents=200", "--rate=100", "--notice=5s", "--hold=3s"];
    let debian = Path::new("/usr/sbin/haproxy").exists();
    if !debian && Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("there is no HAProxy: the relay stands for it");
        command.push("--relay");
    }
    let json = figures(&command);
    assert_eq!(json["agents_on_first"], 200);
    assert_eq!(json["agents_on_second"], 200);
    assert_eq!(json["moves"], 200);
    // How many a look once in 25 ms can be sure of; a machine that looks late is sure of fewer.
    let worst = json["closes_worst_second"].as_u64().unwrap();
    assert!((1..=100).contains(&worst), "{worst}");
    assert!(json["seconds_to_drained"].as_f64().unwrap() >= 6.5);
    assert!(json["turned_away_most"].as_u64() <= Some(1));
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["exit_code"], 0);
}

/// Asserted: each case is run, and what misses its budget is said. Whether it does depends on the machine.
#[test]
fn the_gate_is_judged_by_its_budgets() {
    if !has_gateway() {
        return;
    }
    let (output, rows) = run(&["gate", "--agents=1500", "--probes=2", "--cases=second-wave,r250"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(2), "{said}");
    let mut is_good = true;
    for (row, case) in rows.as_array().unwrap().iter().zip(["second-wave", "r250"]) {
        assert_eq!(row["case"], case);
        let outcome = &row["outcome"];
        assert_eq!((&outcome["agents_back"], &outcome["probes"]), (&1500.into(), &2.into()));
        assert_eq!(outcome["faults"], Value::Array(Vec::new()), "{said}");
        let [ratio, budget] = [&outcome["time_ratio"], &row["budget"]["time_ratio"]];
        is_good &= row["missed"].as_array().unwrap().is_empty();
        let is_missed = ratio.as_f64().unwrap() > budget.as_f64().unwrap();
        assert!(!is_missed || said.contains(&format!("MISSED ({case}): time")), "{said}");
    }
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(output.status.success(), is_good, "{said}");
}

#[test]
fn a_comparison_is_of_the_same_storm() {
    if !has_gateway() {
        return;
    }
    let json = figures(&["compare", "--agents", "60", "--changed", "0.5", "--hold", "0s"]);
    assert_eq!(json["full_states"]["direct"], 60);
    assert_eq!(json["full_states"]["gateway"], 0);
    let [direct, gateway] = ["direct", "gateway"].map(|way| json["bytes"][way].as_u64().unwrap());
    assert_eq!(json["direct"]["server"]["bytes"], direct);
    assert!(gateway > 0 && gateway < direct / 2, "{gateway} of {direct}");
    let percent = json["bytes"]["percent"].as_f64().unwrap();
    assert!((percent - gateway as f64 * 100.0 / direct as f64).abs() < 0.001, "{percent}");
}
