//! The store that nodes share: who is a member, and which shards are at home where. Rank 4.
//!
//! `core::ownership` says what the store's three calls mean and decides what to call. Here they are carried
//! out: in this process's own memory, for a node without others, or in Redis.

mod memory;
pub mod params;
pub mod redis;
mod store;

pub use memory::MemoryStore;
pub use store::{Calling, Store, StoreError, StoreFault, StorePlace, StoreRefusal};
