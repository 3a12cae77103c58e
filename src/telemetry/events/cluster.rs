//! What happens on node links.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::room::seconds;
use crate::core::node_link::NodeMessageKind;
use crate::core::peer_link::{Dialler, LinkEnd, NotQueued};
use crate::telemetry::label::Label as _;
pub(crate) use crate::telemetry::labels::cluster::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::cluster";

/// No link came of a dial.
pub(crate) struct NodeDialFailed<'a> {
    /// The name of the node that was meant.
    pub peer: &'a str,
    /// Where its lease says it is.
    pub address: Option<SocketAddr>,
    /// How it ended.
    pub result: NodeDialResult,
    /// What was wrong, in words.
    pub error: &'a dyn Display,
    /// Whose fault it is.
    pub culprit: &'a dyn Display,
    /// The first since the node was last there is logged at the default level.
    pub first: bool,
    /// When the next is tried.
    pub retry_after: Duration,
}

impl NodeDialFailed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().node_dials.with(self.result).increment(1);
        let Self { peer, address, error, culprit, retry_after, .. } = self;
        let address = address.map(tracing::field::display);
        let retry_after_seconds = seconds(retry_after);
        if self.first {
            warn!(target: TARGET, peer, address, %error, fault = %culprit, retry_after_seconds, "node cannot be linked");
        } else {
            debug!(target: TARGET, peer, address, %error, fault = %culprit, retry_after_seconds, "dial failed");
        }
    }
}

/// Both nodes dialled, and this node's dial was given up for the other's.
pub(crate) struct NodeDialSurplus<'a> {
    /// The name of the other node.
    pub peer: &'a str,
    /// Where its lease says it is.
    pub address: Option<SocketAddr>,
}

impl NodeDialSurplus<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().node_dials.with(NodeDialResult::Surplus).increment(1);
        let address = self.address.map(tracing::field::display);
        debug!(target: TARGET, peer = self.peer, address, "surplus connection closed");
    }
}

/// No link came of a connection that another node dialled.
pub(crate) struct NodeNotAccepted<'a> {
    /// Where it came from.
    pub address: SocketAddr,
    /// How it ended.
    pub result: NodeAcceptResult,
    /// What was wrong, in words.
    pub error: &'a dyn Display,
    /// Whose fault it is.
    pub culprit: &'a dyn Display,
}

impl NodeNotAccepted<'_> {
    /// Logs and counts it. Anything that reaches the port can bring it about, so it is no warning.
    pub(crate) fn emit(self) {
        metrics().node_accepts.with(self.result).increment(1);
        let Self { address, error, culprit, .. } = self;
        debug!(target: TARGET, %address, %error, fault = %culprit, "node not let in");
    }
}

/// A connection was refused because too many handshakes are under way.
pub(crate) struct NodeTurnedAway {
    /// Where it came from.
    pub address: SocketAddr,
}

impl NodeTurnedAway {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().node_accepts.with(NodeAcceptResult::Busy).increment(1);
        debug!(target: TARGET, address = %self.address, "too many handshakes of node links");
    }
}

/// A link is up. Pairs with [`NodeLinkLost`].
pub(crate) struct NodeLinkUp<'a> {
    /// The name of the other node.
    pub peer: &'a str,
    /// Who dialled.
    pub dialler: Dialler,
}

impl NodeLinkUp<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        match self.dialler {
            Dialler::Own => metrics().node_dials.with(NodeDialResult::Up).increment(1),
            Dialler::Peer => metrics().node_accepts.with(NodeAcceptResult::Up).increment(1),
        }
        metrics().node_links.increment(1.0);
        info!(target: TARGET, peer = self.peer, "node linked");
    }
}

/// A link that was up is over.
pub(crate) struct NodeLinkLost<'a> {
    /// The name of the other node.
    pub peer: &'a str,
    /// The reason.
    pub end: LinkEnd,
    /// How long it had held.
    pub held: Duration,
    /// Frames that had gone to the connection.
    pub handed: u64,
    /// Frames that still waited, and are dropped.
    pub dropped: u64,
}

impl NodeLinkLost<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().node_links.decrement(1.0);
        metrics().node_links_lost.with(self.end).increment(1);
        metrics().node_frames_dropped.increment(self.dropped);
        let Self { peer, end, held, handed, dropped } = self;
        let (reason, held_seconds) = (end.as_str(), seconds(held));
        match end {
            LinkEnd::Closed | LinkEnd::Released | LinkEnd::LeaseGone => {
                info!(target: TARGET, peer, reason, held_seconds, handed, dropped, "node link ended");
            }
            LinkEnd::Reset
            | LinkEnd::Silent
            | LinkEnd::ProtocolFault
            | LinkEnd::Replaced
            | LinkEnd::Overflowed => {
                warn!(target: TARGET, peer, reason, held_seconds, handed, dropped, "node link lost");
            }
        }
    }
}

/// The peer broke the rules of the link. Its end is reported apart.
pub(crate) struct LinkFault<'a> {
    /// The name of the other node.
    pub peer: &'a str,
    /// What it did.
    pub error: &'a dyn Display,
}

impl LinkFault<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { peer, error } = self;
        warn!(target: TARGET, peer, %error, fault = "the peer", "broken node link");
    }
}

/// A frame was refused. Its sender is told.
pub(crate) struct FrameRefused {
    /// Why.
    pub refused: NotQueued,
}

impl FrameRefused {
    /// Counts it.
    pub(crate) fn emit(self) {
        let reason = match self.refused {
            NotQueued::Full => FrameRefusal::Full,
            NotQueued::TooBig(_) => FrameRefusal::TooBig,
            NotQueued::Lost => FrameRefusal::Lost,
        };
        metrics().node_frames_refused.with(reason).increment(1);
    }
}

/// A node link has taken a message for another node.
pub(crate) struct NodeMessageSent {
    /// What it is.
    pub kind: NodeMessageKind,
    /// Its bytes.
    pub bytes: usize,
}

impl NodeMessageSent {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().node_messages_sent.with(self.kind).increment(1);
        metrics().node_message_bytes_sent.with(self.kind).increment(self.bytes as u64);
    }
}

/// A message of another node has come.
pub(crate) struct NodeMessageReceived {
    /// What it is.
    pub kind: NodeMessageKind,
    /// Its bytes.
    pub bytes: usize,
}

impl NodeMessageReceived {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().node_messages_received.with(self.kind).increment(1);
        metrics().node_message_bytes_received.with(self.kind).increment(self.bytes as u64);
    }
}

/// Another node has given a sign of life that was asked of it.
pub(crate) struct NodeAlive {
    /// Since it was asked.
    pub took: Duration,
}

impl NodeAlive {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().node_round_trip.record(self.took);
    }
}

/// Frames went to a connection in one batch.
pub(crate) struct FramesSent {
    /// How many.
    pub frames: u64,
    /// Their bytes, heads included.
    pub bytes: usize,
}

impl FramesSent {
    /// Counts them.
    pub(crate) fn emit(self) {
        metrics().node_frames_sent.increment(self.frames);
        metrics().node_bytes_sent.increment(self.bytes as u64);
    }
}

/// A piece of a stream was read.
pub(crate) struct FramesReceived {
    /// How many frames end in it.
    pub frames: u64,
    /// Its bytes.
    pub bytes: usize,
}

impl FramesReceived {
    /// Counts them.
    pub(crate) fn emit(self) {
        metrics().node_frames_received.increment(self.frames);
        metrics().node_bytes_received.increment(self.bytes as u64);
    }
}
