//! What scenario tests share: real processes with their logs, a gateway builder, a metrics reader,
//! the opamp-go peers, and peers in Rust that misbehave on demand.
//!
//! Nothing here sleeps to wait for readiness: every wait is for an event, with a timeout that fails
//! the test and prints what the processes said.

// Every test binary compiles the whole of it and uses a part.
#![allow(dead_code)]

pub(crate) mod agent;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod interop;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod mock;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod socket;

use std::time::Duration;

/// How long a test waits for one thing. Builds and other tests share the cores, so this is many times
/// what a quiet machine needs; it stays below the gateway's own `sessions.grace_period`, 60 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
