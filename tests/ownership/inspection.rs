//! What `seawall check` says of the Redis at hand.

use std::io::Write as _;

use seawall::ownership::redis::Finding;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::servers::{Server, each, redis, until};
use super::*;

/// Runs `seawall check` with these keys of `[ownership.redis]`.
async fn check(keys: &str) -> String {
    let mut file = NamedTempFile::new().unwrap();
    let text = format!(
        "[[upstream.servers]]\nurl = \"ws://127.0.0.1:1\"\n\
         [ownership]\nnode = \"one\"\nstore = \"redis\"\n[ownership.redis]\n{keys}\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.arg("check").arg("--config").arg(file.path()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("check hangs");
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_bare_redis_gets_warnings() {
    for program in each() {
        let server = Server::start(&program, &[]).await;
        let address = format!("127.0.0.1:{}", server.port);
        let said = check(&format!("addresses = [\"{address}\"]")).await;
        let summary =
            format!("node one, lease 10s, in Redis at {address}, keys seawall:{{cluster}}:*");
        for expected in [
            summary.as_str(),
            &format!("store:     {address}\n"),
            "WARNING: no replica",
            "WARNING: appendonly is no",
            "maxmemory-policy noeviction spares the keys",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert_eq!(server.run(&["DBSIZE"]).await, "0", "it writes nothing");
    }
}

#[tokio::test]
async fn without_a_server_it_says_what_it_could_not_see() {
    let address = format!("127.0.0.1:{}", crate::support::ports::free_port());
    let said = check(&format!("addresses = [\"{address}\"]")).await;
    assert!(said.starts_with("ok\n"), "{said}");
    let expected = "could not be seen: replicas, persistence and eviction, because the store cannot be \
                    reached";
    assert!(said.contains(expected), "{said}");
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
