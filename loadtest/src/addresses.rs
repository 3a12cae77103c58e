//! Addresses of this machine for the processes that a command starts.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of the loopback address that is free now.
///
/// # Errors
/// When all ports are taken.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The loopback address with this port, as it stands in URLs and configuration files.
pub(crate) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
