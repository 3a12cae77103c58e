//! Stores that lose what they had, and servers that refuse to write.

use super::servers::{Server, redis};
use super::*;

#[tokio::test]
async fn the_loss_of_any_hash_is_another_life() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    let mut run = join(&store, 1).await;
    let keys = ["meta", "nodes", "shards"].map(|name| format!("seawall:{{cluster}}:{name}"));
    for key in &keys {
        assert_eq!(server.run(&["DEL", key]).await, "1", "{key}");
        let after = read(&store).await.unwrap().run;
        assert_ne!(after, run, "{key}");
        assert_eq!(read(&store).await.unwrap().run, after, "from then on it is the same");
        run = after;
    }
    server.run(&["FLUSHALL"]).await;
    assert_ne!(read(&store).await.unwrap().run, run);
}

#[tokio::test]
async fn an_eviction_is_noticed_and_a_policy_that_spares_lasting_keys_spares_ours() {
    let Some(program) = redis() else { return };
    for (policy, evicts) in [("volatile-lru", false), ("allkeys-random", true)] {
        let server = Server::start(&program, &["--maxmemory-policy", policy]).await;
        let store = single(server.port);
        let run = join(&store, 1).await;
        let fill = "for i = 1, 200 do local ok = redis.pcall('SET', KEYS[1] .. math.random(1e9), \
                    string.rep('x', 1000), 'EX', 1000) end";
        server.run(&["EVAL", fill, "1", "filler-"]).await;
        // From now on there is too much, and one key after the other goes.
        server.run(&["CONFIG", "SET", "maxmemory", "1kb"]).await;
        let filled = server.run(&["DBSIZE"]).await;
        let mut is_gone = false;
        for _ in 0..200 {
            server.run(&["SET", "another", "x"]).await;
            is_gone = server.run(&["EXISTS", "seawall:{cluster}:nodes"]).await == "0";
            if is_gone || server.run(&["DBSIZE"]).await.parse::<u32>().unwrap() <= 3 {
                break;
            }
        }
        assert_eq!(is_gone, evicts, "{policy}, {filled} keys at first");
        server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
        assert_eq!(read(&store).await.unwrap().run != run, evicts, "{policy}");
    }
}

#[tokio::test]
async fn a_server_without_memory_or_replicas_refuses_and_has_changed_nothing() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    join(&store, 1).await;
    let before = read(&store).await.unwrap();
    for (key, value, usual, why) in [
        ("min-replicas-to-write", "1", "0", StoreRefusal::Replicas),
        ("maxmemory", "1kb", "0", StoreRefusal::Memory),
    ] {
        server.run(&["CONFIG", "SET", key, value]).await;
        for answer in
            [change(&store, joining(2)).await.err(), renew(&store, lease(1, 9)).await.err()]
        {
            assert_eq!(refusal(&answer), Some(why), "{key}: {answer:?}");
            assert!(answer.is_some_and(|error| !error.may_apply()));
        }
        if key == "min-replicas-to-write" {
            assert_eq!(read(&store).await, Ok(before.clone()), "reading needs no replica");
        }
        server.run(&["CONFIG", "SET", key, usual]).await;
        assert_eq!(read(&store).await, Ok(before.clone()));
    }
}

#[tokio::test]
async fn a_replica_answers_nothing_not_even_a_read() {
    let Some(program) = redis() else { return };
    let master = Server::start(&program, &[]).await;
    join(&single(master.port), 1).await;
    let replica =
        Server::start(&program, &["--replicaof", &format!("127.0.0.1 {}", master.port)]).await;
    servers::until(replica.port, &["INFO", "replication"], |info| {
        info.contains("master_link_status:up")
    })
    .await;
    let store = single(replica.port);
    for answer in [read(&store).await.err(), change(&store, joining(2)).await.err()] {
        assert_eq!(refusal(&answer), Some(StoreRefusal::Replica), "{answer:?}");
    }
    replica.run(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(read(&store).await.unwrap().leases.len(), 1);
}

#[tokio::test]
async fn a_key_of_another_type_is_another_programs_fault() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    join(&store, 1).await;
    server.run(&["SET", "seawall:{cluster}:shards", "x"]).await;
    let answer = renew(&store, lease(1, 2)).await.err();
    assert_eq!(refusal(&answer), Some(StoreRefusal::WrongType), "{answer:?}");
    assert_eq!(answer.map(|error| error.fault()), Some(StoreFault::OtherProgram));
    server.run(&["DEL", "seawall:{cluster}:shards"]).await;
    assert_eq!(read(&store).await.unwrap().leases, [lease(1, 1)], "nothing was written");
}

#[tokio::test]
async fn scripts_that_redis_forgot_run_all_the_same() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    join(&store, 1).await;
    server.run(&["SCRIPT", "FLUSH"]).await;
    join(&store, 2).await;
}
