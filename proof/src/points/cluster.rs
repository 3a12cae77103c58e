//! Several nodes act as one: storms, deaths, a store that goes away, shards and connections that move.
//!
//! Steps bear the number of the point that they show.

use super::Size;
use super::house::simulation;
use crate::figure::Goal::{self, AtLeast, AtMost, Exactly, Shown};
use crate::step::Place::{Json, Length, Less, Text};
use crate::step::{Program, Step, last_before};

/// Admissions a second of all nodes together.
const RATE: u32 = 3_000;
/// Agents in small.
const SMALL_AGENTS: u32 = 300;
/// What is shown in small at every size.
const IN_SMALL: (Size, u32) = (Size::Small, SMALL_AGENTS);
/// In small: all agents at once, but for what a storm needs to be one.
const SMALL_RATE: u32 = 600;
/// How soon a small fleet shows what there is to show.
const SMALL: [&str; 6] = [
    "--lease=3s",
    "--heartbeat=2s",
    "--hold=2s",
    "--grace=30s",
    "--dial-rate=1000",
    "--after=200ms",
];
/// The time over the ideal that a storm may take; a small one is over in half a second.
const TIME_RATIO: (f64, f64) = (1.06, 4.0);
/// Calls to Redis that may seem to be neither a renewal nor a reading of the map: nodes and Redis are looked at one after
/// the other, so each of three nodes may have one under way at each look.
const CALLS_UNDER_WAY: f64 = 6.0;

/// Everything, in the order of the points.
pub(crate) fn steps(size: Size) -> Vec<Step> {
    let mut steps = storms(size);
    steps.extend(deaths(size));
    steps.extend(store(size));
    steps.extend(silence(size));
    steps.extend(pushes(size));
    steps.extend(stores_of_other_kinds(size));
    if let Size::Full { seeds } = size {
        steps.extend(simulations(seeds));
        steps.push(speed());
    }
    steps.extend(restarts(size));
    steps.push(all_onto_one(size));
    steps.extend(modes(size));
    steps.extend(there_and_back(size));
    steps
}

/// What a case must come to, whatever it is: nothing lost, nothing wrong, no agent spoken for twice.
fn case(name: &str, case: &str, (size, full): (Size, u32), more: &[&str]) -> Step {
    let agents = size.agents(full, SMALL_AGENTS);
    let rate = if size.is_small() { SMALL_RATE } else { RATE }.to_string();
    let mut arguments = vec!["cluster", case, "--agents", &agents];
    if !more.iter().any(|argument| argument.starts_with("--rate")) {
        arguments.extend(["--rate", &rate]);
    }
    if size.is_small() {
        let is_said = |flag: &&str| {
            let name = flag.split('=').next().unwrap_or(flag);
            more.iter().any(|argument| argument.starts_with(name))
        };
        arguments.extend(SMALL.iter().filter(|flag| !is_said(flag)));
    }
    arguments.extend(more);
    Step::new(name, Program::Loadtest, &arguments)
        .wants("agents missing", Json("/agents_missing"), Exactly(0.0))
        .wants("agents wrong", Json("/agents_wrong"), Exactly(0.0))
        .wants("agents spoken for twice", Json("/spoken_twice"), Exactly(0.0))
        .wants("faults", Length("/faults"), Exactly(0.0))
}

/// The same for agents in which nothing changes, at servers that forget nothing.
fn silent(step: Step) -> Step {
    step.wants("full states at the server", Json("/full_states"), Exactly(0.0)).wants(
        "messages beyond heartbeats, for each agent",
        Json("/messages_per_agent"),
        Exactly(0.0),
    )
}

/// No second of a storm admits more than a tenth beyond the rate.
fn at_the_rate(step: Step, size: Size, rate: f64) -> Step {
    // A fleet that is admitted within a second has its bucket of a second besides.
    let most = if size.is_small() { 2.0 } else { 1.1 };
    step.wants(
        "admitted in the best second",
        Json("/admitted_peak_per_second"),
        AtMost(rate * most),
    )
    .wants("  as agents saw it", Json("/admitted_peak_seen_per_second"), Shown)
}

fn only_at_full_size(size: Size, goal: Goal) -> Goal {
    if size.is_small() { Shown } else { goal }
}

