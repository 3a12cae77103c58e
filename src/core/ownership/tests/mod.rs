//! Tests of the ownership's plain types together: what the calls to the store mean, and their encodings.

mod properties;
mod refusals;
mod renewals;

use super::generate::{Dice, lease, node};
use super::*;

const RUN: RunId = RunId(1);

fn shard(number: u16) -> ShardId {
    ShardId::new(number).unwrap()
}

fn epoch(number: u64, taker: u64) -> Epoch {
    Epoch { number, taker: node(taker) }
}

fn lease_of(number: u64, counter: u64) -> Lease {
    let (counter, read) = (Counter(counter), MapVersion(0));
    Lease { counter, read, ..lease(&mut Dice(0), node(number)) }
}

fn join(number: u64, homes: Vec<HomeChange>) -> Change {
    let (still, remove) = (Vec::new(), Vec::new());
    Change { by: node(number), still, remove, add: Some(lease_of(number, 1)), homes }
}

/// Takes a shard for a node that has read this epoch.
fn take(number: u16, read: Option<Epoch>, by: u64) -> HomeChange {
    let next = epoch(read.map_or(1, |read| read.number + 1), by);
    HomeChange { shard: shard(number), read, new: Some(Home { node: node(by), epoch: next }) }
}

/// Nodes 0 and 1 are members with counter 1; shards 0 and 1 are at home on the node of the same number.
fn two_nodes() -> Registry {
    let mut registry = Registry::new(RUN);
    for number in [0, 1] {
        let homes = vec![take(u16::try_from(number).unwrap(), None, number)];
        let answer = registry.change(&join(number, homes));
        assert!(matches!(answer, ChangeAnswer::Changed { run: RUN, .. }), "{answer:?}");
    }
    registry
}

fn why(registry: &mut Registry, change: &Change) -> Option<ChangeRefusal> {
    let before = registry.clone();
    match registry.change(change) {
        ChangeAnswer::Changed { .. } => None,
        ChangeAnswer::Refused { why, .. } => {
            assert_eq!(*registry, before, "a refused change changes nothing");
            Some(why)
        }
    }
}
