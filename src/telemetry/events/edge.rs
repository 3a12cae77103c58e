//! What happens between agents and the edge.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, info, trace, warn};

use crate::ident::InstanceUid;
use crate::telemetry::label::label;
use crate::telemetry::metrics;

/// What the log is filtered by: the part that these events are about, not this file.
const TARGET: &str = "seawall::edge";

label! {
    /// Which of OpAMP's transports a message came on.
    pub enum Transport("transport") {
        /// WebSocket.
        WebSocket = "ws",
        /// Plain HTTP.
        Http = "http",
    }
}

label! {
    /// Why an agent's connection ended.
    pub enum CloseReason("reason") {
        /// The agent closed it (WebSocket close, or end of stream between requests).
        AgentClosed = "agent_closed",
        /// The connection broke.
        Reset = "reset",
        /// The agent said `agent_disconnect`, then went.
        AgentDisconnect = "agent_disconnect",
        /// A ping was not answered in time.
        PingTimeout = "ping_timeout",
        /// The agent came on a newer connection.
        Replaced = "replaced",
        /// The agent broke the rules of HTTP or WebSocket (1002, 400).
        ProtocolFault = "protocol_fault",
        /// The agent sent text (1003).
        UnsupportedData = "unsupported_data",
        /// A message over the limit (1009, 413).
        TooBig = "too_big",
        /// The agent does not read what is sent to it.
        SlowReader = "slow_reader",
        /// The request head took too long.
        HeadTimeout = "head_timeout",
        /// A message or body took too long from its first byte to its last.
        MessageTimeout = "message_timeout",
        /// A plain-HTTP connection stood idle between requests.
        HttpIdle = "http_idle",
        /// The request was refused and the connection not kept.
        Refused = "refused",
        /// Seawall is stopping.
        Drain = "drain",
        /// A limit on connections, sessions or bytes held was reached.
        OverLimit = "over_limit",
        /// Seawall's own fault.
        Internal = "internal",
    }
}

label! {
    /// Why a request (an upgrade or a POST) was refused.
    pub enum RefuseReason("reason") {
        /// 404: another path.
        NotFound = "not_found",
        /// 405: neither GET nor POST.
        MethodNotAllowed = "method_not_allowed",
        /// 415: a body that is not protobuf, or an unknown content encoding.
        UnsupportedMediaType = "unsupported_media_type",
        /// 426: a GET that asks for no upgrade, or for another WebSocket version.
        UpgradeRequired = "upgrade_required",
        /// 400: not HTTP, or not OpAMP.
        BadRequest = "bad_request",
        /// 413: a body over the limit.
        TooLarge = "too_large",
        /// 413: a body that grows too much when decompressed.
        GzipRatio = "gzip_ratio",
        /// 431: a request head over the limit.
        HeadTooLarge = "head_too_large",
        /// 503: no room now.
        Overloaded = "overloaded",
        /// 503: the agent is to come again at its slot (`seawall_admission_outcomes_total` says why).
        NotYet = "not_yet",
        /// 408: the request head took too long.
        HeaderTimeout = "header_timeout",
        /// 408: the body took too long.
        BodyTimeout = "body_timeout",
    }
}

label! {
    /// What is wrong with a message that was not taken.
    pub enum Fault("fault") {
        /// Not protobuf.
        Scan = "scan",
        /// The instance uid is missing or malformed.
        Uid = "uid",
        /// Another live agent uses the uid.
        ClonedUid = "cloned_uid",
        /// Over the size limit.
        TooBig = "too_big",
        /// Not gzip, although the request says so.
        Gzip = "gzip",
        /// A text message.
        Text = "text",
        /// WebSocket framing.
        Frame = "frame",
        /// No session could be given: the table is full.
        SessionsFull = "sessions_full",
    }
}

label! {
    /// What a message to an agent is.
    pub enum SendKind("kind") {
        /// A server's reply.
        Reply = "reply",
        /// A server's message without a request.
        Push = "push",
        /// Seawall's own acknowledgement.
        LocalAck = "local_ack",
        /// Seawall's own error response.
        Error = "error",
    }
}

