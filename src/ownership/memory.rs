//! A store in this process's memory: for a node without others. It is gone with the process, and so is all
//! that it was about.

use std::time::Duration;

use parking_lot::Mutex;

use super::store::{Calling, Store, StorePlace};
use crate::core::ownership::{Registry, RunId, StoreCall};

/// The store. It answers at once, and always.
#[derive(Debug)]
pub struct MemoryStore {
    registry: Mutex<Registry>,
}

impl MemoryStore {
    /// A store that holds nothing.
    pub const fn new() -> Self {
        Self { registry: Mutex::new(Registry::new(RunId(0))) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn call(&self, call: StoreCall, _: Duration) -> Calling<'_> {
        Box::pin(async move { Ok(self.registry.lock().apply(&call)) })
    }

    fn place(&self) -> StorePlace {
        StorePlace { kind: "memory", addresses: Vec::new(), connected: None }
    }
}
