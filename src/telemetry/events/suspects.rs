//! What is found out about messages that end a server's links.

use tracing::{debug, info, warn};

use super::upstream::LinkName;
use crate::core::suspects::MessagePart;
use crate::ident::InstanceUid;
use crate::telemetry::names::ServerMetrics;

/// The target by which operators filter the log.
const TARGET: &str = "seawall::upstream";

/// A link is up again, and agents whose messages may have ended it go apart.
pub(crate) struct SetApart<'a> {
    /// The link.
    pub name: LinkName<'a>,
    /// How many go apart.
    pub agents: usize,
}

impl SetApart<'_> {
    /// Logs and counts it; nothing if it is no agent.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        let Self { name: LinkName { server, link, .. }, agents } = self;
        if agents > 0 {
            metrics.set_apart.increment(agents as u64);
            info!(target: TARGET, server, link, agents,
                "a message may have ended the link: those suspected go on over links of their own");
        }
    }
}

/// A part of an agent's messages is held back.
pub(crate) struct PartHeld<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The agent.
    pub uid: InstanceUid,
    /// The part.
    pub part: MessagePart,
    /// The size that was too large, in bytes, if that was it.
    pub size: Option<usize>,
    /// Few have come at once: it is worth a line at the default level.
    pub tell: bool,
}

impl PartHeld<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.parts_held.increment(1);
        let Self { server, uid, part, size, tell } = self;
        let (field, bytes) = (part.name(), part.bytes);
        match (size, tell) {
            (Some(size), true) => {
                warn!(target: TARGET, server, %uid, field, bytes, code = 1009, size,
                    "the server takes no message of this size: the part is held back until it changes; \
                     raise the server's limit, or have the agent report less");
            }
            (None, true) => {
                warn!(target: TARGET, server, %uid, field, bytes,
                    "the server ends each connection on which this part comes: it is held back until it \
                     changes; the server's log should say why");
            }
            (_, false) => debug!(target: TARGET, server, %uid, field, bytes, "part held back"),
        }
    }
}

/// A server ends each connection on which an agent speaks.
pub(crate) struct AgentDenied<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The agent.
    pub uid: InstanceUid,
}

impl AgentDenied<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.agents_denied.increment(1);
        warn!(target: TARGET, server = self.server, uid = %self.uid,
            "the server ends each connection on which this agent speaks: nothing more of it goes there, but \
             for a try now and then");
    }
}

/// What was held back may go again.
pub(crate) struct PartsFreed<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The agent.
    pub uid: InstanceUid,
    /// How many parts.
    pub parts: usize,
}

impl PartsFreed<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { server, uid, parts } = self;
        debug!(target: TARGET, server, %uid, parts, "parts that were held back go again");
    }
}

/// An agent went apart for long enough.
pub(crate) struct Rejoins<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The agent.
    pub uid: InstanceUid,
}

impl Rejoins<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        debug!(target: TARGET, server = self.server, uid = %self.uid, "the agent goes with the others again");
    }
}

/// What is known of messages that end links, taken a few times a second.
pub(crate) struct SuspectsMeasured {
    /// Agents with links of their own.
    pub apart: usize,
    /// The smallest message that the server is known to refuse for its size, in bytes.
    pub limit: Option<usize>,
}

impl SuspectsMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.apart.set(self.apart as f64);
        metrics.size_refused.set(self.limit.unwrap_or_default() as f64);
    }
}
