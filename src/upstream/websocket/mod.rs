//! Links that are WebSockets: shared ones of mode `multiplexed`, and one for each agent in mode
//! `per-agent`. `core::link` decides when one is dialled and when it is dead.

mod connection;
mod keep;
mod own;

pub(super) use keep::{LinkTask, keep_link};
pub(super) use own::OwnLinks;
