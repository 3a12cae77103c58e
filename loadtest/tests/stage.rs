//! The commands that start server and gateway themselves, with small fleets: what they promise to
//! print is there and adds up.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// Runs a command to its good end and returns its figures.
fn figures(command: &[&str]) -> Value {
    let file = std::env::temp_dir().join(format!("{}-{}.json", command[0], std::process::id()));
    let output = Command::new(LOADTEST).args(command).arg("--json").arg(&file).output().unwrap();
    let json = std::fs::read(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&json).unwrap()
}

/// Whether the gateway's program is there: `cargo test --workspace` builds it, `-p loadtest` alone
/// does not. In CI it must be.
fn has_gateway() -> bool {
    let is_there = Path::new(LOADTEST).with_file_name("seawall").exists();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(is_there || !is_ci, "the gateway has not been built");
    is_there
}

#[test]
fn a_slow_server_keeps_agents_waiting_in_turn() {
    let json = figures(&["slow", "--direct", "--agents", "60", "--server-capacity", "60"]);
    assert_eq!(json["agents_back"], 60);
    assert_eq!(json["server"]["agents_wrong"], 0);
    // The last one's turn is over after a second; replies come when the work is done.
    let longest = json["first_reply_ms_max"].as_f64().unwrap();
    assert!((950.0..5_000.0).contains(&longest), "{longest}");
    let peak = json["server"]["messages_peak_per_second"].as_u64().unwrap();
    assert!((30..=64).contains(&peak), "{peak}");
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

/// Through HAProxy where it is installed, else through the instrument's own relay.
#[test]
fn a_drained_gateways_agents_come_to_the_other() {
    if !has_gateway() {
        return;
    }
    let mut command = vec!["drain", "--agents=200", "--rate=100", "--notice=2s", "--hold=3s"];
    let debian = Path::new("/usr/sbin/haproxy").exists();
    if !debian && Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("there is no HAProxy: the relay stands for it");
        command.push("--relay");
    }
    let json = figures(&command);
    assert_eq!(json["agents_on_first"], 200);
    assert_eq!(json["agents_on_second"], 200);
    assert_eq!(json["moves"], 200);
    let worst = json["closes_worst_second"].as_u64().unwrap();
    assert!((30..=100).contains(&worst), "{worst}");
    assert!(json["seconds_to_drained"].as_f64().unwrap() >= 3.5);
    assert!(json["turned_away_most"].as_u64() <= Some(1));
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["exit_code"], 0);
}

#[test]
fn the_gate_is_judged_by_its_budgets() {
    if !has_gateway() {
        return;
    }
    let file = std::env::temp_dir().join(format!("gate-{}.json", std::process::id()));
    let flags = ["--agents=1500", "--probes=2", "--cases=second-wave,r250", "--json"];
    let output = Command::new(LOADTEST).arg("gate").args(flags).arg(&file).output().unwrap();
    let json = std::fs::read(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(2), "{said}");
    let rows: Value = serde_json::from_slice(&json).unwrap();
    let mut is_good = true;
    for (row, case) in rows.as_array().unwrap().iter().zip(["second-wave", "r250"]) {
        assert_eq!(row["case"], case);
        let outcome = &row["outcome"];
        assert_eq!((&outcome["agents_back"], &outcome["probes"]), (&1500.into(), &2.into()));
        assert_eq!(outcome["faults"], Value::Array(Vec::new()), "{said}");
        let [ratio, budget] = [&outcome["time_ratio"], &row["budget"]["time_ratio"]];
        is_good &= row["missed"].as_array().unwrap().is_empty();
        // Two thirds or a sixth of them find the bucket full: what is missed here, a busy machine has missed.
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
