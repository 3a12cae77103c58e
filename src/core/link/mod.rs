//! Decisions about one link to a server: whether it takes a message, which agent a message that it
//! brings is for, and, of WebSockets, when it is dialled, when it is pinged, when it is dead.
//! Sockets and tasks are `upstream`'s, which carries the decisions out.

mod keep_alive;
mod life;
mod recipient;
mod redial;

pub use keep_alive::{KeepAlive, KeepAliveStep};
pub use life::{LinkLife, LinkPhase, LinkRefusal};
pub use recipient::{Recipient, recipient};
pub use redial::{Redial, RedialFacts, RedialStep};

/// Why a link, or a connection of mode `http`, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The server closed it.
    Closed,
    /// The connection broke.
    Reset,
    /// The server left a ping unanswered.
    PingTimeout,
    /// The server broke the rules of WebSocket.
    ProtocolFault,
    /// The server left a request unanswered (mode `http`).
    RequestTimeout,
    /// A message over the limit.
    TooBig,
    /// The server answers, and fails every message (mode `http`).
    Unhealthy,
    /// Its agent is gone (mode `per-agent`), or Seawall is stopping.
    Released,
    /// This node lost the right to speak to servers.
    HoldsStill,
}
