//! Each stock client gets in, as its own behaviour allows: storms that begin with a start and with a cut, outages,
//! many agents on few connections, fleets that can be told nothing.

use super::Size;
use crate::figure::Goal::{AtMost, Exactly, Shown};
use crate::step::Place::{Json, Length};
use crate::step::{Program, Step};

/// The clients by how a storm of them begins: those over HTTP start, those on WebSockets are cut off, too.
const POSTING: [&str; 5] = ["python", "java-http", "node", "dotnet", "newrelic"];
const CONNECTED: [&str; 5] = ["opamp-go", "opamp-go-022", "java-ws", "otel-arrow", "opamp-fleet"];
/// A mix of all of them.
const MIX: &str = "loadtest/clients/field.toml";

/// Agents, and entries a second.
type Fleet = (u32, u32);
const FLEETS: [Fleet; 2] = [(100, 2), (10_000, 500)];
/// In small: the ideal is five seconds. A poll comes each two seconds, lest two of them take a minute; cut off, Java's
/// clients would stay away for half a minute.
const SMALL: Fleet = (100, 20);
const SMALL_MORE: [&str; 6] = ["--begin", "start", "--heartbeat", "2s", "--probes", "0"];

/// Everything, in the order of the points.
pub(crate) fn steps(size: Size) -> Vec<Step> {
    if size.is_small() {
        return vec![storm("--clients", MIX, SMALL, 1, &SMALL_MORE)];
    }
    let mut steps = Vec::new();
    for fleet in FLEETS {
        steps.extend(POSTING.map(|client| storm("--client", client, fleet, 1, &[])));
        steps.extend(CONNECTED.map(|client| storm("--client", client, fleet, 2, &[])));
        steps.push(storm("--client", "opamp-go", fleet, 1, &["--transport", "http"]));
        steps.push(storm("--clients", MIX, fleet, 2, &[]));
    }
    steps.extend(["java-http", "java-ws"].map(after_outage));
    steps.push(few_connections());
    steps.push(deaf());
    steps
}

/// The command holds each of its storms against the budget of that client, and lists what was missed.
fn storm(flag: &str, client: &str, (agents, rate): Fleet, storms: usize, more: &[&str]) -> Step {
    let name = match (flag, more) {
        ("--client", [_, transport]) => format!("{client} over {transport}"),
        ("--client", _) => client.to_owned(),
        _ => "mix".to_owned(),
    };
    let (agents, rate) = (agents.to_string(), rate.to_string());
    let mut arguments = vec!["gate", flag, client, "--agents", &agents, "--rate", &rate];
    arguments.extend(more);
    let step = Step::new(&format!("{name}, {agents} at {rate}"), Program::Loadtest, &arguments);
    let step = judged(step);
    if storms > 1 {
        return step
            .wants("cut: budgets missed", Length("/1/missed"), Exactly(0.0))
            .wants("cut: seconds until all are in", Json("/1/outcome/seconds_to_100"), Shown)
            .wants("cut: dials for each agent", Json("/1/outcome/attempts_mean"), Shown)
            .wants("cut: agents missing", Json("/1/outcome/server/agents_missing"), Exactly(0.0))
            .wants("cut: agents wrong", Json("/1/outcome/server/agents_wrong"), Exactly(0.0));
    }
    step
}

fn judged(step: Step) -> Step {
    step.wants("budgets missed", Length("/0/missed"), Exactly(0.0))
        .wants("seconds until all are in", Json("/0/outcome/seconds_to_100"), Shown)
        .wants("dials for each agent", Json("/0/outcome/attempts_mean"), Shown)
        .wants("waits given up", Json("/0/outcome/waits_given_up"), Shown)
        .wants("entries", Json("/0/outcome/entries"), Shown)
        .wants("served beside the rate", Json("/0/outcome/served_beside"), Shown)
        .wants("agents missing", Json("/0/outcome/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/0/outcome/server/agents_wrong"), Exactly(0.0))
}

/// Java's clients have pauses of a quarter of an hour by then: they get in with the dial that ends one. The outage is
/// not waited for: clients begin with the pauses that they have then, and know nothing of the gateway.
fn after_outage(client: &str) -> Step {
    let arguments = ["gate", "--client", client, "--agents", "10000", "--rate", "500"];
    let arguments = [&arguments[..], &["--after-outage", "10m"]].concat();
    judged(Step::new(&format!("{client} after an outage"), Program::Loadtest, &arguments))
}

/// As behind a proxy: 10,000 agents on 16 connections from one address.
fn few_connections() -> Step {
    let arguments = ["gate", "--transport", "http", "--connections", "16"];
    let arguments = [&arguments[..], &["--agents", "10000", "--rate", "1000"]].concat();
    let step = Step::new("16 connections", Program::Loadtest, &arguments);
    judged(step).wants("time over the ideal", Json("/0/outcome/time_ratio"), AtMost(1.05))
}

/// No agent does what it is told.
fn deaf() -> Step {
    let arguments = ["gate", "--cases", "deaf-r250", "--agents", "15000"];
    Step::new("none obeys", Program::Loadtest, &arguments)
        .wants("time over the ideal", Json("/0/outcome/time_ratio_all"), AtMost(1.15))
        .wants("dials for each agent", Json("/0/outcome/attempts_mean"), Shown)
        .wants("agents missing", Json("/0/outcome/server/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/0/outcome/server/agents_wrong"), Exactly(0.0))
}
