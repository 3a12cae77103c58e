//! Seawall in front of servers that misbehave, are slow, go away and come back.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod support;

#[path = "upstream/dialling.rs"]
mod dialling;
