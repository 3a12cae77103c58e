//! What real fleets do, and what operators see of it: one file for each part.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod bytes;
mod gateways;
mod liveness;
mod operator;
mod shared_fate;
mod states;
