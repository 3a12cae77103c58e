//! Several nodes in one thread, on clocks that are moved by hand: the real state machine of each node
//! (`core::ownership`), the real meaning of the store's calls with faults around it, and node links that delay,
//! lose and break. Chance comes from a seed, and the same seed is the same story. An oracle watches that at most
//! one node speaks for a shard, and that silence lasts only as long as the rules (docs/OWNERSHIP.md) demand.
//!
//! `make sim-ownership SEEDS=100000` runs many; `make sim-ownership SEED=12345` tells one; `make sim-mutations` breaks
//! each rule on purpose and shows that it is noticed.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod calm;
mod data_plane;
mod effects;
mod events;
mod faults;
mod forgotten;
mod links;
mod machine;
mod oracle;
mod plan;
mod process;
mod scenes;
mod sessions;
#[path = "../support/simulation/mod.rs"]
mod simulation;
mod store;
mod world;

use seawall::mutation::Breach;
use simulation::runner;
use world::World;

#[test]
fn no_seed_breaks_a_rule() {
    runner::no_seed_fails::<World>();
}

#[test]
fn a_seed_is_always_the_same_story() {
    runner::stories_repeat::<World>();
}

#[test]
fn every_breach_is_noticed() {
    runner::all_are_noticed::<World>(&Breach::OWNERSHIP);
}
