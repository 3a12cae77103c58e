//! Events: one struct for each thing that happens, which logs it and counts it in one place.
//!
//! `Event { .. }.emit()` is the whole interface. Levels: a change of state of the gateway or of a
//! server is one line at `info` (`warn` if an operator may have to act); what one agent does is
//! `debug`, one message is `trace`. What a peer does wrong is at most `warn`.

pub(crate) mod admin;
pub(crate) mod admission;
pub(crate) mod cluster;
pub(crate) mod drain;
pub(crate) mod edge;
pub(crate) mod fleet;
pub(crate) mod fronts;
pub(crate) mod homes;
pub(crate) mod liveness;
pub(crate) mod log;
pub(crate) mod rebalance;
pub(crate) mod room;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod suspects;
pub(crate) mod upstream;
