//! Limits and settings of the edge, already validated. `config` builds them.

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use super::admission::params::{AdmissionSettings, SourceFrom};
pub(crate) use super::paths::EndpointPaths;

use crate::core::keepalive::KeepAliveTimes;

/// What the edge needs to know. Every limit has a default; see `config/seawall.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeParams {
    /// Addresses to listen on, WebSocket and plain HTTP alike.
    pub listen: Vec<SocketAddr>,
    /// The paths of the OpAMP endpoint.
    pub paths: EndpointPaths,
    /// Listening sockets for each address (`SO_REUSEPORT`); `None`: one a core.
    pub listeners: Option<u16>,
    /// Length asked of the kernel for each listening socket's accept queue, in connections.
    pub backlog: u32,
    /// Agents' connections at one time; `None`: what the descriptor limit leaves.
    pub connections_max: Option<u32>,
    /// Agents on one WebSocket, which a gateway brings; `None`: half of what the table of sessions holds.
    pub agents_per_connection_max: Option<u32>,
    /// Largest message from an agent, in bytes, after decompression (specification: 64 MiB).
    pub message_bytes_max: usize,
    /// Largest request head (request line and headers), in bytes.
    pub head_bytes_max: usize,
    /// How long a connection may take to send its request head.
    pub head_timeout: Duration,
    /// The deadlines of an open WebSocket; a request's body may take as long as a message.
    pub keep_alive: KeepAliveTimes,
    /// How long a plain-HTTP connection is kept open between requests.
    pub http_idle_timeout: Duration,
    /// How long an agent over plain HTTP waits for the server's reply at most: some clients give up after a second.
    pub http_reply_wait: Duration,
    /// Bytes of incomplete messages held for all agents together.
    pub buffered_bytes_max: usize,
    /// Resident memory, in bytes, near which the node pauses accepting; empty: what the control group allows,
    /// if there is one.
    pub memory_max: Option<usize>,
    /// Which arrivals are admitted, and when.
    pub admission: AdmissionSettings,
}

impl Default for EdgeParams {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 4320))],
            paths: EndpointPaths::new(&["/v1/opamp"]),
            listeners: None,
            backlog: 16_384,
            connections_max: None,
            agents_per_connection_max: None,
            message_bytes_max: 64 << 20,
            head_bytes_max: 16 << 10,
            head_timeout: Duration::from_secs(10),
            keep_alive: KeepAliveTimes {
                ping_interval: Duration::from_secs(30),
                ping_timeout: Duration::from_secs(20),
                message_timeout: Duration::from_secs(60),
                close_timeout: Duration::from_secs(2),
            },
            http_idle_timeout: Duration::from_secs(75),
            http_reply_wait: Duration::from_millis(500),
            buffered_bytes_max: 512 << 20,
            memory_max: None,
            admission: AdmissionSettings::default(),
        }
    }
}
