//! Storms at a gate: the ideal time, agents that disobey, a second wave, a rate that changes, and
//! probes. The gate is a stub, so that the instrument alone is tested.
//!
//! Figures are compared with each other and with what the gate was told. Times have a strict lower bound,
//! which the gate's rate gives; a loaded machine makes them longer, so their upper bounds are wide.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::gate::{Gate, Manner};
use support::number;
use support::stand_in::StandIn;

/// How much later than on a quiet machine a storm may end, in seconds.
const LATE: f64 = 20.0;

/// A server stand-in behind a gate.
struct Scene {
    server: StandIn,
    gate: Gate,
}

impl Scene {
    fn set(manner: Manner, knows_rates: bool) -> Self {
        let server = StandIn::start(&[]);
        let gate = Gate::start(server.port, manner, knows_rates);
        Self { server, gate }
    }

    fn storm(&self, flags: &[&str]) -> (Output, Value) {
        let metrics =
            format!("--gateway-metrics=http://127.0.0.1:{}/metrics", self.gate.admin_port);
        let common = ["--agents=200", &metrics];
        self.server.storm(self.gate.port, &[&common, flags].concat())
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

/// The gate admits a second's worth at once, and the rest at its rate.
fn assert_ratio(json: &Value, admitted_at_once: f64, rate: f64) {
    let least = number(json, "ideal_seconds") - admitted_at_once / rate;
    let seconds = number(json, "seconds_to_100");
    assert!((least * 0.98..least + LATE).contains(&seconds), "{least} {json}");
    let ratio = number(json, "time_ratio_all");
    assert!((ratio - seconds / number(json, "ideal_seconds")).abs() < 0.001, "{json}");
}

/// Asserted: the ideal follows from the rate, the storm takes no less, each agent dials once, and probes
/// send as many heartbeats as their schedule holds in that time.
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
    // Four send ten a second each, from the cut until all agents are back and a late look has seen it.
    let expected = number(&json, "seconds_to_100") * 40.0;
    let sent = number(&json, "probe_heartbeats");
    assert!((expected - 12.0..expected + LATE * 40.0).contains(&sent), "{sent} {expected}");
    assert_eq!(json["probe_unanswered"], 0);
    assert!(number(&json, "probe_rtt_ms_max") >= number(&json, "probe_rtt_ms_p99"));
    assert!(number(&json, "probe_rtt_ms_p50") > 0.0);
    // The herd alone is counted as agents, and the server knows the probes too.
    assert_eq!((&json["agents"], &json["server"]["agents"]), (&200.into(), &204.into()));
}

/// Asserted: the ideal that the instrument prints follows from what the second wave cut and from the
/// instant at which the rate rose. A late change of rate makes the ideal longer, by half its lateness.
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
    // At most the 160 that the rate let in within a second were at risk, and half of them were hit.
    let cut = number(&json, "second_wave_connections");
    assert!((1.0..=105.0).contains(&cut), "{cut}");
    assert!(number(&json, "second_wave_dials") > 0.0, "{json}");
    // In two seconds 160, the rest at twice the rate.
    let ideal = 2.0 + (200.0 + cut - 160.0) / 160.0;
    let printed = number(&json, "ideal_seconds");
    assert!((ideal - 0.05..ideal + LATE / 2.0).contains(&printed), "{ideal} {json}");
    assert!(number(&json, "attempts_mean") > 1.0 + cut / 200.0 * 0.9);
}

/// The gate refuses every agent with a Retry-After of 2 s until it is opened after 3.6 s. An
/// obedient agent dials after 0, 2 and 4 seconds, a misbehaving one after 0, 1, 2, 3 and 4. On a
/// loaded machine dials come late and there may be fewer of them, so asserted is: at most these,
/// and the misbehaving ones dial half as often again as the obedient ones.
#[test]
fn agents_that_ignore_retry_after_dial_every_second() {
    let scene = Scene::set(Manner::Refuse(2), true);
    let flags = [
        "--admission-rate=0.1",
        "--fill-rate=100000",
        "--rate-change=3600ms=100000",
        "--misbehaving=0.3",
    ];
    let json = scene.good_storm(&flags);
    let obedient = number(&json, "agents_honest");
    assert!((115.0..=165.0).contains(&obedient), "{obedient}");
    let obedient_dials = number(&json, "honest_attempts_mean");
    assert!((2.0..=3.0).contains(&obedient_dials), "{json}");
    let all = number(&json, "attempts_mean") * 200.0;
    let misbehaving_dials = (all - obedient_dials * obedient) / (200.0 - obedient);
    assert!(misbehaving_dials <= 5.01, "{misbehaving_dials} {json}");
    assert!(misbehaving_dials >= obedient_dials * 1.4, "{misbehaving_dials} {json}");
    assert!(number(&json, "refused_peak_per_second") >= 50.0);
    assert!((3.6..3.6 + LATE).contains(&number(&json, "ideal_seconds")), "{json}");
    assert!(number(&json, "time_ratio") >= 1.0, "{json}");
}

/// Asserted: agents that stay away are neither counted nor waited for. Waiting for them would take the
/// storm's own timeout, ten minutes.
#[test]
fn agents_that_stay_away_are_not_waited_for() {
    let scene = Scene::set(Manner::Park, true);
    let json = scene.good_storm(&["--no-return=0.4", "--clock-error=0.1", "--changed=0.5"]);
    let returning = number(&json, "agents_returning");
    assert!((90.0..=150.0).contains(&returning), "{returning}");
    assert_eq!(json["agents"], 200);
    assert!(json["ideal_seconds"].is_null() && json["time_ratio"].is_null());
    assert!(number(&json, "seconds_to_100") < 60.0);
}

#[test]
fn a_gateway_whose_rate_cannot_be_set_is_said_to_be_one() {
    let scene = Scene::set(Manner::Park, false);
    let (output, _) = scene.storm(&["--admission-rate=100", "--fill-rate=100000"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("knows no POST /admission"), "{said}");
}
