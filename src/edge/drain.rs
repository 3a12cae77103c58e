//! How connections end when the node drains: plain-HTTP ones with an answer that says so, WebSockets
//! on which nobody has spoken yet by themselves. Those of known agents are closed by their sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Edge;
use crate::clock;
use crate::core::drain::Drain;

/// What a drain needs of the edge.
pub(super) struct EdgeDrain {
    /// Who may be closed when; there from the moment when closing begins.
    drain: OnceLock<Arc<Mutex<Drain>>>,
    /// Time is up: every plain-HTTP connection ends.
    cut: watch::Sender<bool>,
    connections_max: usize,
    /// Accept loops, each of which holds the room for its next connection.
    accepting: AtomicUsize,
}

impl EdgeDrain {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            drain: OnceLock::new(),
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
    /// Nobody is let in any more: from now on connections end as this drain allows.
    pub fn begin_drain(&self, drain: Arc<Mutex<Drain>>) {
        self.drain.accepting(0);
        // Who waits, and who has not asked yet, is told to come again: another node will let it in.
        self.admission.close();
        // The first one stays: a process drains once.
        let _ = self.drain.drain.set(drain);
    }

    /// Agents' connections now open. While agents are let in and there is no room, a few less.
    pub fn open_connections(&self) -> usize {
        let accepting = self.drain.accepting.load(Ordering::Relaxed);
        let free = self.room.available_permits() + accepting;
        self.drain.connections_max.saturating_sub(free)
    }

    /// Has plain-HTTP connections end after the answer that is under way, all at once.
    pub fn cut(&self) {
        self.drain.cut.send_replace(true);
    }

    /// Whether a connection that its session does not close may, and then must, be closed now.
    pub(super) fn let_go(&self, settled: impl FnOnce() -> bool) -> bool {
        self.drain.drain.get().is_some_and(|drain| {
            let settled = settled();
            drain.lock().let_go(clock::now(), settled)
        })
    }

    /// Completes when connections are to end at once.
    pub(super) async fn until_cut(&self) {
        // The sender lives as long as the edge.
        let _ = self.drain.cut.subscribe().wait_for(|cut| *cut).await;
    }
}
