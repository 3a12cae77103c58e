//! Free ports for processes that take their address as an argument, and for servers that must come
//! back on the same one.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports are taken from below the kernel's ephemeral range (32768 and up): there, an outgoing
/// connection of another test could sit on the port of a server that is just being restarted.
const FIRST: u16 = 10_240;
const COUNT: u16 = 22_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that is free and that this process hands out for the first time.
pub(crate) fn free_port() -> u16 {
    // Test binaries that run at the same time, whose ids are neighbours, start far apart.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below COUNT");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let offset = (u32::from(start) * 7919 + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("below COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
