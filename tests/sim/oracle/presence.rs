//! R8: what a server is told of an agent's absence.

use seawall::sessions::params::SessionsParams;

use super::{Fault, Sent};
use crate::world::Time;

/// Where an agent is, as far as the gateway can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Presence {
    #[default]
    Unknown,
    Connected(u64),
    Polling(Time),
    /// Its connection was found to be over then.
    Absent(Time),
    /// It has said that it leaves.
    Left,
}

impl Presence {
    pub(super) fn is_on(self, wire: u64) -> bool {
        self == Self::Connected(wire)
    }

    /// Whether the server must be told that it is gone.
    pub(super) fn is_over(self, now: Time, params: &SessionsParams) -> bool {
        match self {
            Self::Unknown | Self::Connected(_) => false,
            Self::Polling(heard) => now >= heard + params.poll_timeout,
            Self::Absent(since) => now >= since + params.grace_period,
            Self::Left => true,
        }
    }

    /// `drains_since`: from then on an agent that goes has gone to another node, and all that its
    /// server may hear of it is its own goodbye.
    pub(super) fn sent(
        self,
        sent: &Sent,
        drains_since: Option<Time>,
        params: &SessionsParams,
    ) -> Result<(), Fault> {
        let moved = sent.server != sent.place;
        let at = drains_since.unwrap_or(sent.at);
        if !sent.report.disconnects || moved || self.is_over(at, params) {
            return Ok(());
        }
        Err(("R8", format!("server {} is told that it left: {self:?}", sent.server)))
    }

    /// The server knows.
    pub(super) const fn told(&mut self) {
        *self = Self::Unknown;
    }
}
