//! What goes wrong between nodes, in words: with which node, and whose fault it is.

use std::fmt;
use std::net::SocketAddr;

use quinn::ConnectionError;

use crate::telemetry::events::cluster::{self as telemetry, NodeAcceptResult, NodeDialResult};

/// Node links cannot be set up. This node's fault.
#[derive(Debug, thiserror::Error)]
pub enum NodeLinksError {
    /// The TLS library refused the set-up.
    #[error("TLS of node links: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library lacks what QUIC begins with.
    #[error("TLS of node links: {0}")]
    Suite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The address for node links is in use, or is no address of this machine.
    #[error("node links cannot listen at {listen}: {said}")]
    Socket {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        said: std::io::Error,
    },
}

/// Who has to do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Culprit {
    ThisNode,
    Peer,
    /// The peer is away, or the way to it is blocked.
    PeerOrNetwork,
    /// A lease is new or outdated: this mends itself with the next reading.
    Lease,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNode => "this node",
            Self::Peer => "the peer",
            Self::PeerOrNetwork => "the peer or the network",
            Self::Lease => "an outdated lease",
        })
    }
}

/// No link came of a connection. Another try may help, except where this node is at fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotLinked {
    /// This node cannot dial such an address.
    #[error("it cannot be dialled: {0}")]
    Local(#[from] quinn::ConnectError),
    /// Nothing answered in time, or nothing more.
    #[error("it does not answer")]
    Timeout,
    /// Another node has the address by now, or the peer has started anew.
    #[error("another node answers there")]
    OtherNode,
    /// A node that has no lease, or one whose lease is yet to be read.
    #[error("its certificate is in no lease")]
    Unknown,
    /// The peer has yet to read this node's lease, or this node has lost it.
    #[error("it finds this node's certificate in no lease")]
    Refused,
    /// The peer began the link in another way than the protocol has it.
    #[error("it opens streams that there are not")]
    Streams,
    /// The connection was surplus, and the peer has closed it.
    #[error("it uses another connection")]
    Surplus,
    /// The connection ended early.
    #[error("the connection ended: {0}")]
    Ended(ConnectionError),
}

/// TLS alert `access_denied` as QUIC tells it (RFC 9001, section 4.8).
const ACCESS_DENIED: u64 = 0x100 + 49;

impl From<ConnectionError> for NotLinked {
    fn from(error: ConnectionError) -> Self {
        match &error {
            ConnectionError::TransportError(fault) if u64::from(fault.code) == ACCESS_DENIED => {
                Self::Unknown
            }
            ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == ACCESS_DENIED =>
            {
                Self::Refused
            }
            ConnectionError::ApplicationClosed(close)
                if close.error_code == CloseCode::Surplus.into() =>
            {
                Self::Surplus
            }
            // Closed by this node, whose pairing has found another connection to use.
            ConnectionError::LocallyClosed => Self::Surplus,
            ConnectionError::TimedOut => Self::Timeout,
            _ => Self::Ended(error),
        }
    }
}

impl NotLinked {
    pub(super) const fn culprit(&self) -> Culprit {
        match self {
            Self::Local(_) => Culprit::ThisNode,
            Self::Timeout => Culprit::PeerOrNetwork,
            Self::OtherNode | Self::Unknown | Self::Refused => Culprit::Lease,
            Self::Streams | Self::Surplus | Self::Ended(_) => Culprit::Peer,
        }
    }

    /// How a dial of this node's counts.
    pub(super) const fn dial_result(&self) -> NodeDialResult {
        match self {
            Self::Timeout => NodeDialResult::Timeout,
            Self::OtherNode | Self::Unknown => NodeDialResult::OtherNode,
            Self::Refused => NodeDialResult::Refused,
            Self::Surplus => NodeDialResult::Surplus,
            Self::Local(_) | Self::Streams | Self::Ended(_) => NodeDialResult::Failed,
        }
    }

    /// How a connection that another node dialled counts.
    pub(super) const fn accept_result(&self) -> NodeAcceptResult {
        match self {
            Self::Timeout => NodeAcceptResult::Timeout,
            Self::OtherNode | Self::Unknown => NodeAcceptResult::Unknown,
            Self::Surplus => NodeAcceptResult::Surplus,
            Self::Refused | Self::Local(_) | Self::Streams | Self::Ended(_) => {
                NodeAcceptResult::Failed
            }
        }
    }
}

/// Counts and logs that no link came of a connection that another node dialled.
pub(super) fn report_not_accepted(address: SocketAddr, error: &NotLinked) {
    let (result, culprit) = (error.accept_result(), error.culprit());
    telemetry::NodeNotAccepted { address, result, error, culprit: &culprit }.emit();
}

/// Why a node closes a connection, as the other one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// Everything is written and read: the node stops.
    Goodbye,
    /// Another connection is used.
    Surplus,
    /// The peer broke the rules.
    ProtocolFault,
    /// The peer was silent.
    Silent,
    /// The peer's lease is gone.
    LeaseGone,
    /// The dialler meant another node.
    OtherNode,
    /// More waited for the peer than may.
    Overflowed,
}

impl From<CloseCode> for quinn::VarInt {
    fn from(code: CloseCode) -> Self {
        Self::from_u32(match code {
            CloseCode::Goodbye => 0,
            CloseCode::Surplus => 1,
            CloseCode::ProtocolFault => 2,
            CloseCode::Silent => 3,
            CloseCode::LeaseGone => 4,
            CloseCode::OtherNode => 5,
            CloseCode::Overflowed => 6,
        })
    }
}
