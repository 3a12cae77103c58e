//! A cluster of three masters; one of them has a replica.

use tokio::process::Command;

use super::equivalence::compare;
use super::servers::{Server, cli, redis, until};
use super::*;

/// The slot of `{cluster}`: all keys are there, whatever the prefix.
const KEY: &str = "{cluster}";

async fn three_masters(program: &servers::Program) -> Vec<Server> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(node_of_cluster(program).await);
    }
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).kill_on_drop(true);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    let created = tokio::time::timeout(PATIENCE, create.arg("--cluster-yes").output()).await;
    let created = created.expect("redis-cli hangs").expect("redis-cli is installed");
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    for node in &nodes {
        until(node.port, &["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok")).await;
    }
    nodes
}

async fn node_of_cluster(program: &servers::Program) -> Server {
    let settings = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "1500",
        "--cluster-require-full-coverage",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ];
    Server::start(program, &settings).await
}

/// The place in `nodes` of the master that holds our slot.
async fn holder(nodes: &[Server]) -> usize {
    for (index, node) in nodes.iter().enumerate() {
        if !cli(node.port, &["EXISTS", KEY]).await.contains("MOVED") {
            return index;
        }
    }
    panic!("no node holds the slot");
}

#[tokio::test]
async fn any_node_of_a_cluster_leads_to_the_one_that_holds_the_slot() {
    let Some(program) = redis() else { return };
    let nodes = three_masters(&program).await;
    for node in &nodes {
        let from = RedisParams {
            prefix: format!("from-{}:", node.port),
            ..params(RedisMode::Cluster, &[node.port])
        };
        compare(&RedisStore::new(&from).unwrap(), node.port.into(), 50).await;
    }
}

#[tokio::test]
async fn a_cluster_goes_on_when_a_master_dies() {
    let Some(program) = redis() else { return };
    let mut nodes = three_masters(&program).await;
    let holder = holder(&nodes).await;
    let replica = node_of_cluster(&program).await;
    let id = cli(nodes[holder].port, &["CLUSTER", "MYID"]).await;
    let port = nodes[holder].port.to_string();
    cli(replica.port, &["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    // It knows its master only after a round of gossip.
    until(replica.port, &["CLUSTER", "REPLICATE", &id], |answer| answer == "OK").await;
    let is_up = |info: &str| info.contains("master_link_status:up");
    until(replica.port, &["INFO", "replication"], is_up).await;

    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let store = RedisStore::new(&params(RedisMode::Cluster, &ports)).unwrap();
    let run = join(&store, 1).await;
    assert_eq!(nodes[holder].run(&["WAIT", "1", "10000"]).await, "1");
    // A master that holds other slots.
    nodes[(holder + 1) % 3].kill().await;
    join(&store, 2).await;
    nodes[(holder + 1) % 3].start_again().await;
    for node in &nodes {
        until(node.port, &["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok")).await;
    }
    assert_eq!(nodes[holder].run(&["WAIT", "1", "10000"]).await, "1");
    // The one that holds ours: paused, so that its connections stay open.
    let _paused = nodes[holder].pause();
    let after = read_at_last(&store).await;
    assert_ne!(after.run, run);
    assert_eq!(after.leases, [lease(1, 1), lease(2, 1)]);
    join(&store, 3).await;
}
