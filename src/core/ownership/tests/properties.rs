//! What holds after every call, over random calls.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::generate::call;
use super::*;

/// The number of each shard's epoch, of vacant ones as well.
fn numbers(state: &Snapshot) -> BTreeMap<ShardId, u64> {
    let homes = state.homes.iter().map(|(shard, home)| (*shard, home.epoch.number));
    homes.chain(state.vacant.iter().map(|(shard, epoch)| (*shard, epoch.number))).collect()
}

fn check_change(before: &Snapshot, after: &Snapshot, change: &Change, answer: &ChangeAnswer) {
    let ChangeAnswer::Changed { version, .. } = answer else {
        assert_eq!(before, after, "a refused change changes nothing");
        return;
    };
    assert_eq!(*version, before.version.next());
    assert_eq!(*version, after.version);
    let added = change.add.as_ref().map(|lease| lease.incarnation);
    assert!(before.leases.iter().any(|l| l.incarnation == change.by) || added == Some(change.by));
    let is_member = |node| after.leases.iter().any(|lease| lease.incarnation == node);
    for node in change.remove.iter().filter(|node| added != Some(**node)) {
        assert!(!is_member(*node));
        assert!(after.homes.values().all(|home| home.node != *node), "a shard is left behind");
    }
    for (shard, home) in &after.homes {
        if before.homes.get(shard) != Some(home) {
            assert!(is_member(home.node), "a new home is no member");
        }
    }
    for (node, counter) in &change.still {
        assert!(before.leases.iter().any(|l| l.incarnation == *node && l.counter == *counter));
    }
    assert_eq!(before.secret, after.secret);
}

fn check_renew(before: &Snapshot, after: &Snapshot, renew: &Renew, answer: &RenewAnswer) {
    let RenewAnswer::Renewed(renewed) = answer else {
        assert_eq!(before, after, "a renewal that is not written writes nothing");
        return;
    };
    assert_eq!((renewed.version, &renewed.leases), (after.version, &after.leases));
    let own = renew.lease.incarnation;
    let others = |state: &Snapshot| {
        let mut leases = state.leases.clone();
        leases.retain(|lease| lease.incarnation != own);
        leases
    };
    assert_eq!(others(before), others(after), "a renewal writes its own lease alone");
    assert!(after.leases.contains(&renew.lease));
    for (shard, home) in &after.homes {
        assert!(before.homes.get(shard) == Some(home) || home.node == own);
    }
    assert!(before.secret.is_none() || before.secret == after.secret);
    assert!(after.version >= renew.lease.read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_call_keeps_what_must_hold(seed: u64) {
        let mut dice = Dice(seed);
        let mut registry = Registry::new(RUN);
        let mut outcomes = [0_u32; 2];
        for _ in 0..200 {
            let before = registry.read();
            let call = call(&mut dice, &before);
            let answer = registry.apply(&call);
            let after = registry.read();
            match (&call, &answer) {
                (StoreCall::Read, StoreAnswer::Read(snapshot)) => {
                    assert_eq!(&**snapshot, &before);
                    assert_eq!(before, after);
                }
                (StoreCall::Renew(renew), StoreAnswer::Renew(answer)) => {
                    check_renew(&before, &after, renew, answer);
                }
                (StoreCall::Change(change), StoreAnswer::Change(answer)) => {
                    check_change(&before, &after, change, answer);
                    outcomes[usize::from(matches!(answer, ChangeAnswer::Changed { .. }))] += 1;
                }
                other => panic!("an answer to another call: {other:?}"),
            }
            let new = numbers(&after);
            for (shard, number) in numbers(&before) {
                assert!(new[&shard] >= number, "an epoch went down");
            }
            let differs = (&before.homes, &before.vacant) != (&after.homes, &after.vacant)
                || before.leases.len() != after.leases.len();
            assert!(!differs || after.version > before.version);
            assert!(after.version >= before.version && after.leases.len() <= NODES_MAX);
        }
        // The calls are a mixture.
        assert!(outcomes.iter().all(|count| *count > 5), "{outcomes:?}");
    }
}
