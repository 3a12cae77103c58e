//! What happens to nodes, and what their data planes are told of it.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;

use tokio::time::timeout;

use super::*;
use crate::core::ownership::{
    Change, HomeChange, NodeIncarnation, ShardId, Standing, StoreAnswer, StoreCall, shard_of,
};
use crate::fleet::FleetError;
use crate::ident::InstanceUid;
use crate::ownership::Store as _;
use crate::sessions::Ways as _;

fn uid() -> InstanceUid {
    InstanceUid::from_bytes([7; 16])
}

fn is_whole(nodes: &[&TestNode]) -> bool {
    let all: Vec<BTreeSet<ShardId>> = nodes.iter().map(|node| node.notes.held()).collect();
    let together: BTreeSet<_> = all.iter().flatten().collect();
    let sum: usize = all.iter().map(BTreeSet::len).sum();
    together.len() == usize::from(SHARDS) && sum == together.len()
}

fn assert_no_faults(nodes: &[&TestNode]) {
    for node in nodes {
        let faults = node.notes.noted.lock().faults.clone();
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[tokio::test]
async fn a_node_without_others_has_all_shards_at_once_and_speaks() {
    let store = Arc::new(MemoryStore::new());
    let alone = FleetParams { times: times(true), listen: None, ..params("alone", 0) };
    let node = TestNode::start(alone, &store);
    assert!(!node.fleet.may_write(), "it has yet to become a member");
    node.ready().await;
    node.until("it speaks", |node| node.notes.speaks()).await;
    assert_eq!(node.notes.held().len(), usize::from(SHARDS));
    assert!(node.fleet.may_write());
    assert_eq!(node.fleet.standing(), Ok(Standing::Leased));
    let home = node.fleet.home(shard_of(uid())).unwrap();
    assert_eq!(home.node, node.fleet.me());
    assert_no_faults(&[&node]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_the_shards_and_reach_each_other() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    one.ready().await;
    two.ready().await;
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    let (me, other) = (one.fleet.me(), two.fleet.me());
    one.until("linked", |one| one.notes.noted.lock().reached.contains(&other)).await;
    two.until("linked", |two| two.notes.noted.lock().reached.contains(&me)).await;
    assert!(one.fleet.send(other, uid(), &mut |out| out.extend_from_slice(b"frame")));
    let sent = (me, b"frame".to_vec());
    two.until("the frame", |two| two.notes.noted.lock().frames.contains(&sent)).await;
    for shard in ShardId::all() {
        let seen = (one.fleet.home(shard), two.fleet.home(shard));
        assert_eq!(seen.0, seen.1, "{shard:?}");
    }
    assert_eq!(one.fleet.secret_id(), two.fleet.secret_id());
    assert_no_faults(&[&one, &two]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_node_that_dies_go_to_the_others() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    let dead = two.fleet.me();
    two.task.abort();
    one.until("it has all", |one| one.notes.held().len() == usize::from(SHARDS)).await;
    one.until("told", |one| one.notes.noted.lock().gone.contains(&dead)).await;
    one.until("the link is lost", |one| one.notes.noted.lock().reached.is_empty()).await;
    assert!(!one.fleet.send(dead, uid(), &mut |out| out.push(1)));
    assert_no_faults(&[&one]);
}

/// Takes a node off the membership and leaves its shards without a home.
async fn take_over(store: &MemoryStore, victim: NodeIncarnation, by: NodeIncarnation) {
    let read = store.call(StoreCall::Read, LEASE).await.unwrap();
    let StoreAnswer::Read(content) = read else { panic!("{read:?}") };
    let its = content.homes.iter().filter(|(_, home)| home.node == victim);
    let homes =
        its.map(|(shard, home)| HomeChange { shard: *shard, read: Some(home.epoch), new: None });
    let (remove, homes) = (vec![victim], homes.collect());
    let change = Change { by, still: Vec::new(), remove, add: None, homes };
    store.call(StoreCall::Change(Box::new(change)), LEASE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_taken_over_begins_anew_and_is_linked_again() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    let before = two.fleet.me();
    take_over(&store, before, one.fleet.me()).await;
    two.until("another incarnation", |two| two.fleet.me() != before).await;
    assert!(two.notes.noted.lock().drops > 0, "what waited was dropped");
    let now = two.fleet.me();
    one.until("linked again", |one| one.notes.noted.lock().reached.contains(&now)).await;
    two.until("it speaks", |two| two.notes.speaks() && two.fleet.may_write()).await;
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    assert_no_faults(&[&one, &two]);
}

/// Connections of the former life may hold the address for longer than anyone waits at a stretch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_begins_anew_listens_as_soon_as_its_address_is_free() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let settings = params("two", 1);
    let listen = settings.listen.unwrap();
    let two = TestNode::start(settings, &store);
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    let before = two.fleet.me();
    take_over(&store, before, one.fleet.me()).await;
    // Takes the address as soon as the former life has let go of it.
    let held = tokio::task::spawn_blocking(move || {
        loop {
            if let Ok(held) = UdpSocket::bind(listen) {
                return held;
            }
        }
    });
    let held = timeout(PATIENCE, held).await.unwrap().unwrap();
    two.until("it cannot listen", |two| two.fleet.is_deaf()).await;
    drop(held);
    two.until("it listens", |two| !two.fleet.is_deaf()).await;
    let now = two.fleet.me();
    one.until("linked again", |one| one.notes.noted.lock().reached.contains(&now)).await;
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    assert_no_faults(&[&one, &two]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_of_a_live_name_says_so() {
    let store = Arc::new(MemoryStore::new());
    let first = TestNode::start(params("twin", 1), &store);
    first.ready().await;
    let second = TestNode::start(params("twin", 1), &store);
    let end = timeout(PATIENCE, second.fleet.displaced()).await.unwrap();
    assert!(matches!(&end, FleetError::NameInUse(name) if name.as_str() == "twin"));
    assert!(end.to_string().contains("ownership.node"), "{end}");
    assert!(matches!(second.fleet.ready().await, Err(FleetError::NameInUse(_))));
    timeout(PATIENCE, second.task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_gets_its_share_with_the_sessions() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    one.ready().await;
    let two = TestNode::start(params("two", 1), &store);
    let half = usize::from(SHARDS) / 2;
    two.until("half of the shards", |two| two.notes.held().len() == half).await;
    let handed = two.notes.noted.lock().handed.len();
    assert!(handed + 16 > half, "{handed} of {half} with their sessions");
    one.until("the other half", |one| one.notes.held().len() == half).await;
    one.until("nothing is frozen", |one| one.notes.noted.lock().frozen.is_empty()).await;
    assert!(is_whole(&[&one, &two]));
    assert_no_faults(&[&one, &two]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_hands_over_first_and_stays_for_its_agents_until_it_is_told() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    one.until("all shards have one home", |_| is_whole(&[&one, &two])).await;
    two.ready().await;
    two.until("linked", |two| !two.notes.noted.lock().reached.is_empty()).await;
    assert!(one.fleet.hand_over(PATIENCE).await && one.notes.held().is_empty());
    assert!(!one.has_left() && one.fleet.may_write(), "its servers' answers are passed on");
    assert!(one.fleet.home(shard_of(uid())).is_some_and(|home| home.node == two.fleet.me()));
    assert!(one.fleet.leave(PATIENCE).await && one.has_left());
    let gone = one.fleet.me();
    two.until("told", |two| two.notes.noted.lock().gone.contains(&gone)).await;
    assert_eq!(two.notes.held().len(), usize::from(SHARDS));
    one.fleet.stop();
    timeout(PATIENCE, one.task).await.unwrap().unwrap();
    assert_no_faults(&[&two]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_node_leaves_at_once() {
    let store = Arc::new(MemoryStore::new());
    let node = TestNode::start(params("one", 1), &store);
    node.ready().await;
    assert!(node.fleet.leave(PATIENCE).await && node.has_left());
    assert!(!node.fleet.may_write());
}
