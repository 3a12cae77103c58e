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

/// Ports below the ones that the kernel gives to outgoing connections, so that none of those is in the
/// way when a process comes back on its port.
const LOW_PORTS: std::ops::Range<u16> = 12_000..32_000;
/// How many of them are tried.
const TRIES: usize = 1_000;

/// A TCP port of the loopback address below 32,768 that is free now, for a process that may have to
/// come back on it.
///
/// # Errors
/// When no free one is found.
pub(crate) fn low_port() -> io::Result<u16> {
    Ok(HeldPort::take()?.port)
}

/// Such a port, kept from others for a process that starts later. It is free when this goes.
#[derive(Debug)]
pub(crate) struct HeldPort {
    pub(crate) port: u16,
    _listener: TcpListener,
}

impl HeldPort {
    /// Takes one.
    ///
    /// # Errors
    /// When no free one is found.
    pub(crate) fn take() -> io::Result<Self> {
        let mut tries = (0..TRIES).map(|_| rand::random_range(LOW_PORTS));
        let held = tries.find_map(|port| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some(Self { port, _listener: listener })
        });
        held.ok_or_else(|| io::ErrorKind::AddrInUse.into())
    }
}

/// The loopback address with this port, as it stands in URLs and configuration files.
pub(crate) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
