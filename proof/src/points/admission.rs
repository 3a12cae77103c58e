//! Storms come in at the rate that is set, with few dials, and a drain moves agents at its own rate.

use super::{Size, tests_passed};
use crate::figure::Goal::{AtLeast, AtMost, Exactly, Shown};
use crate::step::Place::{Json, Length, Text};
use crate::step::{Program, Step};

/// A case of `loadtest gate`: its name, the longest time over the ideal, the most dials on average.
type Case = (&'static str, f64, Option<f64>);

const CASES: [Case; 6] = [
    ("r1000", 1.05, Some(1.6)),
    ("r250", 1.05, Some(2.1)),
    ("misbehaving-r1000", 1.15, Some(2.3)),
    ("misbehaving-r250", 1.15, Some(2.3)),
    ("halved", 1.05, None),
    ("second-wave", 1.05, None),
];

/// Cases that take a few seconds with a small fleet.
const SMALL_CASES: [Case; 2] = [CASES[1], CASES[4]];

/// Everything, in the order of the points.
pub(crate) fn steps(size: Size) -> Vec<Step> {
    if size.is_small() {
        let mut steps: Vec<Step> = SMALL_CASES.map(|case| gate(size, case, "multiplexed")).into();
        steps.push(gate(size, SMALL_CASES[0], "http"));
        steps.push(drain(size));
        return steps;
    }
    let mut steps: Vec<Step> = CASES.map(|case| gate(size, case, "multiplexed")).into();
    steps.push(fixed());
    steps.push(clients());
    steps.push(automatic());
    steps.push(drain(size));
    steps.push(outcomes());
    steps.extend(CASES.map(|case| gate(size, case, "http")));
    steps
}

fn gate(size: Size, case: Case, mode: &str) -> Step {
    let (name, ratio_max, dials_max) = case;
    let agents = size.agents(15_000, 1_000);
    let arguments = ["gate", "--agents", &agents, "--cases", name, "--mode", mode];
    let step = Step::new(&format!("{name}, {mode}"), Program::Loadtest, &arguments)
        .wants("time over the ideal", Json("/0/outcome/time_ratio"), AtMost(ratio_max))
        .wants(
            "dials of an agent that obeys",
            Json("/0/outcome/honest_attempts_mean"),
            dials_max.map_or(Shown, AtMost),
        );
    right_in_the_end(step)
}

fn right_in_the_end(step: Step) -> Step {
    step.wants("agents missing", Json("/0/outcome/server/agents_missing"), Exactly(0.0)).wants(
        "agents wrong",
        Json("/0/outcome/server/agents_wrong"),
        Exactly(0.0),
    )
}

/// Beside a fixed Retry-After of 30 s, in one run.
fn fixed() -> Step {
    let arguments = ["gate", "--compare-fixed", "--cases", "r1000", "--clock-error", "0.1"];
    let step = Step::new("beside a fixed Retry-After", Program::Loadtest, &arguments)
        .wants("time over the ideal", Json("/0/outcome/time_ratio"), AtMost(1.05))
        .wants("the same with it fixed", Json("/1/outcome/time_ratio"), Shown)
        .wants("dials of an agent", Json("/0/outcome/honest_attempts_mean"), Shown)
        .wants("the same with it fixed ", Json("/1/outcome/honest_attempts_mean"), Shown);
    right_in_the_end(step)
}

/// opamp-go of two versions, parked for 20 s and refused with a moment to come again.
/// Each comes in as computed.
fn clients() -> Step {
    Step::new("real clients", Program::Cargo, &["test", "--test", "interop", "entry"]).wants(
        "passed",
        Text(tests_passed),
        AtLeast(4.0),
    )
}

fn automatic() -> Step {
    let arguments = ["gate", "--auto", "--rates", "2000,4000,8000,16000", "--rounds", "5"];
    Step::new("automatic rate", Program::Loadtest, &arguments)
        .wants("sessions a second", Json("/settings/0/sessions_per_second"), Shown)
        .wants("over the best rate set by hand", Json("/auto_over_best"), AtLeast(0.9))
        .wants("ms, a heartbeat's reply, p99", Json("/settings/0/probe_rtt_ms_p99"), AtMost(50.0))
        .wants("faults", Length("/faults"), Exactly(0.0))
}

fn drain(size: Size) -> Step {
    // HAProxy needs Debian's package and a second to see its nodes; in small a relay stands for it.
    let arguments: &[&str] = if size.is_small() {
        &["drain", "--agents", "200", "--rate", "100", "--relay"]
    } else {
        &["drain", "--agents", "8000", "--rate", "1000"]
    };
    let (agents, rate) = if size.is_small() { (200.0, 100.0) } else { (8_000.0, 1_000.0) };
    Step::new("drain", Program::Loadtest, arguments)
        .wants("agents on the second node", Json("/agents_on_second"), Exactly(agents))
        .wants("closes in the worst second", Json("/closes_worst_second"), AtMost(rate))
        .wants("most dials of one agent turned away", Json("/turned_away_most"), AtMost(1.0))
        .wants("seconds until drained", Json("/seconds_to_drained"), Shown)
        .wants("agents missing", Json("/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/server/agents_wrong"), Exactly(0.0))
}

/// Each accepted connection is counted under one outcome.
fn outcomes() -> Step {
    let name = "every_accepted_connection_has_exactly_one_outcome";
    Step::new("outcomes", Program::Cargo, &["test", "--test", "edge", name]).wants(
        "passed",
        Text(tests_passed),
        AtLeast(1.0),
    )
}
