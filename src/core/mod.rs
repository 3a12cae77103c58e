//! Every decision Seawall takes, as pure functions of (state, event, now). Rank 2.
//!
//! Nothing here knows a socket, a task, a clock, a configuration file or a random source: what is
//! needed of them comes in as an argument. That is what lets a whole cluster run in one thread on
//! a simulated clock.

pub mod admission;
pub mod attachment;
pub mod backoff;
pub mod bucket;
pub mod codec;
pub mod drain;
pub mod http_mode;
pub mod keepalive;
pub mod link;
pub mod node_link;
pub mod ownership;
pub mod pacing;
pub mod peer_link;
pub mod placement;
pub mod pressure;
pub mod progress;
pub mod rebalance;
pub mod server;
pub mod session;
pub mod shared_connection;
pub mod suspects;
