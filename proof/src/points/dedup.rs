//! Servers get only what changed, and get it whatever was cut or restarted.

use super::{Size, tests_passed};
use crate::criterion::microseconds;
use crate::figure::Goal::{AtLeast, AtMost, Exactly, Shown};
use crate::step::Place::{Json, Less, Text};
use crate::step::{Program, Step};

/// Everything, in the order of the points.
pub(crate) fn steps(size: Size) -> Vec<Step> {
    let mut steps = vec![unchanged(size), unchanged_per_agent(size), changed(size), outage(size)];
    if let Size::Full { seeds } = size {
        steps.extend(tests());
        steps.extend(memory_and_digest());
        steps.extend(super::house::simulation(seeds));
    }
    steps.push(slow(size));
    steps
}

/// Figures of a storm in which the server must get hardly anything: every full state is answered by the
/// gateway, and what is left are heartbeats and what changed.
fn nearly_nothing(step: Step, messages_max: f64, percent_max: f64) -> Step {
    step.wants("full states at the server", Json("/full_states/gateway"), Exactly(0.0))
        .wants(
            "messages at the server, heartbeats aside",
            Less("/gateway/server/messages", "/gateway/server/heartbeats"),
            AtMost(messages_max),
        )
        .wants("bytes at the server without Seawall", Json("/bytes/direct"), Shown)
        .wants("bytes at the server", Json("/bytes/gateway"), Shown)
        .wants(
            "bytes, percent of those without Seawall",
            Json("/bytes/percent"),
            AtMost(percent_max),
        )
        .wants("agents missing", Json("/gateway/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/gateway/server/agents_wrong"), Exactly(0.0))
}

fn unchanged(size: Size) -> Step {
    let agents = size.agents(15_000, 1_000);
    let hold = if size.is_small() { "2s" } else { "60s" };
    let arguments = ["compare", "--agents", &agents, "--hold", hold];
    let messages_max = if size.is_small() { 50.0 } else { 750.0 };
    nearly_nothing(Step::new("unchanged", Program::Loadtest, &arguments), messages_max, 0.5)
}

fn unchanged_per_agent(size: Size) -> Step {
    let agents = size.agents(8_000, 300);
    let hold = if size.is_small() { "2s" } else { "60s" };
    let arguments = ["compare", "--agents", &agents, "--hold", hold, "--mode", "per-agent"];
    let messages_max = if size.is_small() { 15.0 } else { 400.0 };
    nearly_nothing(
        Step::new("unchanged, per-agent", Program::Loadtest, &arguments),
        messages_max,
        0.5,
    )
}

/// One agent in ten changed: the server gets one message of each, with what changed.
fn changed(size: Size) -> Step {
    let agents = size.agents(15_000, 1_000);
    let arguments = ["compare", "--agents", &agents, "--changed", "0.1"];
    // The share is drawn for each agent: five standard deviations, and one message in twenty agents.
    let messages_max = if size.is_small() { 200.0 } else { 2_400.0 };
    nearly_nothing(Step::new("a tenth changed", Program::Loadtest, &arguments), messages_max, 10.0)
}

fn outage(size: Size) -> Step {
    let (full, small, pace) = (15_000, 1_000, 2_000.0);
    let agents = size.agents(full, small);
    let arguments = ["outage", "--agents", &agents, "--pace-max", "2000"];
    Step::new("outage", Program::Loadtest, &arguments)
        .wants("connections closed on agents", Json("/connections_closed_by_gateway"), Exactly(0.0))
        .wants("agents asked for full state", Json("/full_state_requests_seen"), Exactly(0.0))
        .wants("agents asked for components", Json("/component_requests_seen"), Exactly(0.0))
        .wants(
            "full states at the server",
            Json("/server/full_states"),
            AtLeast(f64::from(if size.is_small() { small } else { full })),
        )
        .wants("of them repeated", Json("/server/full_states_repeated"), Exactly(0.0))
        .wants(
            "full states in the worst second",
            Json("/server/full_states_peak_per_second"),
            AtMost(pace * 1.1),
        )
        .wants("seconds until the server is right", Json("/seconds_to_settled"), Shown)
        .wants("agents missing", Json("/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/server/agents_wrong"), Exactly(0.0))
}

fn tests() -> [Step; 3] {
    let test = |name: &str, arguments: &[&str]| {
        Step::new(name, Program::Cargo, arguments).wants("passed", Text(tests_passed), AtLeast(1.0))
    };
    [
        test("a server that always asks", &["test", "--lib", "r4_a_server_that_always_asks"]),
        test(
            "a server that always asks, over sockets",
            &["test", "--test", "upstream", "a_server_that_always_asks"],
        ),
        test("maps in another order, 1,000 times", &["test", "--test", "interop", "repeated"]),
    ]
}

fn memory_and_digest() -> [Step; 2] {
    let idle = Step::new("memory", Program::Staged, &["idle", "--agents", "1000,15000"])
        .wants(
            "bytes of the store for each agent added",
            Json("/1/store_bytes_per_added_agent"),
            AtMost(1_024.0),
        )
        .wants(
            "bytes of session, task and socket",
            Json("/1/session_bytes_per_added_agent"),
            AtMost(2_048.0),
        );
    let digest = Step::new("digest", Program::Cargo, &["bench", "--bench", "digest"])
        .wants(
            "us, equal bytes",
            Text(|text| microseconds(text, "equal bytes: scan, hash")),
            AtMost(1.0),
        )
        .wants("us, canonical pass", Text(|text| microseconds(text, "canonical, ")), AtMost(8.0));
    [idle, digest]
}

/// A server that takes 200 reports a second, and a fleet that all changed.
fn slow(size: Size) -> Step {
    let agents = size.agents(15_000, 600);
    Step::new("slow server", Program::Loadtest, &["slow", "--agents", &agents])
        .wants("ms to an agent's reply, p99", Json("/acknowledged_ms_p99"), Shown)
        .wants("ms to an agent's reply, longest", Json("/acknowledged_ms_max"), AtMost(2_000.0))
        .wants(
            "messages at the server in the worst second",
            Json("/server/messages_peak_per_second"),
            AtMost(220.0),
        )
        .wants("seconds until the server is right", Json("/seconds_to_settled"), Shown)
        .wants("bytes of the gateway at most", Json("/gateway/rss_bytes_peak"), Shown)
        .wants("agents missing", Json("/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/server/agents_wrong"), Exactly(0.0))
}
