//! Several nodes in one thread, on clocks that are moved by hand: the real state machine of each node
//! (`core::ownership`), the real meaning of the store's calls with faults around it, and node links that delay,
//! lose and break. Chance comes from a seed, and the same seed is the same story. An oracle watches that at most
//! one node speaks for a shard, and that silence lasts only as long as the rules (docs/OWNERSHIP.md) demand.
//!
//! `make sim SEEDS=100000` runs many; `make sim SEED=12345` tells one; `make sim-mutations` breaks each rule on
//! purpose and shows that it is noticed.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod calm;
mod effects;
mod events;
mod faults;
mod forgotten;
mod links;
mod machine;
mod oracle;
mod plan;
mod process;
#[path = "../sim/random.rs"]
mod random;
#[path = "../sim/runner.rs"]
mod runner;
mod store;
mod world;

use std::time::Duration;

use seawall::mutation::Breach;

/// Seeds that run with the tests.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The one that matters. `SEEDS`: how many; `FIRST`: from which on; `SEED`: only that one, told line by line;
/// `SURVEY`: each breach of a rule in a line, to the last seed.
#[test]
fn no_seed_breaks_a_rule() {
    if let Some(seed) = number("SEED") {
        let outcome = runner::tell(seed);
        println!("seed {seed}: {}", outcome.verdict());
        assert!(outcome.violation.is_none());
        return;
    }
    let first = number("FIRST").unwrap_or(0);
    let seeds = first..first + number("SEEDS").unwrap_or(SEEDS);
    if number("SURVEY").is_some() {
        return runner::survey(seeds);
    }
    if let Some(seed) = runner::run_all(seeds, None, Duration::from_secs(10)) {
        let outcome = runner::tell(seed);
        panic!("seed {seed}: {}", outcome.verdict());
    }
}

#[test]
fn a_seed_is_always_the_same_story() {
    for seed in 0..20 {
        let (first, second) = (runner::run(seed, None), runner::run(seed, None));
        assert_eq!((first.trace, first.events), (second.trace, second.events), "seed {seed}");
    }
}

/// Whatever rule is broken, it is noticed. `BREACH`: only that one.
#[test]
fn every_breach_is_noticed() {
    let only = std::env::var("BREACH").ok();
    let wanted = |breach: &Breach| only.as_ref().is_none_or(|only| *only == format!("{breach:?}"));
    let mut unnoticed = Vec::new();
    for breach in Breach::OWNERSHIP.into_iter().filter(wanted) {
        match runner::run_all(0..SEEDS, Some(breach), Duration::MAX) {
            Some(seed) => {
                println!("{breach:?}: seed {seed}: {}", runner::run(seed, Some(breach)).verdict());
            }
            None => unnoticed.push(breach),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {SEEDS} seeds: {unnoticed:?}");
}
