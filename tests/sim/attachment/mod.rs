//! Attachments over several nodes: agents whose connections end at any node, sessions whose home is another, and
//! node links that delay, lose, cut and reset. Both sides of the real state machines run; the session behind a home
//! is a simple one that knows the rules it must keep.
//!
//! Agents move A, B, A within milliseconds, leave sockets behind that look open, restart, and share a uid. Homes are
//! handed over, crash, or wake up after another has taken over. In the end all is calm, and an oracle compares.

mod acting;
mod agent;
mod carry;
mod faults;
mod links;
mod node;
mod oracle;
mod session;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use seawall::mutation::{self, Breach};

use world::World;

/// Seeds that run with the tests, and within which each breach must be noticed.
const SEEDS: u64 = 1_000;

/// Runs a seed, with at most one rule broken on purpose: what is wrong with it.
fn run(seed: u64, breach: Option<Breach>, log: bool) -> (Option<String>, Vec<String>) {
    mutation::switch(breach);
    let mut world = World::new(seed, log);
    let died = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    mutation::switch(None);
    let text = died.map(|what| {
        let text = what.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or(what.downcast_ref::<&str>().copied()).unwrap_or("?"))
    });
    (text.or_else(|| world.oracle.violation.take()), std::mem::take(&mut world.log))
}

/// `SEEDS`, `FIRST` and `SEED` as for the other simulation.
#[test]
fn no_seed_breaks_an_attachment() {
    if let Some(seed) = crate::number("SEED") {
        let (violation, log) = run(seed, None, true);
        println!("{}\nseed {seed}: {violation:?}", log.join("\n"));
        assert!(violation.is_none());
        return;
    }
    let first = crate::number("FIRST").unwrap_or(0);
    for seed in first..first + crate::number("SEEDS").unwrap_or(SEEDS) {
        let (violation, _) = run(seed, None, false);
        assert!(violation.is_none(), "seed {seed}: {}", violation.unwrap());
    }
}

#[test]
fn every_breach_of_an_attachment_is_noticed() {
    let mut unnoticed = Vec::new();
    for breach in Breach::OF_ATTACHMENTS {
        let noticed = (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(breach), false).0?)));
        match noticed {
            Some((seed, what)) => println!("{breach:?}: seed {seed}: {what}"),
            None => unnoticed.push(breach),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {SEEDS} seeds: {unnoticed:?}");
}
