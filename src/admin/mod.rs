//! Administration: what an operator asks a running gateway.

pub mod params;

pub use params::AdminParams;
