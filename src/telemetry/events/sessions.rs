//! What happens to sessions: from an agent's first message to the end of its linger.

use std::time::Duration;

use tracing::{debug, trace};

use crate::ident::InstanceUid;
use crate::telemetry::label::label;
use crate::telemetry::metrics;

/// What the log is filtered by: the part that these events are about, not this file.
const TARGET: &str = "seawall::sessions";

label! {
    /// Whether a session's agent is there.
    pub enum SessionState("state") {
        /// Its connection is open, or it polls.
        Connected = "connected",
        /// Its connection was lost a short while ago.
        Absent = "absent",
    }
}

label! {
    /// Why a session ended.
    pub enum EndReason("reason") {
        /// The agent said so.
        AgentDisconnect = "agent_disconnect",
        /// It did not come back in time.
        GraceExpired = "grace_expired",
        /// It stopped polling.
        PollExpired = "poll_expired",
        /// It goes on under another uid.
        ReplacedUid = "replaced_uid",
        /// Seawall drains, and the agent went to another node.
        Moved = "moved",
        /// It had to make room.
        Evicted = "evicted",
    }
}

label! {
    /// What became of a heartbeat.
    pub enum HeartbeatRoute("route") {
        /// Answered here.
        Local = "local",
        /// Sent on to the server.
        Forwarded = "forwarded",
    }
}

label! {
    /// Who wrote a reply.
    pub enum ReplySource("source") {
        /// The server.
        Server = "server",
        /// Seawall.
        Local = "local",
    }
}

label! {
    /// Why an offer will not reach its agent.
    pub enum OfferDrop("reason") {
        /// A later offer of the same kind took its place.
        Superseded = "superseded",
        /// The session ended.
        SessionEnded = "session_ended",
        /// It would not fit the bytes allowed.
        OverBudget = "over_budget",
        /// The agent is a new process: a restart command is no longer meant for it.
        NewProcess = "new_process",
        /// It came from a server that the agent has been moved away from.
        FormerServer = "former_server",
    }
}

label! {
    /// Why a custom message will not be delivered.
    pub enum CustomDrop("reason") {
        /// Too many are waiting, or too many bytes.
        OverBudget = "over_budget",
        /// The session ended.
        SessionEnded = "session_ended",
    }
}

/// A session began. Pairs with [`SessionEnded`].
pub struct SessionOpened {
    /// Whose.
    pub uid: InstanceUid,
}

impl SessionOpened {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().sessions_opened.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session opened");
    }
}

/// An agent's connection was lost and its session waits for it.
pub struct SessionAbsent {
    /// Whose.
    pub uid: InstanceUid,
}

impl SessionAbsent {
    /// Logs and counts it.
    pub fn emit(self) {
        debug!(target: TARGET, uid = %self.uid, "session lingers");
    }
}

/// An agent came back to its lingering session.
pub struct SessionResumed {
    /// Whose.
    pub uid: InstanceUid,
}

impl SessionResumed {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().sessions_resumed.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session resumed");
    }
}

/// A session is over.
pub struct SessionEnded {
    /// Whose.
    pub uid: InstanceUid,
    /// Why.
    pub reason: EndReason,
}

impl SessionEnded {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().sessions_ended.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = %self.reason, "session ended");
    }
}

/// The sums over all sessions, taken a few times a second.
pub struct Counted {
    /// Sessions whose agent is there.
    pub connected: i64,
    /// Sessions whose agent is away, or whose end the server has not been told.
    pub absent: i64,
    /// Bytes that wait for agents to read them.
    pub outbox_bytes: usize,
}

impl Counted {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub fn emit(self) {
        metrics().sessions.with(SessionState::Connected).set(self.connected as f64);
        metrics().sessions.with(SessionState::Absent).set(self.absent as f64);
        metrics().outbox_bytes.set(self.outbox_bytes as f64);
    }
}

/// The table is full and an agent was refused.
pub struct SessionRefused {
    /// Whose.
    pub uid: InstanceUid,
}

impl SessionRefused {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().sessions_refused.increment(1);
        debug!(target: TARGET, uid = %self.uid, "session refused: the table is full");
    }
}

/// An agent came on a new connection while its old one was still open.
pub struct ConnectionReplaced {
    /// Whose.
    pub uid: InstanceUid,
}

impl ConnectionReplaced {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().connections_replaced.increment(1);
        debug!(target: TARGET, uid = %self.uid, "connection replaced by a newer one");
    }
}

/// A report goes on to the server.
pub struct ReportForwarded {
    /// Whose.
    pub uid: InstanceUid,
}

impl ReportForwarded {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().reports_forwarded.increment(1);
        trace!(target: TARGET, uid = %self.uid, "report forwarded");
    }
}

/// A report said nothing that the server does not have.
pub struct ReportSuppressed {
    /// Its length.
    pub bytes: usize,
}

impl ReportSuppressed {
    /// Counts it.
    pub fn emit(self) {
        metrics().reports_suppressed.increment(1);
        metrics().bytes_suppressed.increment(self.bytes as u64);
    }
}

/// A heartbeat was dealt with.
pub struct Heartbeat {
    /// How.
    pub route: HeartbeatRoute,
}

impl Heartbeat {
    /// Counts it.
    pub fn emit(self) {
        metrics().heartbeats.with(self.route).increment(1);
    }
}

/// An agent got its reply.
pub struct Replied {
    /// Who wrote it.
    pub source: ReplySource,
    /// Time since the agent's message, if it was taken.
    pub after: Option<Duration>,
}

impl Replied {
    /// Counts it.
    pub fn emit(self) {
        metrics().replies.with(self.source).increment(1);
        if let Some(after) = self.after {
            metrics().reply_seconds.record(after);
        }
    }
}

/// A server's late empty acknowledgement was not passed on.
pub struct AcknowledgementSwallowed;

impl AcknowledgementSwallowed {
    /// Counts it.
    pub fn emit(self) {
        metrics().acknowledgements_swallowed.increment(1);
    }
}

/// An agent's sequence number jumped.
pub struct GapDetected {
    /// Whose.
    pub uid: InstanceUid,
    /// The number expected.
    pub expected: u64,
    /// The number that came.
    pub received: u64,
}

impl GapDetected {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().gaps.increment(1);
        let (expected, received) = (self.expected, self.received);
        debug!(target: TARGET, uid = %self.uid, expected, received, "messages lost on the way");
    }
}

/// An offer waits for its agent.
pub struct OfferKept {
    /// Whose.
    pub uid: InstanceUid,
}

impl OfferKept {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().offers_kept.increment(1);
        debug!(target: TARGET, uid = %self.uid, "offer kept");
    }
}

/// An offer will not reach its agent.
pub struct OfferDropped {
    /// Whose.
    pub uid: InstanceUid,
    /// Why.
    pub reason: OfferDrop,
}

impl OfferDropped {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().offers_dropped.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = %self.reason, "offer dropped");
    }
}

/// A custom message will not be delivered.
pub struct CustomMessageDropped {
    /// Whose.
    pub uid: InstanceUid,
    /// Why.
    pub reason: CustomDrop,
}

impl CustomMessageDropped {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().custom_messages_dropped.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = %self.reason, "custom message dropped");
    }
}
