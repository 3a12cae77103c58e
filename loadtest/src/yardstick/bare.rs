//! The bare loop: epoll by hand, one thread a core, each with a listener of its own. It upgrades,
//! skips each message to its end unread, and sends a small reply. This is the least that a server
//! can do in these sessions; the share of its rate that a gateway reaches is the gateway's
//! efficiency.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use socket2::{Domain, Socket, Type};

use super::skip::{Skipper, upgrade_answer, upgrade_key};

/// A binary frame of three bytes: the header, and `capabilities: 1`.
const REPLY: [u8; 5] = [0x82, 3, 0, 0x38, 1];
/// The key of the listener's events.
const LISTENER: u64 = u64::MAX;
/// Longest upgrade request.
const HEAD_BYTES_MAX: usize = 4096;

enum BarePhase {
    /// What has come of the request.
    Upgrade(Vec<u8>),
    Open(Skipper),
}

struct BareConnection {
    socket: OwnedFd,
    phase: BarePhase,
}

/// Opens a listener that shares its port with those of other threads.
///
/// # Errors
/// When the port is taken.
pub(super) fn listen(port: u16) -> io::Result<Socket> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.set_reuse_port(true)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    listener.listen(4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves for ever.
///
/// # Errors
/// When epoll itself fails.
pub(super) fn serve(listener: &Socket) -> io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let key = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poll, listener, key, epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<BareConnection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut scratch = vec![0; 64 << 10];
    loop {
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                // As many as there are: an overflowing queue costs the agent a second.
                while let Ok(socket) =
                    accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
                {
                    let place = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let key = epoll::EventData::new_u64(place as u64);
                    epoll::add(&poll, &socket, key, epoll::EventFlags::IN)?;
                    let phase = BarePhase::Upgrade(Vec::new());
                    connections[place] = Some(BareConnection { socket, phase });
                }
                continue;
            }
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(entry) = connections.get_mut(place) else { continue };
            let Some(connection) = entry else { continue };
            if !connection.on_readable(&mut scratch) {
                *entry = None;
                free.push(place);
            }
        }
    }
}

impl BareConnection {
    /// False when the connection is over.
    fn on_readable(&mut self, scratch: &mut [u8]) -> bool {
        let count = match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
            Ok((_, 0)) => return false,
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        };
        let bytes = &scratch[..count];
        match &mut self.phase {
            BarePhase::Upgrade(head) => {
                head.extend_from_slice(bytes);
                let Some(key) = upgrade_key(head) else { return head.len() < HEAD_BYTES_MAX };
                let answer = upgrade_answer(key);
                self.phase = BarePhase::Open(Skipper::default());
                send(&self.socket, answer.as_bytes(), SendFlags::NOSIGNAL).is_ok()
            }
            BarePhase::Open(skipper) => {
                let mut replied = true;
                let socket = &self.socket;
                skipper.feed(bytes, |_| {
                    replied &= send(socket, &REPLY, SendFlags::NOSIGNAL).is_ok();
                });
                replied
            }
        }
    }
}
