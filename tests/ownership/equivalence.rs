//! The scripts do what the pure registry does: the same random calls, the same answers.

use seawall::core::ownership::{
    CertificateFingerprint, Change, ChangeAnswer, Counter, Epoch, Figures, Home, HomeChange, Lease,
    MapVersion, NodeIncarnation, NodeName, Registry, Renew, RenewAnswer, Secret, ShardId, Snapshot,
    SoftwareVersion, StoreAnswer, StoreCall,
};
use seawall::ownership::{MemoryStore, Store};

use super::servers::{Server, each};
use super::*;
use generate::{Dice, call};

#[path = "../../src/core/ownership/generate.rs"]
mod generate;

/// Each seed begins with an empty store.
const SEEDS: u64 = 20;
const CALLS: u32 = 200;

const RUN: RunId = RunId(0);

/// The answer, and the life of the store that it names; in the answer that one is replaced.
fn apart(mut answer: StoreAnswer) -> (StoreAnswer, RunId) {
    let run = match &mut answer {
        StoreAnswer::Read(snapshot) => &mut snapshot.run,
        StoreAnswer::Renew(answer) => match &mut **answer {
            RenewAnswer::Renewed(renewed) => &mut renewed.run,
            RenewAnswer::NotMember { run } | RenewAnswer::Late { run } => run,
        },
        StoreAnswer::Change(
            ChangeAnswer::Changed { run, .. } | ChangeAnswer::Refused { run, .. },
        ) => run,
    };
    let named = std::mem::replace(run, RUN);
    (answer, named)
}

/// Compares the store with the registry, call by call. Returns how many calls changed something.
pub(crate) async fn compare(store: &impl Store, seed: u64, calls: u32) -> u32 {
    let mut dice = Dice(seed);
    let mut registry = Registry::new(RUN);
    let mut changes = 0;
    let mut life = None;
    for number in 0..calls {
        let before = registry.clone();
        let call = call(&mut dice, &before.read());
        let expected = registry.apply(&call);
        let (answer, run) = apart(store.call(call.clone(), WITHIN).await.unwrap());
        assert_eq!(answer, expected, "seed {seed}, call {number}: {call:?}");
        assert_eq!(*life.get_or_insert(run), run, "the store has not gone back");
        let (state, _) = apart(StoreAnswer::Read(Box::new(read(store).await.unwrap())));
        let expected = StoreAnswer::Read(Box::new(registry.read()));
        assert_eq!(state, expected, "seed {seed}, after call {number}: {call:?}");
        changes += u32::from(registry != before);
    }
    changes
}

#[tokio::test]
async fn scripts_do_what_the_registry_does() {
    for program in each() {
        let server = Server::start(&program, &[]).await;
        let mut changes = 0;
        for seed in 0..SEEDS {
            let params = RedisParams {
                prefix: format!("seed-{seed}:"),
                ..params(RedisMode::Single, &[server.port])
            };
            changes += compare(&RedisStore::new(&params).unwrap(), seed, CALLS).await;
        }
        // The calls are a mixture of what is written and what is refused.
        let all = u32::try_from(SEEDS).unwrap() * CALLS;
        assert!((all / 5..all * 4 / 5).contains(&changes), "{changes} of {all}");
    }
}

#[tokio::test]
async fn memory_does_what_the_registry_does() {
    compare(&MemoryStore::new(), 1, CALLS).await;
}
