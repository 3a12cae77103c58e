//! Plain arithmetic on rates: a node's share of its cluster's rate, and how long a number of agents takes.

use std::num::NonZeroU32;
use std::time::Duration;

/// What all nodes together may admit, and how many nodes there are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Entries a second, over all nodes.
    pub rate: NonZeroU32,
    /// Nodes whose lease is valid, this one included.
    pub live_nodes: NonZeroU32,
}

impl Cluster {
    /// One node's rate. Rounded down, so that all nodes together keep to the cluster's rate; at least one.
    pub fn node_rate(self) -> NonZeroU32 {
        NonZeroU32::new(self.rate.get() / self.live_nodes).unwrap_or(NonZeroU32::MIN)
    }

    /// One node's part of the disconnected agents. Rounded up: an estimate that is too high costs disobedient
    /// agents a few attempts; one that is too low sends many agents to the same seconds.
    pub fn node_backlog(self, agents: u64) -> u64 {
        agents.div_ceil(u64::from(self.live_nodes.get()))
    }
}

/// What a node may take of the rate that all nodes of its fleet share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetShare {
    /// The fleet's rate, in entries a second.
    pub rate: u32,
    /// This node's part of it now.
    pub now: u32,
    /// Its part as soon as the others know that it needs all that it can get: reservations reckon with it.
    pub soon: u32,
    /// Agents connected to the other nodes.
    pub connected: u64,
    /// Agents that wait at the other nodes.
    pub waiting: u64,
}

/// How long this many agents take at this rate: the shortest time in which a storm can be over.
pub fn time_for(agents: u64, rate: NonZeroU32) -> Duration {
    let whole = Duration::from_secs(agents / u64::from(rate.get()));
    let rest = agents % u64::from(rate.get());
    whole + Duration::from_secs_f64(rest as f64 / f64::from(rate.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let count = |n| NonZeroU32::new(n).unwrap();
        let cluster = |rate, nodes| Cluster { rate: count(rate), live_nodes: count(nodes) };
        assert_eq!(cluster(2_000, 3).node_rate(), count(666));
        assert_eq!(cluster(2, 5).node_rate(), count(1));
        assert_eq!(cluster(2_000, 3).node_backlog(100_000), 33_334);
        assert_eq!(cluster(2_000, 3).node_backlog(0), 0);
    }

    #[test]
    fn times() {
        let rate = NonZeroU32::new(2_000).unwrap();
        assert_eq!(time_for(100_000, rate), Duration::from_secs(50));
        assert_eq!(time_for(1, rate), Duration::from_micros(500));
        assert_eq!(time_for(0, rate), Duration::ZERO);
        assert!(time_for(u64::MAX, NonZeroU32::MIN) > Duration::from_secs(1 << 60));
    }
}
