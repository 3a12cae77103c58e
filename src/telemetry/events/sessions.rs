//! What happens to sessions: from an agent's first message to the end of its grace period.

use std::time::Duration;

use tracing::{debug, info, trace, warn};

use crate::core::session::{CustomLoss, EndReason, OfferLoss, Replier};
use crate::ident::InstanceUid;
use crate::telemetry::label::Label as _;
use crate::telemetry::labels::edge::MessageFault;
pub(crate) use crate::telemetry::labels::sessions::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::sessions";

/// A session began. Pairs with [`SessionEnded`].
pub(crate) struct SessionOpened {
    /// The agent.
    pub uid: InstanceUid,
}

impl SessionOpened {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_opened.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session opened");
    }
}

/// An agent's connection was lost, and its session waits for its return.
pub(crate) struct SessionAbsent {
    /// The agent.
    pub uid: InstanceUid,
}

impl SessionAbsent {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        debug!(target: TARGET, uid = %self.uid, "agent absent: its session waits for it");
    }
}

/// An absent agent came back within its grace period.
pub(crate) struct SessionResumed {
    /// The agent.
    pub uid: InstanceUid,
}

impl SessionResumed {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_resumed.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session resumed");
    }
}

/// A session is over.
pub(crate) struct SessionEnded {
    /// The agent.
    pub uid: InstanceUid,
    /// The reason.
    pub reason: EndReason,
}

impl SessionEnded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_ended.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = self.reason.as_str(), "session ended");
    }
}

/// The sums over all sessions, taken a few times a second.
pub(crate) struct SessionsMeasured {
    /// Sessions whose agent is connected or polls.
    pub connected: i64,
    /// Sessions whose agent is away, or whose end the server is yet to be told.
    pub absent: i64,
    /// Bytes that wait for agents to read them.
    pub outbox_bytes: usize,
}

impl SessionsMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(crate) fn emit(self) {
        metrics().sessions.with(SessionState::Connected).set(self.connected as f64);
        metrics().sessions.with(SessionState::Absent).set(self.absent as f64);
        metrics().outbox_bytes.set(self.outbox_bytes as f64);
    }
}

/// The table is full and an agent was refused.
pub(crate) struct SessionRefused {
    /// The agent.
    pub uid: InstanceUid,
}

impl SessionRefused {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().sessions_refused.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session refused: the table is full");
    }
}

/// An agent came on a new connection while its old one was still open.
pub(crate) struct ConnectionReplaced {
    /// The agent.
    pub uid: InstanceUid,
}

impl ConnectionReplaced {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().connections_replaced.increment(1);
        debug!(target: TARGET, uid = %self.uid, "connection replaced by a newer one");
    }
}

/// Two live agents spoke under one uid, by their numbers: one was given another.
pub(crate) struct CloneFound {
    /// The uid that both used.
    pub uid: InstanceUid,
    /// The one that was given.
    pub fresh: InstanceUid,
}

impl CloneFound {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().messages_rejected.with(MessageFault::ClonedUid).increment(1);
        let Self { uid, fresh } = self;
        debug!(target: TARGET, %uid, %fresh, "two agents use one uid: one gets another");
    }
}

/// A report goes on to the server.
pub(crate) struct ReportForwarded {
    /// The agent.
    pub uid: InstanceUid,
}

impl ReportForwarded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().reports_forwarded.increment(1);
        trace!(target: TARGET, uid = %self.uid, "report forwarded");
    }
}

/// A report held only what the server has already, and Seawall answered it.
pub(crate) struct ReportSuppressed {
    /// Its length.
    pub bytes: usize,
}

impl ReportSuppressed {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().reports_suppressed.increment(1);
        metrics().bytes_suppressed.increment(self.bytes as u64);
    }
}

/// A heartbeat was dealt with.
pub(crate) struct Heartbeat {
    /// How.
    pub route: HeartbeatRoute,
}

impl Heartbeat {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().heartbeats.with(self.route).increment(1);
    }
}

/// An agent got its reply.
pub(crate) struct Replied {
    /// Who wrote it.
    pub source: Replier,
    /// Time since the agent's message, if it was measured.
    pub after: Option<Duration>,
}

