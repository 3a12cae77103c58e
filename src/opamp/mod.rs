//! OpAMP's bytes: header, field scan, splice, replies, waiting offers. Rank 1.
//!
//! A message is scanned once, at its top level (`agent`, `server`); the ranges found there are copied into new
//! messages (`splice`), stored for later (`offers`), or digested (`digest`).
//!
//! Messages are forwarded as bytes, so that fields of newer versions survive and the gateway saves the cost
//! of decoding and encoding. What to send is decided elsewhere, how it is written is decided here. Must
//! not know tokio, a clock, or policy.

pub mod agent;
pub mod connect_request;
pub mod digest;
pub mod field_set;
pub mod fields;
#[cfg(test)]
mod generate;
pub mod header;
pub mod offers;
#[cfg(test)]
mod property_tests;
pub mod proto;
pub mod server;
pub mod splice;
mod stored_fields;
mod stored_settings;
mod wire;

pub use agent::AgentScan;
pub use field_set::{FieldSet, agent_field, server_field};
pub use fields::{Field, ScanError, WireType, fields};
pub use offers::{Absorbed, Offers, OffersLimits};
pub use server::{ErrorKind, ServerError, ServerScan};
pub use splice::Additions;
