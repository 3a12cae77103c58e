//! Redis for real: each kind starts, and each thing that can happen to it happens. Redis is Debian's
//! (`make setup` installs it); where it is missing these tests say so, and fail under `CI=true`.

use super::*;

/// Whether the programs are there.
fn has(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| find_program(&[name]).is_err()).collect();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(missing.is_empty() || !is_ci, "{missing:?} are missing: `make setup` installs them");
    if !missing.is_empty() {
        eprintln!("NOT TESTED: {missing:?} are missing; `make setup` installs them");
    }
    missing.is_empty()
}

async fn single(folder: &RunFolder) -> RedisStage {
    RedisStage::start(folder, RedisKind::Single).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_single_server_stops_comes_back_with_its_data_empty_or_old() {
    if !has(&["redis-server"]) {
        return;
    }
    let folder = RunFolder::make().unwrap();
    let mut stage = single(&folder).await;
    assert_eq!(stage.addresses().0, "single");
    let say = async |stage: &RedisStage, line: &str| stage.servers[0].say(line).await;
    let before = stage.commands().await;
    say(&stage, "SET key old").await.unwrap();
    let dump = stage.dump().await.unwrap();
    say(&stage, "SET key new").await.unwrap();
    assert_eq!(stage.commands().await.of_nodes_since(&before), 2);
    for (with, expected) in
        [(StartWith::ItsData, "new"), (StartWith::Dump(dump), "old"), (StartWith::Nothing, "")]
    {
        stage.stop().await.unwrap();
        assert!(say(&stage, "GET key").await.is_err());
        stage.start_again(&with).await.unwrap();
        assert_eq!(say(&stage, "GET key").await.unwrap(), expected, "{with:?}");
    }
    assert!(stage.fail_over().await.is_err());
    assert!(stage.servers[0].port < 32_768);
}

#[tokio::test]
async fn a_server_that_hangs_takes_connections_and_gives_no_answer() {
    if !has(&["redis-server"]) {
        return;
    }
    let folder = RunFolder::make().unwrap();
    let stage = single(&folder).await;
    stage.hang(true).unwrap();
    let fault = stage.servers[0].say("PING").await.unwrap_err();
    assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
    stage.hang(false).unwrap();
    assert_eq!(stage.servers[0].say("PING").await.unwrap(), "PONG");
}

#[tokio::test]
async fn sentinels_fail_over_to_a_replica_that_lacks_the_last_writes() {
    if !has(&["redis-server", "redis-sentinel"]) {
        return;
    }
    let folder = RunFolder::make().unwrap();
    let stage = RedisStage::start(&folder, RedisKind::Sentinel).await.unwrap();
    let mut stage = stage.unwrap();
    assert_eq!((stage.addresses().0, stage.addresses().1.len()), ("sentinel", SENTINELS));
    stage.servers[0].say("SET key old").await.unwrap();
    stage.servers[1].wait_for("GET key", |value| value == "old").await.unwrap();
    // The write of this task comes while the replica hangs.
    let master = stage.servers[0].port;
    let late = tokio::spawn(async move {
        tokio::time::sleep(LAG / 2).await;
        wire::command(master, "SET key new").await
    });
    stage.fail_over().await.unwrap();
    assert_eq!(late.await.unwrap().unwrap(), "OK");
    assert_eq!(stage.servers[1].say("GET key").await.unwrap(), "old");
    assert_eq!(stage.servers[1].say("SET key newer").await.unwrap(), "OK");
}

#[tokio::test]
async fn a_cluster_has_three_masters_and_loses_one() {
    if !has(&["redis-server"]) {
        return;
    }
    let folder = RunFolder::make().unwrap();
    let stage = RedisStage::start(&folder, RedisKind::Cluster).await.unwrap();
    let mut stage = stage.unwrap();
    assert_eq!((stage.addresses().0, stage.addresses().1.len()), ("cluster", 3));
    stage.fail_over().await.unwrap();
    assert_eq!(stage.servers.iter().filter(|server| server.is_there()).count(), 2);
    let fault = stage.servers[0].say("CLUSTER NODES").await.unwrap();
    assert_eq!(fault.lines().count(), 3, "{fault}");
}