/// Point 1, and 10 for storms that are spread evenly.
fn storms(size: Size) -> Vec<Step> {
    let rate = if size.is_small() { SMALL_RATE } else { RATE };
    let ratio = if size.is_small() { TIME_RATIO.1 } else { TIME_RATIO.0 };
    [("uid", 30_000), ("link", 1_000), ("exclusive", 30_000)]
        .map(|(keyed_by, full)| {
            let name = format!("1 storm, server by {keyed_by}");
            let step = case(&name, "storm", (size, full), &["--keyed-by", keyed_by]);
            let step = silent(step)
                .wants("agents renamed", Json("/agents_renamed"), Exactly(0.0))
                .wants(
                    "calls to Redis beyond leases and reads of the map",
                    Json("/redis_calls_beyond"),
                    AtMost(CALLS_UNDER_WAY),
                )
                .wants(
                    "bytes over node links, for each agent",
                    Json("/node_link_bytes_per_agent"),
                    // Links have bytes of their own, and few agents have much of them.
                    if full == 30_000 { only_at_full_size(size, AtMost(400.0)) } else { Shown },
                )
                .wants(
                    "ms later for a home elsewhere, p99",
                    Json("/cross_node_ms_p99"),
                    only_at_full_size(size, AtMost(5.0)),
                );
            if full == 30_000 {
                let step = step.wants("time over the ideal", Json("/time_ratio"), AtMost(ratio));
                at_the_rate(step, size, rate.into())
            } else {
                step
            }
        })
        .into()
}

/// Point 2, and 10 for a node that dies in a storm.
fn deaths(size: Size) -> [Step; 2] {
    // N / R and a second.
    let back_within = if size.is_small() { 30.0 } else { 11.0 };
    // Two lease times.
    let homes_within = if size.is_small() { 30.0 } else { 20.0 };
    let died = |name: &str, more: &[&str]| {
        case(name, "kill", (size, 30_000), more)
            .wants(
                "seconds until all are connected again",
                Json("/seconds_to_connected"),
                AtMost(back_within),
            )
            .wants(
                "seconds until every shard has a home again",
                Json("/seconds_to_homes"),
                AtMost(homes_within),
            )
            .wants(
                "connections closed elsewhere",
                Json("/connections_closed_elsewhere"),
                Exactly(0.0),
            )
            .wants(
                "full states beyond one of each agent without home",
                Less("/full_states", "/agents_without_home"),
                AtMost(0.0),
            )
    };
    let in_storm = died("2 kill in mid-storm", &["--mid-storm"]);
    let rate = if size.is_small() { SMALL_RATE } else { RATE };
    [died("2 kill", &[]), at_the_rate(in_storm, size, rate.into())]
}

/// Point 3: no agent is refused or closed for what becomes of Redis.
fn store(size: Size) -> Vec<Step> {
    let away = if size.is_small() { "--away=2s" } else { "--away=60s" };
    let rate = if size.is_small() { "--rate=150" } else { "--rate=250" };
    let cases: &[(&str, &str)] = &[
        ("redis-stop", "single"),
        ("redis-empty", "single"),
        ("redis-dump", "single"),
        ("redis-pause", "single"),
        ("redis-failover", "sentinel"),
    ];
    let cases = if size.is_small() { &cases[..2] } else { cases };
    let step = |(name, redis): &(&str, &str)| {
        let more = [rate, away, "--redis", redis];
        case(&format!("3 {name}"), name, (size, 30_000), &more).wants(
            "connections closed",
            Json("/connections_closed"),
            Exactly(0.0),
        )
    };
    cases.iter().map(step).collect()
}

/// Point 4: a node that was stopped, and ways between nodes that are cut.
fn silence(size: Size) -> Vec<Step> {
    let away = if size.is_small() { "--away=4s" } else { "--away=30s" };
    let pause = case("4 node paused", "pause", (size, 30_000), &[])
        .wants("connections closed", Json("/connections_closed"), Exactly(0.0))
        .wants(
            "words of its own accord after it",
            Json("/woken_words_of_own_accord"),
            Exactly(0.0),
        );
    let ways: &[&str] = if size.is_small() { &["both"] } else { &["both", "forth", "back"] };
    let cut = |ways: &&str| {
        let more = ["--ways", ways, away, "--changed=0.1"];
        case(&format!("4 ways cut, {ways}"), "cut", (size, 30_000), &more).wants(
            "connections closed",
            Json("/connections_closed"),
            Exactly(0.0),
        )
    };
    std::iter::once(pause).chain(ways.iter().map(cut)).collect()
}

fn arrives(step: Step) -> Step {
    step.wants("pushes lost", Json("/pushes_lost"), Exactly(0.0))
        .wants("pushes repeated", Json("/pushes_repeated"), Exactly(0.0))
        .wants("ms to an agent, p99", Json("/push_ms_p99"), AtMost(1_000.0))
        .wants("ms to an agent, longest", Json("/push_ms_max"), AtMost(10_000.0))
}

/// Point 5.
fn pushes(size: Size) -> [Step; 3] {
    // Long enough for a drain or a join to happen meanwhile.
    let slowly = if size.is_small() { "--push-rate=50" } else { "--push-rate=1000" };
    let push = |name: &str, more: &[&str]| arrives(case(name, "push", (size, 10_000), more));
    [
        push("5 pushes while agents move", &[]),
        push("5 pushes while a node leaves", &["--meanwhile=drain", slowly]),
        push("5 pushes while a node joins", &["--meanwhile=join", slowly]),
    ]
}

