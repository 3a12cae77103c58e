//! The way from a session to its agent's connection: what the session may ask of it. How the connection
//! holds what waits is its own business; a connection on another node can implement it, too.

use std::time::Instant;

use super::counters::Counters;
use crate::core::session::ToAgent;

/// The way from a session to its agent's connection. Called with the session locked: returns at once, and
/// calls nothing.
pub(super) trait AttachmentPort {
    /// Brings one message, which `write` appends without a header. `false`: the connection closes, and what waited
    /// is dropped; or, with `write` uncalled, it closed before, or there is no room beside what waits for all agents.
    fn message(
        &self,
        kind: ToAgent,
        credit: &Credit<'_>,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool;

    /// When the connection has to call for an overdue reply.
    fn reply_due(&self, at: Option<Instant>);

    /// Has the agent answer a ping of this number, which goes behind what was brought before.
    fn confirm(&self, ping: u16, counters: &Counters);

    /// Whether the agent's messages may be read. If not, they are read again after a while without another word.
    fn may_read(&self, may: bool, now: Instant);

    /// Closes the connection; what waits for it is dropped.
    fn close(&self, counters: &Counters, why: AttachmentEnd);

    /// Closes the connection once what waits for it is written.
    fn close_when_written(&self);
}

/// Why a connection ends from the session's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttachmentEnd {
    /// A newer connection of the agent has the session.
    Replaced,
    /// More waits than may: the agent reads too slowly.
    Overflowed,
    /// The agent said goodbye, or its session is over.
    Left,
    /// Seawall stops.
    Stopping,
    /// The node drains: once all is written, the agent is another node's.
    Draining,
    /// A plain-HTTP request has its answer.
    Answered {
        /// The server had heard and answered everything by then.
        settled: bool,
    },
}

/// How many bytes may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credit<'a> {
    /// For this connection. One message is always allowed, so that a large configuration passes.
    pub(super) bytes_max: usize,
    /// For all connections together.
    pub(super) total_bytes_max: usize,
    pub(super) counters: &'a Counters,
}
