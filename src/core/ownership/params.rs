//! The times and choices by which a node keeps its lease and judges the others.

use std::time::Duration;

/// See the module's text. All nodes of a fleet use the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeParams {
    /// The lease time: how long a counter must stand still before its node counts as dead.
    pub lease: Duration,
    /// How long a node speaks to servers at most while its lease does not count.
    pub autonomy: Duration,
    /// How many shards are in use: [`super::SHARDS`]; fewer in a simulation.
    pub shards: u16,
    /// Whether the only member goes on speaking while the store is away.
    pub lone_speaks: bool,
    /// The store is this process's own memory: there is no other node, and nothing to wait for.
    pub private: bool,
}

impl NodeParams {
    /// How long a renewal, or a confirmation, counts from its sending: a third less than the others wait.
    pub fn valid_for(&self) -> Duration {
        self.lease * 2 / 3
    }

    /// From the sending of a renewal to the next.
    pub fn renew_every(&self) -> Duration {
        self.lease / 3
    }

    /// How long a call to the store may take. An answer after that is void.
    pub fn call_time(&self) -> Duration {
        self.lease / 6
    }

    /// From one question to all members to the next.
    pub fn ask_every(&self) -> Duration {
        self.lease / 6
    }

    /// How long to wait before what failed is tried once more.
    pub fn retry_after(&self) -> Duration {
        self.lease / 12
    }

    /// How long a counter must stand still for a taker that its node may not know of.
    pub fn stranger_wait(&self) -> Duration {
        self.autonomy + self.lease
    }

    /// The first lease time of a node: it takes nothing that may be held by a node it has yet to hear of.
    pub fn first_wait(&self) -> Duration {
        if self.private { Duration::ZERO } else { self.lease }
    }
}
