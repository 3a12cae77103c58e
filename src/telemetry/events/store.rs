//! What servers ask for, and what they get of it from the content store.

use tracing::debug;

use crate::ident::InstanceUid;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::store";

/// A server wants an agent's full state.
pub(crate) struct FullStateWanted {
    /// The agent.
    pub uid: InstanceUid,
}

impl FullStateWanted {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().full_states_wanted.increment(1);
        debug!(target: TARGET, uid = %self.uid, "a server wants the full state");
    }
}

/// Seawall asks an agent for its full state, which it lacks.
pub(crate) struct FullStateAsked {
    /// The agent.
    pub uid: InstanceUid,
}

impl FullStateAsked {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().full_states_asked.increment(1);
        debug!(target: TARGET, uid = %self.uid, "the agent is asked for its full state");
    }
}

/// A server got an agent's state from the store, and the agent was left alone.
pub(crate) struct ReportFromStore {
    /// The agent.
    pub uid: InstanceUid,
    /// How long the message is.
    pub bytes: usize,
}

impl ReportFromStore {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().store_reports.increment(1);
        metrics().store_report_bytes.increment(self.bytes as u64);
        debug!(target: TARGET, uid = %self.uid, bytes = self.bytes, "reported from the store");
    }
}

/// Parts of an agent's state were evicted from the store before a server asked for them.
pub(crate) struct ContentMissing {
    /// The agent.
    pub uid: InstanceUid,
}

impl ContentMissing {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().store_reports_incomplete.increment(1);
        debug!(target: TARGET, uid = %self.uid, "the store lacks a part of the state");
    }
}

/// The store's figures, taken a few times a second.
pub(crate) struct StoreMeasured {
    /// Bytes of contents, in the form in which the store holds them.
    pub bytes: usize,
    /// All memory of the store, in bytes.
    pub memory: usize,
    /// Contents that agents use.
    pub entries: usize,
    /// The part of them whose bytes were evicted.
    pub entries_evicted: usize,
    /// Uses of contents by agents.
    pub handles: usize,
    /// Since the start: reported contents that the store had already.
    pub shared: u64,
    /// Since the start: reported contents that were new.
    pub stored: u64,
    /// Since the start: contents whose bytes were evicted.
    pub evictions: u64,
    /// Since the start: contents that were larger than the room left for them.
    pub refused: u64,
    /// Since the start: reads of contents whose bytes were gone.
    pub misses: u64,
}

impl StoreMeasured {
    /// Sets gauges and counters.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(crate) fn emit(self) {
        let metrics = metrics();
        metrics.store_bytes.set(self.bytes as f64);
        metrics.store_memory.set(self.memory as f64);
        metrics.store_entries.set(self.entries as f64);
        metrics.store_entries_evicted.set(self.entries_evicted as f64);
        metrics.store_handles.set(self.handles as f64);
        metrics.store_shared.absolute(self.shared);
        metrics.store_stored.absolute(self.stored);
        metrics.store_evictions.absolute(self.evictions);
        metrics.store_refusals.absolute(self.refused);
        metrics.store_misses.absolute(self.misses);
    }
}
