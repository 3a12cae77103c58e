//! How connections end when the node drains. A plain-HTTP connection ends with an answer that says so. A
//! WebSocket whose agent is still unknown ends itself. A known agent's session ends its WebSocket. When each
//! may end `core::drain` decides.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, watch};

use super::Edge;
use crate::clock;
use crate::core::drain::Drain;

/// What a drain needs of the edge.
pub(super) struct EdgeDrain {
    /// Decides which connections may be closed when; set from the moment when closing begins.
    drain: OnceLock<Arc<Mutex<Drain>>>,
    /// Wakes WebSockets whose agents are unknown when closing begins: no session does.
    begins: Arc<Notify>,
    /// Set when time is up: every plain-HTTP connection ends.
    cut: watch::Sender<bool>,
    pub(super) connections_max: usize,
    /// Accept loops. Each holds the permit for its next connection.
    accepting: AtomicUsize,
}

impl EdgeDrain {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            drain: OnceLock::new(),
            begins: Arc::default(),
            cut: watch::Sender::new(false),
            connections_max,
            accepting: AtomicUsize::new(0),
        }
    }

    pub(super) fn accepting(&self, loops: usize) {
        self.accepting.store(loops, Ordering::Relaxed);
    }
}

impl Edge {
    /// Stops admitting: from now on connections end as this drain allows.
    pub(crate) fn begin_drain(&self, drain: Arc<Mutex<Drain>>) {
        self.drain.accepting(0);
        // Parked arrivals and new ones are told to come again: another node will admit them.
        self.admission.close();
        // A process drains once: the first drain stays.
        let _ = self.drain.drain.set(drain);
        self.drain.begins.notify_waiters();
    }

    /// Completes when connections begin to end.
    pub(super) fn drain_begins(&self) -> OwnedNotified {
        Arc::clone(&self.drain.begins).notified_owned()
    }

    /// Whether connections end.
    pub(super) fn drains(&self) -> bool {
        self.drain.drain.get().is_some()
    }

    /// Agents' connections now open. While connections are accepted at the bound, a few fewer.
    pub(crate) fn open_connections(&self) -> usize {
        let accepting = self.drain.accepting.load(Ordering::Relaxed);
        let free = self.permits.available_permits() + accepting;
        self.drain.connections_max.saturating_sub(free)
    }

    /// Ends all plain-HTTP connections, each after the answer that is under way.
    pub(crate) fn cut(&self) {
        self.drain.cut.send_replace(true);
    }

    /// Whether a connection outside of the drain's line may, and then must, be closed now.
    pub(super) fn may_close(&self, settled: impl FnOnce() -> bool) -> bool {
        self.drain.drain.get().is_some_and(|drain| {
            let settled = settled();
            drain.lock().may_close(clock::now(), settled)
        })
    }

    /// Completes when connections have to end at once.
    pub(super) async fn until_cut(&self) {
        // The sender lives as long as the edge.
        let _ = self.drain.cut.subscribe().wait_for(|cut| *cut).await;
    }
}