label! {
    /// Why a connection could not be accepted.
    pub enum AcceptError("kind") {
        /// No descriptor is left.
        Descriptors = "descriptors",
        /// Anything else.
        Other = "other",
    }
}

/// A listener takes agents.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// How many sockets share the address.
    pub sockets: usize,
}

impl Listening {
    /// Logs it.
    pub fn emit(self) {
        info!(target: TARGET, address = %self.address, sockets = self.sockets, "listening for agents");
    }
}

/// A connection was accepted. Pairs with [`ConnectionClosed`].
pub struct ConnectionAccepted {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
}

impl ConnectionAccepted {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().connections_accepted.increment(1);
        metrics().connections_open.increment(1.0);
        trace!(target: TARGET, peer = %self.peer, "connection accepted");
    }
}

/// A connection became a WebSocket.
pub struct ConnectionUpgraded {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
}

impl ConnectionUpgraded {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().connections_upgraded.increment(1);
        trace!(target: TARGET, peer = %self.peer, "connection upgraded");
    }
}

/// A connection is over.
pub struct ConnectionClosed {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// Whose connection it was, if it got so far.
    pub uid: Option<InstanceUid>,
    /// Why.
    pub reason: CloseReason,
}

impl ConnectionClosed {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().connections_open.decrement(1.0);
        metrics().connections_closed.with(self.reason).increment(1);
        let uid = self.uid.map(tracing::field::display);
        debug!(target: TARGET, peer = %self.peer, uid, reason = %self.reason, "connection closed");
    }
}

/// A connection could not be accepted.
pub struct AcceptFailed<'a> {
    /// What the system says.
    pub error: &'a std::io::Error,
    /// Which kind.
    pub kind: AcceptError,
    /// Whether it is the first since one was accepted: only that is logged at the default level.
    pub first: bool,
}

impl AcceptFailed<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().accept_errors.with(self.kind).increment(1);
        if self.first {
            warn!(target: TARGET, error = %self.error, kind = %self.kind, "connections cannot be accepted");
        } else {
            debug!(target: TARGET, error = %self.error, kind = %self.kind, "connection not accepted");
        }
    }
}

/// A request was refused.
pub struct RequestRefused {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// Why.
    pub reason: RefuseReason,
}

impl RequestRefused {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().requests_refused.with(self.reason).increment(1);
        debug!(target: TARGET, peer = %self.peer, reason = %self.reason, "request refused");
    }
}

/// A message arrived from an agent.
pub struct MessageReceived {
    /// On which transport.
    pub transport: Transport,
    /// Its size in bytes, after decompression.
    pub bytes: usize,
}

impl MessageReceived {
    /// Counts it.
    pub fn emit(self) {
        metrics().messages_received.with(self.transport).increment(1);
        metrics().bytes_received.increment(self.bytes as u64);
    }
}

/// A message was sent to an agent.
pub struct MessageSent {
    /// What it is.
    pub kind: SendKind,
    /// Its size in bytes, before compression.
    pub bytes: usize,
}

impl MessageSent {
    /// Counts it.
    pub fn emit(self) {
        metrics().messages_sent.with(self.kind).increment(1);
        metrics().bytes_sent.increment(self.bytes as u64);
    }
}

/// A message from an agent was not taken.
pub struct MessageRejected {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// What is wrong with it.
    pub fault: Fault,
}

impl MessageRejected {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().messages_rejected.with(self.fault).increment(1);
        debug!(target: TARGET, peer = %self.peer, fault = %self.fault, "message rejected");
    }
}

/// A silent agent was pinged.
pub struct PingSent {
    /// How long it had been silent.
    pub silent: Duration,
}

impl PingSent {
    /// Logs and counts it.
    pub fn emit(self) {
        metrics().pings_sent.increment(1);
        trace!(target: TARGET, silent = ?self.silent, "ping sent");
    }
}

/// What the edge holds, taken a few times a second.
pub struct Measured {
    /// Bytes of messages that have not wholly arrived.
    pub buffered_bytes: usize,
}

impl Measured {
    /// Sets the gauge.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub fn emit(self) {
        metrics().buffered_bytes.set(self.buffered_bytes as f64);
    }
}
