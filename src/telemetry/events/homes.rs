//! What happens at homes: frames of fronts, and shards that come and go.

use tracing::{debug, warn};

use crate::core::ownership::ShardId;
pub(crate) use crate::telemetry::labels::homes::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::homes";

/// A front said something of an agent.
pub(crate) struct FrontSaid {
    /// What became of it.
    pub outcome: FrameOutcome,
}

impl FrontSaid {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().front_frames.with(self.outcome).increment(1);
    }
}

/// An agent's connection has the session that is here, or has it no longer.
pub(crate) struct AttachmentChanged {
    /// What became of it.
    pub event: AttachmentEvent,
}

impl AttachmentChanged {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().attachments.with(self.event).increment(1);
    }
}

/// A server's message for an agent that has moved was passed on, or has come from the agent's former home.
pub(crate) struct PassedOn {
    /// What became of it.
    pub outcome: PassOutcome,
}

impl PassedOn {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().passed_on.with(self.outcome).increment(1);
    }
}

/// A session went to its shard's new home.
pub(crate) struct SessionSent;

impl SessionSent {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_sent.increment(1);
    }
}

/// A content went to a shard's new home.
pub(crate) struct ContentSent {
    /// How long it is.
    pub bytes: usize,
}

impl ContentSent {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().content_bytes_sent.increment(self.bytes as u64);
    }
}

/// The sessions of a shard that came here took too much room.
pub(crate) struct ArrivalVoid {
    /// The shard.
    pub shard: ShardId,
}

impl ArrivalVoid {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().arrivals_void.increment(1);
        warn!(target: TARGET, shard = self.shard.get(), "too many bytes of sessions wait for their shards: the shard stays at its home");
    }
}

/// This node is a shard's home from now on.
pub(crate) struct ShardInstalled {
    /// The shard.
    pub shard: ShardId,
    /// Sessions that came with it.
    pub sessions: usize,
}

impl ShardInstalled {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_received.increment(self.sessions as u64);
        let (shard, sessions) = (self.shard.get(), self.sessions);
        debug!(target: TARGET, shard, sessions, "this node is the shard's home");
    }
}

/// This node is a shard's home no longer.
pub(crate) struct ShardReleased {
    /// The shard.
    pub shard: ShardId,
    /// Sessions that went with it.
    pub sessions: usize,
}

impl ShardReleased {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_released.increment(self.sessions as u64);
        let (shard, sessions) = (self.shard.get(), self.sessions);
        debug!(target: TARGET, shard, sessions, "the shard has another home, or none");
    }
}
