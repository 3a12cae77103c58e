//! What admission knows of one arrival: who sent it, as far as its request tells, and its ticket while it is
//! parked. What an arrival is (a connection, a stream of HTTP/2 or HTTP/3) only its transport knows.

use std::num::NonZeroU64;

use super::patience::ClientPatience;

/// An agent asks to be admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Its source has sent more arrivals than its share.
    pub over_share: bool,
    /// The agent, if the request already tells which one it is.
    pub identity: Option<Identity>,
    /// It needs no new place in the table of sessions: its agent has one, or its message tells who it is before
    /// anything is answered. A full table keeps the others out.
    pub needs_no_place: bool,
    /// Its agent has a session: it has been let in, and comes over HTTP with its next message.
    pub in_session: bool,
    /// What its client bears.
    pub patience: ClientPatience,
}

/// One agent, recognised by its uid's header, its client certificate or a credential of its own.
///
/// Opaque: the caller hashes what identifies the agent with a secret, so that an attacker cannot aim at
/// another agent's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(NonZeroU64);

/// A hash of zero is taken for one: `Option<Identity>` then takes eight bytes.
const fn key(hash: u64) -> NonZeroU64 {
    match NonZeroU64::new(hash) {
        Some(key) => key,
        None => NonZeroU64::MIN,
    }
}

impl Identity {
    /// From a hash.
    pub const fn new(hash: u64) -> Self {
        Self(key(hash))
    }
}

/// A place in the park. It is valid until the park has decided on it or its agent has left; afterwards the
/// park recognises it as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) index: u32,
    /// Tells it from earlier users of the same place. It comes round after four thousand million arrivals,
    /// far more than arrive while one agent waits.
    pub(super) serial: u32,
    /// Its line.
    pub(super) line: u16,
}
