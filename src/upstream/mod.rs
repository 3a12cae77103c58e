//! Servers' side.
pub mod params;
