//! What real fleets do, with Seawall as a process between agents and servers that behave as stock ones do.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod gateways;
