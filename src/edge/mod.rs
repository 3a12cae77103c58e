//! Agents' side.
pub mod params;
