//! What a renewal writes, and how nodes rebuild a store that went back.

use super::*;

fn renew(number: u64, counter: u64) -> Renew {
    Renew { lease: lease_of(number, counter), restore: vec![], rejoin: false, secret: None }
}

fn renewed(registry: &mut Registry, renew: &Renew) -> Renewed {
    match registry.renew(renew) {
        RenewAnswer::Renewed(renewed) => renewed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_renewal_writes_the_lease_and_tells_of_all() {
    let mut registry = two_nodes();
    let answer = renewed(&mut registry, &renew(0, 2));
    assert_eq!(answer.version, MapVersion(2));
    let counters: Vec<_> = answer.leases.iter().map(|l| (l.incarnation, l.counter)).collect();
    let mut expected = [(node(0), Counter(2)), (node(1), Counter(1))];
    expected.sort();
    assert_eq!(counters, expected);
}

#[test]
fn a_renewal_that_comes_late_is_dropped() {
    let mut registry = two_nodes();
    renewed(&mut registry, &renew(0, 3));
    let before = registry.clone();
    for counter in [2, 3] {
        assert_eq!(registry.renew(&renew(0, counter)), RenewAnswer::Late { run: RUN });
    }
    assert_eq!(registry, before);
}

#[test]
fn the_first_secret_stays() {
    let mut registry = two_nodes();
    let secret = |id| Some(Secret { id, key: [7; 32] });
    assert_eq!(renewed(&mut registry, &renew(0, 2)).secret, None);
    for (number, id) in [(0, 5), (1, 6)] {
        let offers = Renew { secret: secret(id), ..renew(number, 3) };
        assert_eq!(renewed(&mut registry, &offers).secret, secret(5));
    }
}

#[test]
fn nodes_rebuild_an_empty_store_with_their_own_epochs() {
    let mut registry = Registry::new(RunId(2));
    let restore = vec![(shard(0), epoch(7, 0)), (shard(5), epoch(3, 1))];
    let lease = Lease { read: MapVersion(41), ..lease_of(0, 9) };
    let back = Renew { lease, restore, rejoin: true, secret: None };
    let version = renewed(&mut registry, &back).version;
    assert_eq!(version, MapVersion(42), "a version that was read before is never used again");
    // Another node holds one of them by a later epoch, and the other by the same number.
    let restore = vec![(shard(0), epoch(7, 1)), (shard(5), epoch(4, 1))];
    let other = Renew { restore, rejoin: true, ..renew(1, 1) };
    assert_eq!(renewed(&mut registry, &other).version, MapVersion(43));
    let homes = registry.read().homes;
    assert_eq!(
        homes[&shard(0)],
        Home { node: node(0), epoch: epoch(7, 0) },
        "on a tie the map wins"
    );
    assert_eq!(homes[&shard(5)], Home { node: node(1), epoch: epoch(4, 1) });
}

#[test]
fn a_store_that_went_back_gets_a_version_above_the_highest_that_was_read() {
    let mut registry = two_nodes();
    let old = registry.clone().restarted(RunId(2));
    for number in [3, 5] {
        assert_eq!(why(&mut registry, &join(number, vec![])), None);
    }
    let read = registry.read().version;
    let mut registry = old;
    let ahead = Renew { lease: Lease { read, ..lease_of(0, 2) }, ..renew(0, 2) };
    let answer = renewed(&mut registry, &ahead);
    assert_eq!((answer.run, answer.version), (RunId(2), read.next()));
}

#[test]
fn without_leave_to_rejoin_a_stranger_writes_nothing() {
    let mut registry = two_nodes();
    let before = registry.clone();
    let restore = vec![(shard(0), epoch(9, 3))];
    let stranger = Renew { restore, secret: Some(Secret { id: 1, key: [1; 32] }), ..renew(3, 9) };
    assert_eq!(registry.renew(&stranger), RenewAnswer::NotMember { run: RUN });
    assert_eq!(registry, before);
}
