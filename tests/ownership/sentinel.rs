//! A master with a replica, watched by three Sentinels.

use rustix::process::Signal;

use super::servers::{Server, redis, sentinel, until};
use super::*;

#[tokio::test]
async fn after_a_failover_the_promoted_replica_is_used_and_is_another_life() {
    let Some(program) = redis() else { return };
    let quick = ["--repl-diskless-sync-delay", "0"];
    let master = Server::start(&program, &quick).await;
    let of = format!("127.0.0.1 {}", master.port);
    let replica =
        Server::start(&program, &[quick.as_slice(), &["--replicaof", &of]].concat()).await;
    let is_up = |info: &str| info.contains("master_link_status:up");
    until(replica.port, &["INFO", "replication"], is_up).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel(master.port).await);
    }
    let ports: Vec<u16> = sentinels.iter().map(|(_, port, _)| *port).collect();
    for port in &ports {
        // Each knows the replica and both others, or there is no failover.
        let knows = |info: &str| info.contains("slaves=1,sentinels=3");
        until(*port, &["INFO", "sentinel"], knows).await;
    }
    let mode = RedisMode::Sentinel { master: "seawall".to_owned() };
    let store = RedisStore::new(&params(mode, &ports)).unwrap();
    let run = join(&store, 1).await;
    // The lease is on the replica before the master stops.
    assert_eq!(master.run(&["WAIT", "1", "10000"]).await, "1");
    let paused = master.pause();
    let after = read_at_last(&store).await;
    assert_ne!(after.run, run, "a failover may have lost what was written last");
    assert_eq!(after.leases, [lease(1, 1)]);
    join(&store, 2).await;
    assert_eq!(read(&single(replica.port)).await.unwrap().leases.len(), 2);
    // The old master wakes up and believes what it believed before. It is asked no more.
    drop(paused);
    for counter in 2..12 {
        let answer = renew(&store, lease(1, counter)).await;
        assert!(matches!(answer, Ok(RenewAnswer::Renewed(_))), "{answer:?}");
    }
    assert_eq!(read(&single(replica.port)).await.unwrap().leases[0], lease(1, 11));
}

#[tokio::test]
async fn calls_go_on_while_all_sentinels_are_silent() {
    let Some(program) = redis() else { return };
    let master = Server::start(&program, &[]).await;
    let sentinels = [sentinel(master.port).await, sentinel(master.port).await];
    let ports = sentinels.each_ref().map(|(_, port, _)| *port);
    let mode = RedisMode::Sentinel { master: "seawall".to_owned() };
    let store = RedisStore::new(&params(mode, &ports)).unwrap();
    join(&store, 1).await;
    sentinels.iter().for_each(|(process, ..)| process.signal(Signal::STOP));
    // Long enough for the Sentinels to be asked again, twice.
    let begin = seawall::clock::now();
    while seawall::clock::now().duration_since(begin) < Duration::from_secs(7) {
        let answer = store.call(StoreCall::Read, Duration::from_secs(6)).await;
        assert!(answer.is_ok(), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    sentinels.iter().for_each(|(process, ..)| process.signal(Signal::CONT));
}

#[tokio::test]
async fn sentinels_that_know_no_such_master_are_named_as_the_reason() {
    let Some(program) = redis() else { return };
    let master = Server::start(&program, &[]).await;
    let (_process, port, _folder) = sentinel(master.port).await;
    let mode = RedisMode::Sentinel { master: "another".to_owned() };
    let store = RedisStore::new(&params(mode, &[port])).unwrap();
    let error = read(&store).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreachable(why) if why.contains("no master of this name")),
        "{error}"
    );
}
