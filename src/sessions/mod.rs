//! The table of sessions.
pub mod params;