/// Point 6, in small at every size.
fn stores_of_other_kinds(size: Size) -> Vec<Step> {
    let mut steps = Vec::new();
    for redis in ["sentinel", "cluster", "valkey"] {
        let name = format!("6 storm, {redis}");
        steps.push(silent(case(&name, "storm", IN_SMALL, &["--redis", redis])));
        if !size.is_small() {
            let name = format!("6 kill, {redis}");
            steps.push(case(&name, "kill", IN_SMALL, &["--redis", redis]));
        }
    }
    if !size.is_small() {
        let more = ["--redis", "cluster", "--rate=150", "--away=2s"];
        steps.push(case("6 a master killed", "redis-failover", IN_SMALL, &more));
    }
    steps
}

/// Point 7.
fn simulations(seeds: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = simulation(seeds).into();
    for (name, command) in [("attachments", "sim-attachments"), ("ownership", "sim-ownership")] {
        let arguments = [command.to_owned(), format!("SEEDS={seeds}")];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        steps.push(Step::new(&format!("7 {name}"), Program::Make, &arguments).wants(
            "seeds",
            Text(|text| last_before(text, " seeds, ")),
            AtLeast(f64::from(seeds)),
        ));
    }
    steps
}

/// Point 8, but for the speed of a node that is alone, which `proof speed` measures.
fn speed() -> Step {
    Step::new("8 speed", Program::Loadtest, &["cluster-speed", "--grow"])
        .wants("us of CPU for a node link, both nodes", Json("/cross_cpu_us"), AtMost(10.0))
        .wants("ms for a node link, p50", Json("/cross_ms_p50"), AtMost(0.3))
        .wants(
            "sessions for the processor time of single nodes",
            Json("/sessions_ratio"),
            AtLeast(0.8),
        )
        .wants("memory for an agent, eight nodes over three", Json("/memory_ratio"), AtMost(1.1))
        .wants("processor time, likewise", Json("/cpu_ratio"), AtMost(1.1))
}

/// Point 9.
fn restarts(size: Size) -> Vec<Step> {
    // Half of what two of three nodes admit, and 1,000 at most. Agents see closings a millisecond sooner or later than they
    // are written.
    let closes = if size.is_small() { f64::from(SMALL_RATE) / 3.0 } else { 1_000.0 } * 1.01;
    let rolling = |balancing: &str, mean: Goal, most: f64| {
        let more = ["--balancing", balancing];
        silent(case(&format!("9 rolling, {balancing}"), "rolling", (size, 8_000), &more))
            .wants("dials of an agent, mean", Json("/dials_mean"), mean)
            .wants("dials of an agent, most", Json("/dials_most"), AtMost(most))
            .wants("closes in the worst second", Json("/closes_worst_second"), AtMost(closes))
            .wants("seconds of a hand-over, longest", Json("/hand_over_seconds_max"), AtMost(2.0))
    };
    let (least, most) = if size.is_small() { (0.1, 0.5) } else { (0.2, 0.3) };
    let join = silent(case("9 a node joins", "join", (size, 8_000), &["--balancing", "leastconn"]))
        .wants("the newcomer's share, least", Json("/newcomer_share"), AtLeast(least))
        .wants("the newcomer's share, most", Json("/newcomer_share"), AtMost(most))
        .wants("seconds of a hand-over, longest", Json("/hand_over_seconds_max"), AtMost(2.0));
    let mut steps = vec![rolling("leastconn", Shown, 2.0)];
    if !size.is_small() {
        steps.push(rolling("random", AtMost(1.7), 3.0));
    }
    steps.push(join);
    steps
}

/// Point 10. One process has descriptors for half of the fleet.
fn all_onto_one(size: Size) -> Step {
    let (rate, ratio) =
        if size.is_small() { (SMALL_RATE, TIME_RATIO.1) } else { (RATE, 1.0 / 0.95) };
    let step = case("10 all on one of three", "storm", (size, 15_000), &["--onto=1"]);
    let step = silent(step).wants("time over the ideal", Json("/time_ratio"), AtMost(ratio));
    at_the_rate(step, size, rate.into())
}

/// Point 11, in small at every size.
fn modes(size: Size) -> Vec<Step> {
    let mut steps = Vec::new();
    for mode in ["per-agent", "http"] {
        let mode_flag = format!("--mode={mode}");
        let step = |what: &str, more: &[&str]| {
            let mut flags = vec![mode_flag.as_str()];
            flags.extend(more);
            case(&format!("11 {what}, {mode}"), what, IN_SMALL, &flags)
        };
        steps.push(step("rolling", &["--balancing=leastconn"]));
        if !size.is_small() {
            steps.push(step("kill", &[]));
            steps.push(arrives(step("push", &[])));
        }
    }
    steps
}

/// Point 12.
fn there_and_back(size: Size) -> [Step; 2] {
    let more = ["--hops=2", "--changed=1", "--asks"];
    [
        arrives(case("12 there and back, 1,000 times", "push", (size, 1_000), &more)),
        case("12 server restarted while shards move", "server", (size, 10_000), &[]).wants(
            "connections closed",
            Json("/connections_closed"),
            Exactly(0.0),
        ),
    ]
}
