//! A whole fleet in one thread, on a clock that is moved by hand: agents, the gateway's real tables,
//! servers, and a network that loses what is under way. Chance comes from a seed, and the same seed is
//! the same story. When it has been calm for a while, an oracle compares what each server believes with
//! what is true; on the way there it watches that every rule (docs/PROTOCOL.md) is kept.
//!
//! `make sim SEEDS=100000` runs many; `make sim SEED=12345` tells one; `make sim-mutations` breaks each
//! rule on purpose and shows that it is noticed.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod agent;
mod agents;
mod arrivals;
mod attachment;
mod drain;
mod events;
mod faults;
mod gate;
mod gateway;
mod hold;
mod http;
mod links;
mod network;
mod oracle;
mod pace;
mod plan;
mod probes;
mod random;
mod runner;
mod server;
mod status;
mod wires;
mod world;

use std::time::Duration;

use seawall::mutation::Breach;

/// Seeds that run with the tests.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The one that matters. `SEEDS`: how many; `FIRST`: from which on; `SEED`: only that one, told line
/// by line; `SURVEY`: each breach of a rule in a line, to the last seed.
#[test]
fn no_seed_breaks_a_rule() {
    if let Some(seed) = number("SEED") {
        let outcome = runner::tell(seed);
        println!("seed {seed}: {}", outcome.verdict());
        assert!(outcome.violation.is_none());
        return;
    }
    if number("SURVEY").is_some() {
        let first = number("FIRST").unwrap_or(0);
        return runner::survey(first..first + number("SEEDS").unwrap_or(SEEDS));
    }
    let first = number("FIRST").unwrap_or(0);
    let seeds = first..first + number("SEEDS").unwrap_or(SEEDS);
    let failed = runner::run_all(seeds, None, Duration::from_secs(10));
    if let Some(seed) = failed {
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
    for breach in Breach::ALL.into_iter().filter(wanted) {
        match runner::run_all(0..SEEDS, Some(breach), Duration::MAX) {
            Some(seed) => {
                println!("{breach:?}: seed {seed}: {}", runner::run(seed, Some(breach)).verdict());
            }
            None => unnoticed.push(breach),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {SEEDS} seeds: {unnoticed:?}");
}
