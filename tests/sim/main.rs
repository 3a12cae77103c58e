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
mod server;
#[path = "../support/simulation/mod.rs"]
mod simulation;
mod status;
mod wires;
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
    runner::all_are_noticed::<World>(&Breach::ALL);
}
