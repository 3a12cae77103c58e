//! Values in the store that this version would not write.

use seawall::core::ownership::{Home, HomeChange, ShardId};

use super::servers::{Server, redis};
use super::*;

const NODES: &str = "seawall:{cluster}:nodes";

/// Gives the stored lease of this node a format that is yet to come.
async fn make_unreadable(server: &Server, number: u64) {
    let script = "local v = redis.call('HGET', KEYS[1], ARGV[1]) \
                  return redis.call('HSET', KEYS[1], ARGV[1], '\\2' .. v:sub(2))";
    server.run(&["EVAL", script, "1", NODES, &node(number).to_string()]).await;
}

#[tokio::test]
async fn a_node_of_a_later_format_is_seen_and_can_be_taken_over_from() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    let shard = ShardId::new(7).unwrap();
    let home = |number, epoch| {
        let epoch = seawall::core::ownership::Epoch { number: epoch, taker: node(number) };
        Home { node: node(number), epoch }
    };
    let takes = HomeChange { shard, read: None, new: Some(home(2, 1)) };
    join(&store, 1).await;
    change(&store, Change { homes: vec![takes], ..joining(2) }).await.unwrap();
    make_unreadable(&server, 2).await;
    let before = read(&store).await.unwrap();
    assert_eq!(before.leases, [lease(1, 1)]);
    assert_eq!(before.unreadable, [lease(2, 1).head()]);
    let taken = HomeChange { shard, read: Some(home(2, 1).epoch), new: Some(home(1, 2)) };
    let take_over = |counter| Change {
        by: node(1),
        still: vec![(node(2), Counter(counter))],
        remove: vec![node(2)],
        add: None,
        homes: vec![taken],
    };
    let early = change(&store, take_over(0)).await;
    assert!(matches!(early, Ok(ChangeAnswer::Refused { .. })), "{early:?}");
    let answer = change(&store, take_over(1)).await;
    assert!(matches!(answer, Ok(ChangeAnswer::Changed { .. })), "{answer:?}");
    let after = read(&store).await.unwrap();
    assert!(after.unreadable.is_empty());
    assert_eq!(after.homes[&shard], home(1, 2));
}

#[tokio::test]
async fn a_value_that_no_version_writes_is_named() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &[]).await;
    let store = single(server.port);
    join(&store, 1).await;
    for (key, field) in [(NODES, "0000000000000009"), ("seawall:{cluster}:shards", "1024")] {
        server.run(&["HSET", key, field, "nonsense"]).await;
        let error = read(&store).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{key}, field {field:?}: ")), "{error}");
        server.run(&["HDEL", key, field]).await;
    }
    // Numbers after which there is no next one.
    for version in ["9007199254740991", "18446744073709551615", "1.5"] {
        server.run(&["HSET", "seawall:{cluster}:meta", "version", version]).await;
        let error = read(&store).await.unwrap_err();
        assert!(error.to_string().contains("meta, field \"version\": "), "{version}: {error}");
    }
    server.run(&["HSET", "seawall:{cluster}:meta", "version", "7"]).await;
    let put = "return redis.call('HSET', KEYS[1], '3', '\\1' .. string.rep('\\255', 8) .. string.rep('\\1', 16))";
    server.run(&["EVAL", put, "1", "seawall:{cluster}:shards"]).await;
    let error = read(&store).await.unwrap_err();
    assert!(
        error.to_string().ends_with("field \"3\": the value has an impossible epoch"),
        "{error}"
    );
    server.run(&["HDEL", "seawall:{cluster}:shards", "3"]).await;
    server.run(&["HSET", "seawall:{cluster}:meta", "shards", "64"]).await;
    let error = read(&store).await.unwrap_err();
    assert!(error.to_string().contains("a fleet with 64 shards"), "{error}");
}

#[tokio::test]
async fn keys_are_named_by_the_prefix_and_stay_without_a_time_to_live() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &["--databases", "4"]).await;
    let own = RedisParams {
        prefix: "other/".to_owned(),
        database: 3,
        ..params(RedisMode::Single, &[server.port])
    };
    join(&RedisStore::new(&own).unwrap(), 1).await;
    join(&single(server.port), 1).await;
    for (database, prefix) in [("0", "seawall:"), ("3", "other/")] {
        let keys = server.run(&["-n", database, "KEYS", "*"]).await;
        let mut keys: Vec<_> = keys.lines().collect();
        keys.sort_unstable();
        let names = ["meta", "nodes", "shards"].map(|name| format!("{prefix}{{cluster}}:{name}"));
        assert_eq!(keys, names);
        for key in &names {
            assert_eq!(server.run(&["-n", database, "TTL", key]).await, "-1");
        }
    }
}
