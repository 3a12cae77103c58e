//! Servers that are paused, killed and restarted.

use std::time::Instant;

use futures_util::future::join_all;

use super::servers::{Server, redis};
use super::*;

#[tokio::test]
async fn a_paused_server_is_unknown_in_time_and_its_connection_is_replaced() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    let run = join(&store, 1).await;
    let connections = server.connections().await;
    let paused = server.pause();
    let begin = seawall::clock::now();
    let answer = store.call(StoreCall::Read, BRIEFLY).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    assert!(elapsed(begin) < BRIEFLY + PATIENCE, "{:?}", elapsed(begin));
    // The next call dials: it is known not to have been sent.
    let answer = store.call(StoreCall::Read, BRIEFLY).await;
    assert!(matches!(answer, Err(StoreError::Unreachable(_))), "{answer:?}");
    drop(paused);
    assert_eq!(read_at_last(&store).await.run, run, "a pause is no other life");
    // redis-cli has connected once as well.
    assert!(server.connections().await > connections + 1, "the old connection is still in use");
}

fn elapsed(since: Instant) -> Duration {
    seawall::clock::now().duration_since(since)
}

#[tokio::test]
async fn calls_in_flight_at_the_kill_are_unknown_and_the_next_one_dials() {
    let Some(program) = redis() else { return };
    let mut server = Server::start(&program, &[]).await;
    let store = single(server.port);
    let run = join(&store, 1).await;
    // It is killed while it stands still, so that it answers nothing before.
    std::mem::forget(server.pause());
    let calls = (0..8).map(|_| store.call(StoreCall::Read, WITHIN));
    let (answers, ()) = tokio::join!(join_all(calls), server.kill());
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }
    let answer = store.call(StoreCall::Read, WITHIN).await;
    assert!(matches!(answer, Err(StoreError::Unreachable(_))), "{answer:?}");
    server.start_again().await;
    let after = read_at_last(&store).await;
    assert_ne!(after.run, run, "a restart is another life");
    assert!(after.leases.is_empty());
}

#[tokio::test]
async fn a_restart_with_its_data_is_another_life_too() {
    let Some(program) = redis() else { return };
    let mut server =
        Server::start(&program, &["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = single(server.port);
    let run = join(&store, 1).await;
    server.kill().await;
    server.start_again().await;
    let after = read_at_last(&store).await;
    assert_eq!(after.leases, [lease(1, 1)]);
    assert_ne!(after.run, run);
    assert!(matches!(renew(&store, lease(1, 2)).await, Ok(RenewAnswer::Renewed(_))));
}

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_is_silent() {
    let Some(program) = redis() else { return };
    let (silent, there) = (Server::start(&program, &[]).await, Server::start(&program, &[]).await);
    let _paused = silent.pause();
    let both = params(RedisMode::Single, &[silent.port, there.port]);
    join(&RedisStore::new(&both).unwrap(), 1).await;
    assert_eq!(read(&single(there.port)).await.unwrap().leases.len(), 1);
}