impl Replied {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().replies.with(self.source).increment(1);
        if let Some(after) = self.after {
            metrics().reply_seconds.with(self.source).record(after);
        }
    }
}

/// A server's late empty acknowledgement was dropped: the agent has its reply.
pub(crate) struct AcknowledgementSwallowed;

impl AcknowledgementSwallowed {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().acknowledgements_swallowed.increment(1);
    }
}

/// An agent's sequence number jumped.
pub(crate) struct GapDetected {
    /// The agent.
    pub uid: InstanceUid,
    /// The number expected.
    pub expected: u64,
    /// The number that came.
    pub received: u64,
}

impl GapDetected {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().gaps.increment(1);
        let (expected, received) = (self.expected, self.received);
        debug!(target: TARGET, uid = %self.uid, expected, received, "messages lost on the way");
    }
}

/// What an agent said is lost between its front and its home.
pub(crate) struct MessagesMissed {
    /// The agent.
    pub uid: InstanceUid,
}

impl MessagesMissed {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().messages_missed.increment(1);
        debug!(target: TARGET, uid = %self.uid, "messages lost between the agent's front and here");
    }
}

/// An offer waits for its agent.
pub(crate) struct OfferStored {
    /// The agent.
    pub uid: InstanceUid,
}

impl OfferStored {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().offers_stored.increment(1);
        debug!(target: TARGET, uid = %self.uid, "offer stored for the agent");
    }
}

/// An agent's connection ended before the agent had confirmed what was offered: the offers wait once more.
pub(crate) struct OffersTakenBack {
    /// The agent.
    pub uid: InstanceUid,
}

impl OffersTakenBack {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().offers_taken_back.increment(1);
        debug!(target: TARGET, uid = %self.uid, "unconfirmed offers wait for the agent once more");
    }
}

/// An offer was dropped before it reached its agent.
pub(crate) struct OfferDropped {
    /// The agent.
    pub uid: InstanceUid,
    /// The reason.
    pub reason: OfferLoss,
}

impl OfferDropped {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().offers_dropped.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = self.reason.as_str(), "offer dropped");
    }
}

/// An agent closed its connection, because an offer was too large for it.
pub(crate) struct OfferRefused {
    /// The agent.
    pub uid: InstanceUid,
    /// The offer's size.
    pub bytes: usize,
}

impl OfferRefused {
    /// Logs it; what is dropped for it is counted one by one.
    pub(crate) fn emit(self) {
        let Self { uid, bytes } = self;
        warn!(target: TARGET, %uid, bytes, code = 1009,
            "the agent takes no message of this size: offers as large are held back; raise the agent's limit, or have \
             its server offer less");
    }
}

/// A custom message was dropped before it was delivered.
pub(crate) struct CustomMessageDropped {
    /// The agent.
    pub uid: InstanceUid,
    /// The reason.
    pub reason: CustomLoss,
}

impl CustomMessageDropped {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().custom_messages_dropped.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = self.reason.as_str(), "custom message dropped");
    }
}

/// Room for bytes that wait for agents (`sessions.outbox_total_bytes_max`) gets short, or suffices again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ShortageChanged {
    /// Something found no room, or had to give way.
    Begins {
        /// Bytes that wait.
        waiting: usize,
        /// How many may.
        max: usize,
    },
    /// Nothing has for a while.
    Ends {
        /// How many offers and answers were lost meanwhile.
        lost: u64,
        /// For how long.
        lasted: Duration,
    },
}

impl ShortageChanged {
    /// Logs it. What is lost is counted as dropped offers and refused requests.
    pub(crate) fn emit(self) {
        match self {
            Self::Begins { waiting, max } => {
                warn!(target: TARGET, waiting, max, "no room for more bytes that wait for agents (sessions.outbox_total_bytes_max): offers for absent agents are dropped first, and servers are sent those agents' state again later");
            }
            Self::Ends { lost, lasted } => {
                let seconds = lasted.as_secs();
                info!(target: TARGET, lost, seconds, "there is room again for bytes that wait for agents");
            }
        }
    }
}
