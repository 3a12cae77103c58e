//! Listening sockets and the accept loops.
//!
//! One `SO_REUSEPORT` socket a core, drained eagerly: a connection that does not fit into the accept queue costs
//! its agent a second. At the bound on connections or descriptors accepting pauses, and connections wait in the
//! kernel's queue.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::tcp::AgentTcp;
use super::{Edge, Limit, connection};
use crate::clock;
use crate::core::admission::Capacity;
use crate::telemetry::events::admission::BacklogCapped;
use crate::telemetry::events::edge::{AcceptError, AcceptFailed, EdgeListening, EdgeMeasured};
use crate::telemetry::events::room::{self, RoomChanged};

/// An address cannot be bound. The fault is the configuration's or the machine's.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

pub(super) fn start(
    edge: &Arc<Edge>,
    accept_runtime: &Handle,
) -> Result<(Vec<SocketAddr>, JoinSet<()>), BindError> {
    // Sockets belong to the runtime on which they are made.
    let _entered = accept_runtime.enter();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sockets = edge.params.listeners.map_or(cores, usize::from).max(1);
    warn_if_capped(edge.params.backlog);
    let mut bound = Vec::new();
    let mut tasks = JoinSet::new();
    // All before any is bound: they may overlap.
    claim_all(&edge.params.listen)?;
    for wanted in &edge.params.listen {
        let mut address = *wanted;
        for _ in 0..sockets {
            let listener = bind(address, edge.params.backlog)
                .map_err(|source| BindError { address, source })?;
            // Port 0: the first socket gets one, the others share it.
            address =
                listener.get_ref().local_addr().map_err(|source| BindError { address, source })?;
            tasks.spawn_on(accept(listener, Arc::clone(edge)), accept_runtime);
        }
        EdgeListening { address, sockets }.emit();
        bound.push(address);
    }
    edge.drain.accepting(tasks.len());
    Ok((bound, tasks))
}

/// The kernel cuts the queue in silence; the operator should learn of it before the storm.
fn warn_if_capped(backlog: u32) {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if let Ok(somaxconn) = text.trim().parse()
        && somaxconn < backlog
    {
        BacklogCapped { backlog, somaxconn }.emit();
    }
}

/// Shows what is held, a few times a second: it changes with every read.
pub(super) async fn measure(edge: &Edge) {
    const INTERVAL: Duration = Duration::from_millis(250);
    loop {
        EdgeMeasured { buffered_bytes: edge.buffered_bytes() }.emit();
        edge.pressure.observe(edge.buffered_bytes());
        look_for_room(edge);
        let status = edge.admission.observe(u64::try_from(edge.sessions.count().0).unwrap_or(0));
        if let Some(until) = status.expected_until {
            edge.sessions.excuse_absence(until);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks whether a limit is reached, and says so.
fn look_for_room(edge: &Edge) {
    let max = edge.drain.connections_max;
    let reserve = Capacity::reserve_of(max);
    let reached = if edge.permits.available_permits() <= reserve {
        Some(Limit::Connections)
    } else if edge.sessions.is_full_of_connected() {
        Some(Limit::Sessions)
    } else {
        edge.pressure.is_on().then_some(Limit::Memory)
    };
    let (change, full) = {
        let mut room = edge.room.lock();
        (room.observe(reached, clock::now()), room.full())
    };
    room::show(full);
    if let Some(change) = change {
        let (connections, agents_max) = (edge.open_connections(), max - reserve);
        RoomChanged { change, connections, agents_max }.emit();
    }
}

/// Fails if one of these addresses cannot be bound, or another process listens there.
pub(super) fn claim_all(addresses: &[SocketAddr]) -> Result<(), BindError> {
    for address in addresses.iter().copied().filter(|address| address.port() != 0) {
        claim(address).map_err(|source| BindError { address, source })?;
    }
    Ok(())
}

/// Fails if another process listens there. By `SO_REUSEPORT` alone the kernel would share agents out between both, and
/// each would speak to servers for agents of the other.
fn claim(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<AsyncFd<TcpListener>> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by accepted sockets: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    watched(socket.into())
}

/// Has it watched by the runtime on which this is called.
#[expect(
    deprecated,
    reason = "its successor is unsafe; a listener of std keeps its descriptor while it lives"
)]
pub(super) fn watched(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    AsyncFd::new(listener)
}

async fn accept(listener: AsyncFd<TcpListener>, edge: Arc<Edge>) {
    /// How long to wait for a descriptor: until some connection ends.
    const RESPITE: Duration = Duration::from_millis(50);
    let mut failing = false;
    loop {
        let Ok(permit) = Arc::clone(&edge.permits).acquire_owned().await else { return };
        edge.pressure.passed().await;
        match AgentTcp::accept(&listener).await {
            Ok((socket, peer)) => {
                failing = false;
                tokio::spawn(connection::serve(Arc::clone(&edge), socket, peer, permit));
            }
            Err(error) => {
                let exhausted = is_exhaustion(&error);
                let kind = if exhausted { AcceptError::Descriptors } else { AcceptError::Other };
                AcceptFailed { error: &error, kind, first: !failing }.emit();
                failing = true;
                if exhausted {
                    tokio::time::sleep(RESPITE).await;
                } else {
                    // The peer gave up in the queue, most likely: the next one is waiting.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// Whether descriptors or memory are used up, the process's or the system's.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|e| e.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_processes_cannot_share_an_address() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(any, 16).unwrap();
        let taken = first.get_ref().local_addr().unwrap();
        let second = bind(taken, 16).unwrap();
        assert_eq!(claim(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((first, second));
        claim(taken).unwrap();
    }
}
