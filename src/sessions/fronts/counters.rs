//! Sums over all connections of this front. Requests come and go: they are not counted as connected.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct FrontCounters {
    connected: AtomicI64,
    held_bytes: AtomicUsize,
}

impl FrontCounters {
    pub(super) fn connected(&self) -> i64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Bytes that are held for homes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn opened(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was opened speaks for its agent no more.
    pub(super) fn closed(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// One connection holds `after` bytes instead of `before`.
    pub(super) fn held_changed(&self, before: usize, after: usize) {
        if after > before {
            self.held_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.held_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}
