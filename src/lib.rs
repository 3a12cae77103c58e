//! Seawall: a gateway between large fleets of OpAMP agents and the OpAMP servers that manage them.
//!
//! The library exists for the binary, the tests, the benchmarks, the load generator and the fuzz targets.
//! docs/ARCHITECTURE.md has the map of its modules and their ranks.
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
pub mod cluster;
pub mod config;
mod connect;
pub mod core;
mod edge;
pub mod fleet;
pub mod gateway;
pub mod ident;
pub mod mutation;
pub mod opamp;
pub mod ownership;
mod scratch;
pub mod sessions;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod websocket;
