//! Limits and settings of the edge, already validated. `config` builds them.

use std::net::SocketAddr;
use std::time::Duration;

pub use super::admission::params::{AdmissionSettings, SourceFrom};

use crate::core::keepalive::KeepAliveTimes;

/// What the edge needs to know. Every limit has a default; see `config/seawall.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeParams {
    /// Addresses to listen on, WebSocket and plain HTTP alike.
    pub listen: Vec<SocketAddr>,
    /// The path of the OpAMP endpoint.
    pub path: String,
    /// Listening sockets for each address (`SO_REUSEPORT`); `None`: one a core.
    pub listeners: Option<u16>,
    /// Length asked of the kernel for each listening socket's accept queue, in connections.
    pub backlog: u32,
    /// Agents' connections at one time; `None`: what the descriptor limit leaves.
    pub connections_max: Option<u32>,
    /// Largest message from an agent, in bytes, after decompression (specification: 64 MiB).
    pub message_bytes_max: usize,
    /// Largest request head (request line and headers), in bytes.
    pub head_bytes_max: usize,
    /// How long a connection may take to send its request head.
    pub head_timeout: Duration,
    /// How long a request body or one WebSocket message may take from its first byte to its last.
    pub message_timeout: Duration,
    /// Silence on a WebSocket after which it is pinged.
    pub ping_interval: Duration,
    /// Silence after that ping which makes the peer dead.
    pub ping_timeout: Duration,
    /// How long a plain-HTTP connection is kept open between requests.
    pub http_idle_timeout: Duration,
    /// How many times larger than its compressed form a request body may become.
    pub gzip_ratio_max: u32,
    /// Bytes of incomplete messages held for all agents together.
    pub buffered_bytes_max: usize,
    /// Resident memory, in bytes, near which new connections are left to wait in the kernel's queue;
    /// `None`: what the control group allows, if there is one.
    pub memory_max: Option<usize>,
    /// Who comes in, and when.
    pub admission: AdmissionSettings,
}

/// How long an agent may take to answer a Close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

impl EdgeParams {
    /// The deadlines of an open WebSocket.
    pub(super) const fn keep_alive(&self) -> KeepAliveTimes {
        KeepAliveTimes {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            message_timeout: self.message_timeout,
            close_timeout: CLOSE_PATIENCE,
        }
    }
}

impl Default for EdgeParams {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 4320))],
            path: "/v1/opamp".to_owned(),
            listeners: None,
            backlog: 16_384,
            connections_max: None,
            message_bytes_max: 64 << 20,
            head_bytes_max: 16 << 10,
            head_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            http_idle_timeout: Duration::from_secs(75),
            gzip_ratio_max: 100,
            buffered_bytes_max: 512 << 20,
            memory_max: None,
            admission: AdmissionSettings::default(),
        }
    }
}
