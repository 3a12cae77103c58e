//! What servers ask for, and what they get of it from the content store.

use tracing::debug;

use crate::ident::InstanceUid;
use crate::telemetry::metrics;

/// What the log is filtered by: the part that these events are about, not this file.
const TARGET: &str = "seawall::store";

/// A server wants an agent's full state.
pub struct FullStateWanted {
    /// Whose.
    pub uid: InstanceUid,
}

impl FullStateWanted {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().full_states_wanted.increment(1);
        debug!(target: TARGET, uid = %self.uid, "a server wants the full state");
    }
}

/// An agent is asked for its full state, for it is not known here.
pub struct FullStateAsked {
    /// Whose.
    pub uid: InstanceUid,
}

impl FullStateAsked {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().full_states_asked.increment(1);
        debug!(target: TARGET, uid = %self.uid, "the agent is asked for its full state");
    }
}

/// A server was told of an agent's state without the agent.
pub struct ReportFromStore {
    /// Whose.
    pub uid: InstanceUid,
    /// How long the message is.
    pub bytes: usize,
}

impl ReportFromStore {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().store_reports.increment(1);
        metrics().store_report_bytes.increment(self.bytes as u64);
        debug!(target: TARGET, uid = %self.uid, bytes = self.bytes, "reported from the store");
    }
}

/// Parts of an agent's state had to go from the store before a server asked for them.
pub struct ContentMissing {
    /// Whose.
    pub uid: InstanceUid,
}

impl ContentMissing {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().store_reports_incomplete.increment(1);
        debug!(target: TARGET, uid = %self.uid, "the store lacks a part of the state");
    }
}

/// The store's figures, taken a few times a second.
pub struct StoreMeasured {
    /// Bytes of contents, as they are kept.
    pub bytes: usize,
    /// All memory that the store takes, in bytes.
    pub memory: usize,
    /// Contents that agents have, and of them those whose bytes had to go.
    pub entries: (usize, usize),
    /// Agents' uses of them.
    pub handles: usize,
    /// Since the start: contents that were there already, and new ones.
    pub shared_and_stored: (u64, u64),
    /// Since the start: contents that had to go, and those for which there was no room.
    pub evicted_and_refused: (u64, u64),
    /// Since the start: contents wanted whose bytes were not there.
    pub misses: u64,
}

impl StoreMeasured {
    /// Sets gauges and counters.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn emit(self) {
        let metrics = metrics();
        metrics.store_bytes.set(self.bytes as f64);
        metrics.store_memory.set(self.memory as f64);
        metrics.store_entries.set(self.entries.0 as f64);
        metrics.store_entries_evicted.set(self.entries.1 as f64);
        metrics.store_handles.set(self.handles as f64);
        metrics.store_shared.absolute(self.shared_and_stored.0);
        metrics.store_stored.absolute(self.shared_and_stored.1);
        metrics.store_evictions.absolute(self.evicted_and_refused.0);
        metrics.store_refusals.absolute(self.evicted_and_refused.1);
        metrics.store_misses.absolute(self.misses);
    }
}
