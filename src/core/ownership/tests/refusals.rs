//! Each reason for which a change is refused, and the changes beside it that are made.

use super::ChangeRefusal::*;
use super::*;

/// Node 0 takes over from node 1: its counter stood at `counter`.
fn take_over(counter: u64) -> Change {
    Change {
        by: node(0),
        still: vec![(node(1), Counter(counter))],
        remove: vec![node(1)],
        add: None,
        homes: vec![take(1, Some(epoch(1, 1)), 0)],
    }
}

#[test]
fn a_take_over_moves_the_shards_of_the_dead_in_one_step() {
    let mut registry = two_nodes();
    assert_eq!(why(&mut registry, &take_over(1)), None);
    let after = registry.read();
    assert_eq!(after.version, MapVersion(3));
    assert_eq!(after.leases.len(), 1);
    assert_eq!(after.homes[&shard(1)], Home { node: node(0), epoch: epoch(2, 0) });
    // The dead node writes nothing from then on.
    assert_eq!(why(&mut registry, &Change { by: node(1), ..take_over(1) }), Some(NotMember));
    let renew = Renew { lease: lease_of(1, 2), restore: vec![], rejoin: false, secret: None };
    assert_eq!(registry.renew(&renew), RenewAnswer::NotMember { run: RUN });
    assert_eq!(registry.read(), after);
}

#[test]
fn a_victim_that_has_renewed_is_left_alone() {
    assert_eq!(why(&mut two_nodes(), &take_over(0)), Some(Moved(node(1))));
    let gone = Change { still: vec![(node(4), Counter(0))], ..take_over(1) };
    assert_eq!(why(&mut two_nodes(), &gone), Some(Moved(node(4))));
}

#[test]
fn a_removed_node_leaves_no_shard_behind() {
    let change = Change { homes: vec![], ..take_over(1) };
    assert_eq!(why(&mut two_nodes(), &change), Some(LeftBehind(shard(1))));
    let vacates = HomeChange { shard: shard(1), read: Some(epoch(1, 1)), new: None };
    let change = Change { homes: vec![vacates], ..take_over(1) };
    assert_eq!(why(&mut two_nodes(), &change), None);
}

#[test]
fn a_vacant_shard_keeps_its_epoch() {
    let mut registry = two_nodes();
    let vacates = HomeChange { shard: shard(1), read: Some(epoch(1, 1)), new: None };
    let leave = Change { by: node(1), still: vec![], homes: vec![vacates], ..take_over(1) };
    assert_eq!(why(&mut registry, &leave), None);
    assert_eq!(registry.read().vacant[&shard(1)], epoch(1, 1));
    let anew = join(2, vec![take(1, None, 2)]);
    assert_eq!(why(&mut registry, &anew), Some(EpochDiffers(shard(1))));
    let onward = join(2, vec![take(1, Some(epoch(1, 1)), 2)]);
    assert_eq!(why(&mut registry, &onward), None);
    assert!(registry.read().vacant.is_empty());
}

#[test]
fn an_epoch_that_differs_in_number_or_taker_is_refused() {
    for read in [None, Some(epoch(2, 1)), Some(epoch(1, 0))] {
        let change = Change { homes: vec![take(1, read, 0)], ..take_over(1) };
        assert_eq!(why(&mut two_nodes(), &change), Some(EpochDiffers(shard(1))));
    }
    let same = HomeChange {
        new: Some(Home { node: node(0), epoch: epoch(1, 0) }),
        ..take(1, Some(epoch(1, 1)), 0)
    };
    let change = Change { homes: vec![same], ..take_over(1) };
    assert_eq!(why(&mut two_nodes(), &change), Some(NotNewer(shard(1))));
}

#[test]
fn a_home_is_a_member_of_what_comes_after() {
    let to = |number| {
        let home = Home { node: node(number), epoch: epoch(2, 0) };
        HomeChange { new: Some(home), ..take(1, Some(epoch(1, 1)), 0) }
    };
    for number in [1, 3] {
        let change = Change { homes: vec![to(number)], ..take_over(1) };
        assert_eq!(why(&mut two_nodes(), &change), Some(NoMember(shard(1))));
    }
    let homes = vec![to(3)];
    let change = Change { add: Some(lease_of(3, 1)), homes, ..take_over(1) };
    assert_eq!(why(&mut two_nodes(), &change), None);
}

#[test]
fn a_node_joins_once_under_a_name_that_is_free() {
    let mut registry = two_nodes();
    assert_eq!(why(&mut registry, &join(1, vec![])), Some(AlreadyMember));
    let lease = Lease { name: lease_of(1, 1).name, ..lease_of(3, 1) };
    let twin = Change { add: Some(lease), ..join(3, vec![]) };
    assert_eq!(why(&mut registry, &twin), Some(NameTaken));
    // A restarted node takes over from its former life.
    let still = vec![(node(1), Counter(1))];
    let homes = vec![take(1, Some(epoch(1, 1)), 3)];
    let again = Change { still, remove: vec![node(1)], homes, ..twin };
    assert_eq!(why(&mut registry, &again), None);
}

#[test]
fn there_are_at_most_256_members() {
    let mut registry = Registry::new(RUN);
    let added = (0..300).filter(|number| {
        let name = NodeName::try_new(&format!("n{number}")).unwrap();
        let lease = Lease { name, ..lease_of(*number, 1) };
        let change = Change { add: Some(lease), ..join(*number, vec![]) };
        match why(&mut registry, &change) {
            None => true,
            Some(refusal) => {
                assert_eq!(refusal, Full);
                false
            }
        }
    });
    assert_eq!(added.count(), NODES_MAX);
    let renew = Renew { lease: lease_of(299, 2), restore: vec![], rejoin: true, secret: None };
    assert_eq!(registry.renew(&renew), RenewAnswer::NotMember { run: RUN });
}
