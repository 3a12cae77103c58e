//! What a store in Redis says of the Redis at hand.

use seawall::ownership::StoreError;
use seawall::ownership::redis::Finding;

use super::servers::{Server, each, redis, until};
use super::*;

#[tokio::test]
async fn a_bare_redis_gets_warnings() {
    for program in each() {
        let server = Server::start(&program, &[]).await;
        let found = single(server.port).inspect(WITHIN).await.unwrap();
        assert_eq!(found.address, format!("127.0.0.1:{}", server.port));
        let said: Vec<String> = found.findings.iter().map(Finding::to_string).collect();
        for expected in [
            "WARNING: no replica",
            "WARNING: appendonly is no",
            "maxmemory-policy noeviction spares the keys",
        ] {
            assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
        }
        assert_eq!(server.run(&["DBSIZE"]).await, "0", "it writes nothing");
    }
}

#[tokio::test]
async fn without_a_server_there_is_nothing_to_see() {
    let port = crate::support::ports::free_port();
    let found = single(port).inspect(WITHIN).await;
    assert!(matches!(found, Err(StoreError::Unreachable(_))), "{found:?}");
}

#[tokio::test]
async fn what_would_keep_a_node_out_is_a_fault() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &["--min-replicas-to-write", "1"]).await;
    let found = single(server.port).inspect(WITHIN).await.unwrap();
    let faults = |found: &seawall::ownership::redis::Inspection| -> Vec<String> {
        let faults = found.findings.iter().filter(|it| matches!(it, Finding::Fault(_)));
        faults.map(ToString::to_string).collect()
    };
    assert!(faults(&found)[0].contains("it refuses every write"), "{found:?}");
    assert_eq!(server.run(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await, "OK");
    let found = single(server.port).inspect(WITHIN).await.unwrap();
    assert_eq!(faults(&found), [""; 0]);
    // A user who may read and not write, and one who may run no script.
    assert_eq!(server.run(&["ACL", "SETUSER", "default", "-hset", "-hdel"]).await, "OK");
    let found = single(server.port).inspect(WITHIN).await.unwrap();
    assert!(faults(&found)[0].contains("may not use HSET, HDEL on these keys"), "{found:?}");
    assert_eq!(server.run(&["ACL", "SETUSER", "default", "-eval"]).await, "OK");
    let refused = single(server.port).inspect(WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_redis_with_a_replica_and_a_log_gets_none() {
    let Some(program) = redis() else { return };
    let settings = ["--appendonly", "yes", "--min-replicas-to-write", "1"];
    let master = Server::start(
        &program,
        &[settings.as_slice(), &["--repl-diskless-sync-delay", "0"]].concat(),
    )
    .await;
    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&program, &["--replicaof", &of]).await;
    let is_up = |info: &str| info.contains("master_link_status:up");
    until(replica.port, &["INFO", "replication"], is_up).await;
    // The master counts it a moment later.
    let counts = |info: &str| info.contains("min_slaves_good_slaves:1");
    until(master.port, &["INFO", "replication"], counts).await;
    let found = single(master.port).inspect(WITHIN).await.unwrap();
    let warns = |finding: &Finding| matches!(finding, Finding::Warning(_) | Finding::Unseen(_));
    assert!(!found.findings.iter().any(warns), "{found:?}");
    // A user without the right to ask for settings.
    let user = ["ACL", "SETUSER", "default", "-config"];
    assert_eq!(master.run(&user).await, "OK");
    let found = single(master.port).inspect(WITHIN).await.unwrap();
    let unseen = Finding::Unseen("min-replicas-to-write (CONFIG GET is not allowed)".to_owned());
    assert!(found.findings.contains(&unseen), "{found:?}");
}
