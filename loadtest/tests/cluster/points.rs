//! What several nodes promise, in small: real nodes, a real Redis, a fleet of 240. `make prove-cluster`
//! shows the same at full size, with times; here only what is counted is asserted.

use super::run::{Run, has};

/// Silent for so long, a node is missed by the others.
const LEASE: &str = "--lease=3s";

/// A run of nodes that share; `None` where a program is missing.
fn run(programs: &[&str], flags: &[&str]) -> Option<Run> {
    if !has(&[programs, &["redis-server"]].concat()) {
        return None;
    }
    let redis = flags.iter().any(|flag| flag.starts_with("--redis"));
    let own: &[&str] = if redis { &[LEASE] } else { &[LEASE, "--redis=single"] };
    let run = Run::settled(&[flags, own].concat());
    assert!(run.shares(), "{}", run.said);
    assert_eq!(run.count("spoken_twice"), 0, "{}", run.said);
    assert!(!run.has_fault("two nodes that spoke for them"), "{}", run.said);
    Some(run)
}

/// The server hears nothing: nothing changed, and no home died.
fn is_silent(run: &Run) {
    assert_eq!(run.count("full_states"), 0, "{}", run.said);
    assert_eq!(run.number("messages_per_agent"), 0.0, "{}", run.said);
}

fn nobody_is_closed(run: &Run) {
    assert_eq!((run.count("connections_closed"), run.count("refusals")), (0, 0), "{}", run.said);
}

fn pushes_arrive(run: &Run) {
    assert_eq!((run.count("pushes_lost"), run.count("pushes_repeated")), (0, 0), "{}", run.said);
}

/// Point 1.
#[test]
fn a_storm_is_nothing_to_a_server_whatever_it_knows_agents_by() {
    for keyed_by in ["--keyed-by=link", "--keyed-by=exclusive"] {
        let Some(run) = run(&[], &["storm", keyed_by]) else { return };
        is_silent(&run);
        assert_eq!(run.count("agents_renamed"), 0, "{}", run.said);
    }
}

/// Point 2.
#[test]
fn a_killed_nodes_shards_find_homes_and_its_agents_other_nodes() {
    for flags in [&["kill"][..], &["kill", "--mid-storm", "--after=100ms"]] {
        let Some(run) = run(&[], flags) else { return };
        assert_eq!(run.count("connections_closed_elsewhere"), 0, "{}", run.said);
        assert!(run.count("full_states") <= run.count("agents_without_home"), "{}", run.said);
    }
}

/// Point 3.
#[test]
fn whatever_becomes_of_redis_in_a_storm_no_agent_is_closed() {
    for case in ["redis-stop", "redis-empty", "redis-pause"] {
        let Some(run) = run(&[], &[case, "--away=4s", "--after=100ms"]) else { return };
        assert_eq!(run.count("agents_back"), 240);
        nobody_is_closed(&run);
    }
}

/// Point 3, with a replica that lacks what was written last.
#[test]
fn a_failover_to_a_replica_that_lags_closes_no_agent() {
    let flags = ["redis-failover", "--redis=sentinel", "--after=100ms"];
    let Some(run) = run(&["redis-sentinel"], &flags) else { return };
    nobody_is_closed(&run);
}

/// Point 4.
#[test]
fn a_node_that_was_stopped_says_nothing_of_its_own_accord_before_it_is_new() {
    let Some(run) = run(&[], &["pause"]) else { return };
    nobody_is_closed(&run);
    assert_eq!(run.count("woken_words_of_own_accord"), 0, "{}", run.said);
}

/// Point 4.
#[test]
fn nodes_that_do_not_reach_each_other_close_no_agent() {
    for ways in ["--ways=both", "--ways=forth"] {
        let flags = ["cut", ways, "--away=6s", "--after=1s", "--changed=0.1"];
        let Some(run) = run(&[], &flags) else { return };
        assert_eq!(run.count("agents_back"), 240);
        nobody_is_closed(&run);
    }
}

/// Point 5.
#[test]
fn pushes_arrive_once_while_agents_and_shards_move() {
    for flags in [
        &["push"][..],
        &["push", "--meanwhile=drain", "--push-rate=40"],
        &["push", "--meanwhile=join", "--push-rate=40"],
    ] {
        let Some(run) = run(&[], flags) else { return };
        pushes_arrive(&run);
    }
}

/// Point 6.
#[test]
fn a_storm_is_nothing_to_a_server_with_sentinels_or_a_cluster_either() {
    for redis in ["--redis=sentinel", "--redis=cluster"] {
        let Some(run) = run(&["redis-sentinel"], &["storm", redis]) else { return };
        is_silent(&run);
    }
}

/// Point 9.
#[test]
fn a_rolling_restart_and_a_newcomer_are_nothing_to_the_server() {
    let Some(rolling) = run(&["haproxy"], &["rolling", "--balancing=leastconn"]) else { return };
    is_silent(&rolling);
    let Some(join) = run(&["haproxy"], &["join", "--balancing=leastconn"]) else { return };
    is_silent(&join);
    assert!(join.number("newcomer_share") >= 0.1, "{}", join.said);
}

/// Point 10.
#[test]
fn one_node_takes_all_of_a_storm() {
    let Some(run) = run(&[], &["storm", "--onto=1"]) else { return };
    is_silent(&run);
    assert_eq!((run.count("agents_back"), run.count("refusals")), (240, 0), "{}", run.said);
}

/// Point 11. A server that has agents on one connection at a time shows that the former home closes an agent's own
/// before the present one opens another.
#[test]
fn modes_per_agent_and_http_believe_what_one_node_would() {
    for mode in [&["--mode=per-agent", "--keyed-by=exclusive"][..], &["--mode=http"]] {
        let flags: [&[&str]; 3] = [&["kill"], &["push"], &["rolling", "--balancing=leastconn"]];
        for case in flags {
            let Some(run) = run(&["haproxy"], &[case, mode].concat()) else { return };
            assert_eq!(run.count("agents_renamed"), 0, "{}", run.said);
            if case[0] == "push" {
                pushes_arrive(&run);
            }
        }
    }
}

/// Point 12.
#[test]
fn agents_go_there_and_back_with_a_change_and_a_question_under_way() {
    let flags = ["push", "--hops=2", "--changed=1", "--asks"];
    let Some(run) = run(&[], &flags) else { return };
    pushes_arrive(&run);
    nobody_is_closed(&run);
}

/// Point 12.
#[test]
fn a_server_that_is_restarted_while_shards_move_is_right_in_the_end() {
    let Some(run) = run(&[], &["server"]) else { return };
    nobody_is_closed(&run);
}
