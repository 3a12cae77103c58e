//! What several nodes promise: `cargo test -p loadtest --test points`. Not among all tests yet, because some of it is
//! still to hold: docs/OWNERSHIP.md, "Open".
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

#[path = "cluster/points.rs"]
mod points;
#[path = "cluster/run.rs"]
mod run;
