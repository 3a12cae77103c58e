//! Storms at a gate: the ideal time, agents that do not obey, a second wave, a rate that changes, and
//! probes. The gate is a stub, so that nothing but the instrument is tested.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::{Gate, Manner};

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// A server stand-in behind a gate.
struct Scene {
    server: Child,
    report: u16,
    gate: Gate,
}

impl Scene {
    fn set(manner: Manner, knows_rates: bool) -> Self {
        let free_port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [port, report] = [free_port(), free_port()];
        let mut server = Command::new(LOADTEST)
            .args(["server", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--report-listen", &format!("127.0.0.1:{report}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where it listens once it does.
        let mut line = String::new();
        BufReader::new(server.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { server, report, gate: Gate::start(port, manner, knows_rates) }
    }

    fn storm(&self, flags: &[&str]) -> (Output, Value) {
        let output = Command::new(LOADTEST)
            .args(["storm", "--target", &format!("ws://127.0.0.1:{}/v1/opamp", self.gate.port)])
            .args(["--server-report", &format!("http://127.0.0.1:{}", self.report)])
            .arg(format!("--gateway-metrics=http://127.0.0.1:{}/metrics", self.gate.admin_port))
            .args(["--agents", "200", "--json", "-"])
            .args(flags)
            .output()
            .unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, json)
    }

    fn good_storm(&self, flags: &[&str]) -> Value {
        let (output, json) = self.storm(flags);
        assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(json["server"]["agents_missing"], 0);
        assert_eq!(json["server"]["agents_wrong"], 0);
        assert_eq!(json["agents_back"], json["agents_returning"]);
        json
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", json[key]))
}

/// The gate admits a second's worth at once, and the rest at its rate.
fn assert_ratio(json: &Value, admitted_at_once: f64, rate: f64) {
    let least = number(json, "ideal_seconds") - admitted_at_once / rate;
    let seconds = number(json, "seconds_to_100");
    assert!((least * 0.98..least + 1.5).contains(&seconds), "{least} {json}");
    let ratio = number(json, "time_ratio_all");
    assert!((ratio - seconds / number(json, "ideal_seconds")).abs() < 0.001, "{json}");
}

#[test]
fn a_line_is_held_to_its_ideal_and_probes_do_not_stand_in_it() {
    let scene = Scene::set(Manner::Park, true);
    let flags = ["--admission-rate=100", "--fill-rate=100000", "--probes=4"];
    let json = scene.good_storm(&flags);
    assert_eq!(*scene.gate.told.lock(), [100_000.0, 100.0]);
    assert_eq!(json["ideal_seconds"], 2.0);
    assert_eq!(json["honest_attempts_mean"], 1.0);
    assert_ratio(&json, 100.0, 100.0);
    assert_eq!(json["time_ratio"], json["time_ratio_all"]);
    // Four send ten a second each, from the cut until all are back.
    let expected = number(&json, "seconds_to_100") * 40.0;
    let sent = number(&json, "probe_heartbeats");
    assert!((sent - expected).abs() < 12.0, "{sent} {expected}");
    assert_eq!(json["probe_unanswered"], 0);
    assert!(number(&json, "probe_rtt_ms_max") >= number(&json, "probe_rtt_ms_p99"));
    assert!(number(&json, "probe_rtt_ms_p50") > 0.0);
    // The herd alone is counted as agents, and the server knows the probes too.
    assert_eq!((&json["agents"], &json["server"]["agents"]), (&200.into(), &204.into()));
}

#[test]
fn a_second_wave_and_a_lower_rate_move_the_ideal() {
    let scene = Scene::set(Manner::Park, true);
    let flags = [
        "--admission-rate=80",
        "--fill-rate=100000",
        "--second-wave-at=1s",
        "--rate-change=2s=160",
        "--heartbeat=1h",
    ];
    let json = scene.good_storm(&flags);
    assert_eq!(*scene.gate.told.lock(), [100_000.0, 80.0, 160.0]);
    // All that were in after a second, 80 of the bucket and 80 more, were at risk; half were hit.
    let cut = number(&json, "second_wave_connections");
    assert!((55.0..=105.0).contains(&cut), "{cut}");
    assert!(number(&json, "second_wave_dials") > 0.0, "{json}");
    // In two seconds 160, the rest at twice the rate.
    let ideal = 2.0 + (200.0 + cut - 160.0) / 160.0;
    assert!((number(&json, "ideal_seconds") - ideal).abs() < 0.05, "{ideal} {json}");
    assert!(number(&json, "attempts_mean") > 1.0 + cut / 200.0 * 0.9);
}

#[test]
fn who_ignores_retry_after_dials_every_second() {
    let scene = Scene::set(Manner::Refuse(2), true);
    // Nobody is let in until somebody opens the gate.
    let flags = [
        "--admission-rate=0.1",
        "--fill-rate=100000",
        "--rate-change=3600ms=100000",
        "--misbehaving=0.3",
    ];
    let json = scene.good_storm(&flags);
    let honest = number(&json, "agents_honest");
    assert!((115.0..=165.0).contains(&honest), "{honest}");
    // After 0, 2 and 4 seconds, and the others after 0, 1, 2, 3 and 4.
    assert_eq!(json["honest_attempts_mean"], 3.0);
    let all = (3.0 * honest + 5.0 * (200.0 - honest)) / 200.0;
    assert!((number(&json, "attempts_mean") - all).abs() < 0.001, "{all} {json}");
    assert!(number(&json, "refused_peak_per_second") >= 100.0);
    assert!((3.6..3.8).contains(&number(&json, "ideal_seconds")), "{json}");
    assert!((1.0..1.4).contains(&number(&json, "time_ratio")), "{json}");
}

#[test]
fn who_stays_away_is_not_waited_for() {
    let scene = Scene::set(Manner::Park, true);
    let json = scene.good_storm(&["--no-return=0.4", "--clock-error=0.1", "--changed=0.5"]);
    let returning = number(&json, "agents_returning");
    assert!((90.0..=150.0).contains(&returning), "{returning}");
    assert_eq!(json["agents"], 200);
    assert!(json["ideal_seconds"].is_null() && json["time_ratio"].is_null());
    assert!(number(&json, "seconds_to_100") < 10.0);
}

#[test]
fn a_gateway_whose_rate_cannot_be_set_is_said_to_be_one() {
    let scene = Scene::set(Manner::Park, false);
    let (output, _) = scene.storm(&["--admission-rate=100", "--fill-rate=100000"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("knows no POST /admission"), "{said}");
}
