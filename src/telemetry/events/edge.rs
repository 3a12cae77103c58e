//! What happens between agents and the edge.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, info, trace, warn};

use crate::ident::InstanceUid;
pub(crate) use crate::telemetry::labels::edge::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::edge";

/// A listener takes agents.
pub(crate) struct EdgeListening {
    /// The address.
    pub address: SocketAddr,
    /// How many sockets share the address.
    pub sockets: usize,
}

impl EdgeListening {
    /// Logs it.
    pub(crate) fn emit(self) {
        info!(target: TARGET, address = %self.address, sockets = self.sockets, "listening for agents");
    }
}

/// A connection was accepted. Pairs with [`ConnectionClosed`].
pub(crate) struct ConnectionAccepted {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
}

impl ConnectionAccepted {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().connections_accepted.increment(1);
        metrics().connections_open.increment(1.0);
        trace!(target: TARGET, peer = %self.peer, "connection accepted");
    }
}

/// A connection became a WebSocket.
pub(crate) struct ConnectionUpgraded {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
}

impl ConnectionUpgraded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().connections_upgraded.increment(1);
        trace!(target: TARGET, peer = %self.peer, "connection upgraded");
    }
}

/// A connection is over.
pub(crate) struct ConnectionClosed {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// Whose connection it was, if it got so far.
    pub uid: Option<InstanceUid>,
    /// The reason.
    pub reason: CloseReason,
}

impl ConnectionClosed {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().connections_open.decrement(1.0);
        metrics().connections_closed.with(self.reason).increment(1);
        let uid = self.uid.map(tracing::field::display);
        debug!(target: TARGET, peer = %self.peer, uid, reason = %self.reason, "connection closed");
    }
}

/// Several agents speak on one WebSocket: a gateway brings them. Pairs with [`SharedConnectionClosed`].
pub(crate) struct ConnectionShared {
    /// The gateway's address, or its proxy's.
    pub peer: SocketAddr,
}

impl ConnectionShared {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().shared_connections.increment(1.0);
        debug!(target: TARGET, peer = %self.peer, "several agents share a connection");
    }
}

/// A WebSocket is over on which several agents spoke.
pub(crate) struct SharedConnectionClosed;

impl SharedConnectionClosed {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().shared_connections.decrement(1.0);
    }
}

/// An agent left a WebSocket that others use.
pub(crate) struct SharedAgentEnded {
    /// The agent.
    pub uid: InstanceUid,
    /// The reason.
    pub reason: SharedAgentEnd,
}

impl SharedAgentEnded {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().shared_agents_ended.with(self.reason).increment(1);
        debug!(target: TARGET, uid = %self.uid, reason = %self.reason, "an agent left a shared connection");
    }
}

/// A connection brings more agents than one may. Said once for each connection.
pub(crate) struct ConnectionFull {
    /// The gateway's address, or its proxy's.
    pub peer: SocketAddr,
    /// The bound.
    pub max: usize,
}

impl ConnectionFull {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { peer, max } = self;
        warn!(
            target: TARGET, %peer, max,
            "one connection brings more agents than edge.agents_per_connection_max: the others are refused"
        );
    }
}

/// Accepting a connection failed.
pub(crate) struct AcceptFailed<'a> {
    /// What the system says.
    pub error: &'a std::io::Error,
    /// Which kind.
    pub kind: AcceptError,
    /// Whether it is the first since one was accepted: only that is logged at the default level.
    pub first: bool,
}

impl AcceptFailed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().accept_errors.with(self.kind).increment(1);
        if self.first {
            warn!(target: TARGET, error = %self.error, kind = %self.kind, "accepting connections fails");
        } else {
            debug!(target: TARGET, error = %self.error, kind = %self.kind, "accepting a connection failed");
        }
    }
}

/// A request was refused.
pub(crate) struct RequestRefused {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// The reason.
    pub reason: RefuseReason,
}

impl RequestRefused {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().requests_refused.with(self.reason).increment(1);
        debug!(target: TARGET, peer = %self.peer, reason = %self.reason, "request refused");
    }
}

/// A message arrived from an agent.
pub(crate) struct MessageReceived {
    /// On which transport.
    pub transport: Transport,
    /// Its size in bytes, after decompression.
    pub bytes: usize,
}

impl MessageReceived {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().messages_received.with(self.transport).increment(1);
        metrics().bytes_received.increment(self.bytes as u64);
    }
}

/// A message was sent to an agent.
pub(crate) struct MessageSent {
    /// What it is.
    pub kind: SendKind,
    /// Its size in bytes, before compression.
    pub bytes: usize,
}

impl MessageSent {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().messages_sent.with(self.kind).increment(1);
        metrics().bytes_sent.increment(self.bytes as u64);
    }
}

/// A message from an agent was rejected.
pub(crate) struct MessageRejected {
    /// The agent's address, or its proxy's.
    pub peer: SocketAddr,
    /// What is wrong with it.
    pub fault: MessageFault,
}

impl MessageRejected {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().messages_rejected.with(self.fault).increment(1);
        debug!(target: TARGET, peer = %self.peer, fault = %self.fault, "message rejected");
    }
}

/// A silent agent was pinged.
pub(crate) struct PingSent {
    /// How long it had been silent.
    pub silent: Duration,
}

impl PingSent {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().pings_sent.increment(1);
        trace!(target: TARGET, silent = ?self.silent, "ping sent");
    }
}

/// What the edge holds, taken a few times a second.
pub(crate) struct EdgeMeasured {
    /// Bytes of incomplete messages.
    pub buffered_bytes: usize,
}

impl EdgeMeasured {
    /// Sets the gauge.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn emit(self) {
        metrics().buffered_bytes.set(self.buffered_bytes as f64);
    }
}
