//! The instrument against its own server stand-in, as processes: a storm must pass the oracle, and
//! a server that believes something untrue must fail it.
//!
//! Counts come from the stand-in and the instrument itself. Times have strict lower bounds; upper bounds
//! are wide, since other work may share the cores.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::gate::{Gate, Manner};
use support::stand_in::StandIn;
use support::{LOADTEST, number, until};

/// A storm at the stand-in itself, without a gateway.
fn storm(server: &StandIn, flags: &[&str]) -> (Output, Value) {
    server.storm(server.port, &[&NO_GATEWAY, flags].concat())
}

/// Port 1 is closed.
const NO_GATEWAY: [&str; 1] = ["--gateway-metrics=http://127.0.0.1:1/metrics"];

fn assert_good(output: &Output, json: &Value) {
    assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["misrouted"], 0);
    assert_eq!(json["agents_back"], json["agents"]);
}

#[test]
fn full_states_come_again_on_every_reconnect() {
    let server = StandIn::start(&[]);
    let (output, json) = storm(
        &server,
        &["--agents", "200", "--changed", "0.5", "--behaviour", "full-on-reconnect"],
    );
    assert_good(&output, &json);
    assert_eq!(json["server"]["messages"], 200);
    assert_eq!(json["server"]["full_states"], 200);
    assert_eq!(json["server"]["gaps"], 0);
    assert_eq!(json["attempts_mean"], 1.0);
    assert!(number(&json, "seconds_to_100") >= number(&json, "seconds_to_50"));
    assert!(json["gateway"]["rss_bytes"].is_null());
    // Each came on another connection than the one before, and no agent was asked for it.
    assert_eq!(json["server"]["full_states_repeated"], 0);
    assert_eq!(json["full_state_requests_seen"], 0);
    let peak = &json["server"]["full_states_peak_per_second"];
    assert!((1..=200).contains(&peak.as_u64().unwrap()), "{peak}");
    assert_eq!(peak, &json["server"]["messages_peak_per_second"]);
    assert!(number(&json, "first_reply_ms_max") >= number(&json, "first_reply_ms_p99"));
    assert!(number(&json, "seconds_to_settled") >= number(&json, "seconds_to_100"));
}

#[test]
fn deltas_hold_what_changed() {
    let server = StandIn::start(&["--ask-components"]);
    let (output, json) = storm(
        &server,
        &["--agents", "200", "--changed", "0.5", "--behaviour", "delta-on-reconnect"],
    );
    assert_good(&output, &json);
    assert_eq!(json["server"]["full_states"], 0);
    assert_eq!(json["server"]["gaps"], 0);
    assert!(json["server"]["announces"].as_u64().unwrap() > 50);
}

