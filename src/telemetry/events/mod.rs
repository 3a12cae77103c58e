//! Events: one struct for each thing that happens, which logs it and counts it in one place.
//!
//! `Event { .. }.emit()` is the whole interface. Levels: a change of state of the gateway or of a
//! server is one line at `info` (`warn` if an operator may have to act); what one agent does is
//! `debug`, one message is `trace`. What a peer does wrong is at most `warn`.

pub mod admin;
pub mod admission;
pub mod drain;
pub mod edge;
pub mod sessions;
pub mod store;
pub mod upstream;
