//! `loadtest cluster` in small: each case runs to its end, and its figures add up.
//!
//! What is asserted is the measuring. Nodes that share nothing must be seen to speak twice for agents and
//! to tell their servers everything anew: a check that such nodes pass would be worth nothing. Where a
//! gateway can share sessions, the same figures must be 0. Times have wide bounds, since other work may
//! share the cores.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

#[path = "cluster/run.rs"]
mod run;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use run::{Run, command, folder, has};

/// Two nodes that know nothing of each other, and a fleet of which half changes nodes. Asserted: the node
/// that an agent left says goodbye for it after another node has spoken, and that is noticed; agents told
/// the server everything anew.
#[test]
fn nodes_that_share_nothing_are_seen_to_speak_twice() {
    if !has(&[]) {
        return;
    }
    let run = Run::of(&["storm", "--nodes=2", "--redis=none", "--grace=1s", "--settle=1s"]);
    assert_eq!(run.figures["nodes_share"], false, "{}", run.said);
    assert_eq!(run.count("agents_back"), 240);
    let moved: u64 = run.figures["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["came_from_elsewhere"].as_u64().unwrap())
        .sum();
    let twice = run.count("spoken_twice");
    assert!((1..=moved).contains(&twice), "{twice} of {moved}");
    assert!(run.count("full_states") >= moved);
    assert!(run.number("messages_per_agent") > 0.5);
    assert_eq!(run.exit_code, Some(1));
    assert!(run.has_fault("two nodes that spoke for them"), "{}", run.said);
    assert!(run.number("cross_node_ms_p99").is_finite() && run.number("time_ratio") > 0.0);
    assert!(run.figures["redis_commands"].is_null());
}

/// The same with a Redis that the nodes share, if they can. Asserted: if they do, no agent has two nodes
/// that speak for it. What the server hears besides, `points` asserts.
#[test]
fn in_a_storm_over_nodes_that_share_one_speaks_for_each_agent() {
    if !has(&["redis-server"]) {
        return;
    }
    let run = Run::settled(&["storm", "--redis=single", "--lease=2s"]);
    assert_eq!(run.count("agents_back"), 240);
    assert_eq!(run.count("connections_closed"), 0);
    assert!(run.figures["redis_commands"].is_u64());
    if run.shares() {
        assert_eq!(run.count("spoken_twice"), 0, "{}", run.said);
        assert!(run.count("redis_commands") > 0);
    } else {
        assert!(run.has_fault("knows no [ownership]"), "{}", run.said);
        assert!(run.count("full_states") > 0);
    }
}

/// Agents are renamed by a server that wants each on one connection, if another node speaks for them.
#[test]
fn a_server_that_knows_agents_by_one_connection_notices_nodes_that_share_nothing() {
    if !has(&[]) {
        return;
    }
    let run = Run::settled(&["storm", "--redis=none", "--keyed-by=exclusive"]);
    assert!(run.count("agents_renamed") > 0);
    assert!(run.has_fault("renamed"), "{}", run.said);
}

#[test]
fn a_killed_nodes_agents_are_counted_apart_from_the_others() {
    if !has(&[]) {
        return;
    }
    let run = Run::settled(&["kill", "--redis=none"]);
    let targets = run.figures["targets"].as_array().unwrap();
    let lost = targets[0]["closed_by_peer"].as_u64().unwrap();
    assert!((20..=140).contains(&lost), "a third of 240, more or less: {lost}");
    assert_eq!(run.count("connections_closed"), lost);
    assert_eq!(
        run.count("agents_without_home"),
        lost,
        "nodes that are alone are home to their own"
    );
    assert_eq!(run.count("connections_closed_elsewhere"), 0);
    assert_eq!(targets[0]["connected"], 0);
    let connected: u64 = targets.iter().map(|target| target["connected"].as_u64().unwrap()).sum();
    assert_eq!(connected, 240);
    assert!(run.number("seconds_to_connected") > 0.0 && run.number("dials_mean") > 0.0);
}

#[test]
fn a_paused_node_loses_no_agent_and_what_it_says_afterwards_is_counted() {
    if !has(&[]) {
        return;
    }
    let run = Run::settled(&["pause", "--redis=none", "--lease=1s"]);
    assert_eq!(run.count("connections_closed"), 0);
    assert_eq!(run.count("woken_words_of_own_accord"), 0, "{}", run.said);
    assert!(run.figures["woken_words"].is_u64());
}

/// Every agent moves while every agent gets a push. Asserted: each push is accounted for, as come or as
/// lost, and its way is timed.
#[test]
fn pushes_to_moving_agents_are_all_accounted_for() {
    if !has(&[]) {
        return;
    }
    let run = Run::settled(&["push", "--redis=none"]);
    assert_eq!((run.count("pushes_ordered"), run.count("moves_answered")), (240, 240));
    let lost = run.count("pushes_lost");
    assert!(lost < 240, "{}", run.said);
    assert_eq!(run.has_fault("pushes were lost"), lost > 0);
    assert!(run.number("push_ms_max") >= run.number("push_ms_p50"));
    assert_eq!(run.number("dials_mean"), 1.0);
}

#[test]
fn a_rolling_restart_moves_agents_through_haproxy() {
    if !has(&["haproxy"]) {
        return;
    }
    let run = Run::settled(&["rolling", "--redis=none", "--balancing=leastconn"]);
    let mean = run.number("dials_mean");
    assert!((1.0..=2.5).contains(&mean), "{mean}");
    assert!(run.figures["connections_closed_elsewhere"].is_null());
    assert!(run.number("drain_seconds_max") >= 2.0, "the notice alone takes two seconds");
    assert!(!run.has_fault("did not find a node"), "{}", run.said);
}

#[test]
fn a_newcomers_share_is_told() {
    if !has(&[]) {
        return;
    }
    let run = Run::settled(&["join", "--nodes=2", "--redis=none"]);
    let share = run.number("newcomer_share");
    assert!(share >= 0.2 || run.has_fault("rebalance"), "{share}: {}", run.said);
}

/// Redis goes and comes while agents come back. Asserted: no agent is refused or closed for it.
#[test]
fn an_outage_of_redis_in_mid_storm_closes_no_agent() {
    if !has(&["redis-server"]) {
        return;
    }
    let outages = ["redis-stop", "redis-dump"]
        .map(|case| [case, "--redis=single", "--away=1s", "--after=100ms"]);
    for flags in outages {
        let run = Run::settled(&flags);
        assert_eq!((run.count("agents_back"), run.count("refusals")), (240, 0), "{flags:?}");
        assert_eq!(run.count("connections_closed"), 0, "{flags:?}");
    }
}

/// The sample that people copy is one that HAProxy takes.
#[test]
fn haproxy_takes_the_sample() {
    if !has(&["haproxy"]) {
        return;
    }
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/cluster/haproxy.cfg");
    let program = ["/usr/sbin/haproxy", "/usr/bin/haproxy", "/usr/local/bin/haproxy"];
    let program = program.into_iter().find(|path| Path::new(path).exists()).unwrap();
    let output = Command::new(program).args(["-c", "-f"]).arg(sample).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn options_that_contradict_each_other_are_told() {
    let run = Run::of(&["redis-stop", "--redis=none"]);
    assert_eq!(run.exit_code, Some(2));
    assert!(run.said.contains("--redis"), "{}", run.said);
}

/// The harness is killed (SIGKILL) while everything runs. Asserted: its processes end all the same.
#[test]
fn every_process_ends_with_the_harness_even_if_that_is_killed() {
    if !has(&["redis-server"]) || !Path::new("/usr/bin/setpriv").exists() {
        return;
    }
    let flags = ["pause", "--redis=single", "--lease=3s"];
    let folder = folder(&flags);
    let mut harness =
        command(&folder, &flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Redis, the server and three nodes.
    let mut started = Vec::new();
    until("five processes are there", || {
        started = children(&harness);
        started.len() >= 5
    });
    harness.kill().unwrap();
    harness.wait().unwrap();
    until("they are gone", || started.iter().all(|id| has_ended(*id)));
    std::fs::remove_dir_all(folder).unwrap();
}

fn children(process: &Child) -> Vec<u32> {
    let id = process.id();
    let text =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// A killed process is a zombie until its new parent has noticed.
fn has_ended(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z"))
}

/// Asks again and again until the answer is yes.
#[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: still waiting after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