#[test]
fn a_server_that_believes_something_untrue_fails_the_oracle() {
    let server = StandIn::start(&["--corrupt-one"]);
    let (output, json) = storm(&server, &["--agents", "50", "--settle", "1s"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["server"]["agents_wrong"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("effective_config"));
}

#[test]
fn lost_reports_are_healed_by_the_question_for_the_full_state() {
    let server = StandIn::start(&["--unavailable-every", "7", "--retry-after", "1s"]);
    let flags = [
        "--agents",
        "100",
        "--heartbeat",
        "500ms",
        "--behaviour",
        "delta-on-reconnect",
        "--changed=1",
    ];
    let (output, json) = storm(&server, &flags);
    assert_good(&output, &json);
    assert!(json["server"]["unavailable"].as_u64().unwrap() > 0);
    assert!(json["server"]["full_state_requests"].as_u64().unwrap() > 0);
    assert!(json["full_state_requests_seen"].as_u64().unwrap() > 0);
}

/// All agents are refused once and told 2 s. Asserted: all come back after that and no sooner, and the
/// time of a first reply runs from the dial that succeeded, so it lacks the 2 s. A loaded machine may
/// end the refusals late, so that an agent is refused once more.
#[test]
fn a_refused_agent_waits_as_long_as_it_is_told() {
    let server = StandIn::start(&[]);
    let (output, json) = std::thread::scope(|scope| {
        let command = server.storm_command(
            server.port,
            &["--gateway-metrics=http://127.0.0.1:1/metrics", "--agents=20", "--hold=1s"],
        );
        let storm = scope.spawn(move || { command }.output().unwrap());
        // Before the cut all agents are connected; the faults begin once they are.
        until("all are connected", || server.report()["agents_complete"] == 20);
        server.ask("POST", "/misbehave", r#"{"refuse_upgrade":"503:2"}"#);
        until("each was refused", || server.report()["refused"].as_u64() >= Some(20));
        server.ask("POST", "/misbehave", "{}");
        let output = storm.join().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, json)
    });
    assert_good(&output, &json);
    let dials = number(&json, "attempts_mean");
    assert!((2.0..5.0).contains(&dials), "{dials}");
    assert!((dials - 1.0) * 20.0 - number(&json, "refusals") < 0.5, "{json}");
    assert!((1..=40).contains(&json["refused_peak_per_second"].as_u64().unwrap()));
    let seconds = number(&json, "seconds_to_50");
    assert!((2.0..60.0).contains(&seconds), "{seconds}");
    let first_reply = number(&json, "first_reply_ms_p50") / 1000.0;
    assert!(first_reply <= seconds - 1.9, "{first_reply} of {seconds}");
}

#[test]
fn offers_reach_their_agents_and_come_back_as_status() {
    let server = StandIn::start(&[]);
    let flags = [NO_GATEWAY[0], "--agents=50", "--hold=5s"];
    let storm = server.storm_command(server.port, &flags).stdout(Stdio::piped()).spawn().unwrap();
    server.wait_for_return(50);
    let order = r#"{"all":true,"kind":"remote_config","size":5000}"#;
    assert_eq!(server.ask("POST", "/push", order)["targets"], 50);
    let order = r#"{"all":true,"kind":"bytes","size":70000}"#;
    assert_eq!(server.ask("POST", "/push", order)["targets"], 50);
    let output = storm.wait_with_output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_good(&output, &json);
    assert_eq!(json["server"]["offers_open"], 0);
    assert!(json["offers"].as_u64().unwrap() >= 50);
}

#[test]
fn a_killed_server_comes_back_at_once_and_learns_everything_again() {
    let mut server = StandIn::start(&[]);
    let (port, report) = (server.port, server.report);
    let flags = [NO_GATEWAY[0], "--agents=100", "--hold=8s", "--behaviour=delta-on-reconnect"];
    let storm = server.storm_command(port, &flags).stdout(Stdio::piped()).spawn().unwrap();
    server.wait_for_return(100);
    drop(server);
    server = StandIn::start_on(port, report, &[]);
    let output = storm.wait_with_output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_good(&output, &json);
    assert_eq!(json["connections_closed_by_gateway"], 100);
    assert_eq!(server.report()["unknown_agents"], 100);
}

/// Two relays lead to one server. Asserted: each agent begins at a target of its own by round robin and
/// dials the other one after the cut; then 30 agents go to the other target and straight back, and
/// each of those moves is seen and answered, with the change that it brought.
#[test]
fn agents_move_between_targets_as_they_are_told() {
    let server = StandIn::start(&[]);
    let gates = [(); 2].map(|()| Gate::start(server.port, Manner::Park, false));
    let second = format!("--target=ws://127.0.0.1:{}/v1/opamp", gates[1].port);
    let flags = [
        NO_GATEWAY[0],
        &second,
        "--agents=60",
        "--choice=round-robin",
        "--behaviour=delta-on-reconnect",
        "--move-agents=30",
        "--move-rate=300",
        "--move-changed=1",
        "--move-hops=2",
    ];
    let (output, json) = server.storm(gates[0].port, &flags);
    assert_good(&output, &json);
    let targets = json["targets"].as_array().unwrap();
    let sum = |key: &str| targets.iter().map(|target| target[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("dials"), 120, "{targets:?}");
    assert_eq!(sum("sessions"), 120);
    assert_eq!(sum("came_from_elsewhere"), 120);
    assert_eq!(sum("connected"), 60);
    for target in targets {
        assert_eq!((&target["sessions"], &target["connected"]), (&60.into(), &30.into()));
        assert_eq!((&target["failed"], &target["closed_by_peer"]), (&0.into(), &0.into()));
    }
    assert_eq!((&json["moves_begun"], &json["moves_answered"]), (&60.into(), &30.into()));
    assert!(number(&json, "moved_reply_ms_p99") > 0.0);
    // An announce each after the cut, and a change for each that moved; what the reset of the first hop
    // destroyed is asked for.
    let messages = number(&json, "messages_per_agent");
    assert!((1.5..=3.0).contains(&messages), "{messages}");
    assert_eq!(json["server"]["spoken_twice"], 0);
}

#[test]
fn without_a_server_to_ask_there_is_no_verdict() {
    let server = StandIn::start(&[]);
    let port = server.port;
    drop(server);
    let output = Command::new(LOADTEST)
        .args(["storm", "--agents", "1", "--server-report", &format!("http://127.0.0.1:{port}")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-oracle"));
}
