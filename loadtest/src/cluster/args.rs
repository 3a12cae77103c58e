//! The options of `loadtest cluster`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::redis::RedisKind;
use crate::args::{AftermathArgs, FleetArgs, positive};
use crate::figures::FiguresArgs;
use crate::human::Human;
use crate::server::Keying;
use crate::stage::UpstreamMode;

/// Agents behind HAProxy: two descriptors each, and a process may have 20,000.
const BALANCED_AGENTS_MAX: u32 = 9_000;

/// What happens to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ClusterCase {
    /// All agents are cut off at once, and each dials a node by --choice
    Storm,
    /// A node is killed (SIGKILL), in steady state or with --mid-storm in the midst of a storm
    Kill,
    /// A node is stopped (SIGSTOP) for three lease times, and goes on
    Pause,
    /// In the midst of a storm Redis ends, and comes back --away later with its data
    RedisStop,
    /// The same, and it comes back empty
    RedisEmpty,
    /// The same, and it comes back from a dump that was made --away before the storm
    RedisDump,
    /// In the midst of a storm Redis hangs (SIGSTOP) for --away
    RedisPause,
    /// In the midst of a storm the master is killed, and a replica that lags takes over
    RedisFailover,
    /// Every agent gets a push, and --meanwhile something happens
    Push,
    /// Datagrams between the first two nodes are lost for --away, by --ways; a storm meanwhile
    Cut,
    /// The server is killed and started empty while another node joins, so that shards move
    Server,
    /// Each node is drained and started again, one after the other
    Rolling,
    /// Another node joins
    Join,
}

impl ClusterCase {
    /// Whether Redis is what it is about.
    pub(super) const fn is_of_redis(self) -> bool {
        matches!(
            self,
            Self::RedisStop
                | Self::RedisEmpty
                | Self::RedisDump
                | Self::RedisPause
                | Self::RedisFailover
        )
    }
}

/// What happens while agents get pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meanwhile {
    /// All agents move to other nodes, --hops times
    Move,
    /// The first node is drained: its shards and its agents go to the others
    Drain,
    /// Another node joins, and gets its share of the shards
    Join,
}

/// Which datagrams between two nodes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ways {
    /// All of them
    Both,
    /// Those from the first node to the second
    Forth,
    /// Those from the second node to the first
    Back,
}

/// How agents come to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Balancing {
    /// They dial nodes themselves, by --choice, among those that serve
    Direct,
    /// HAProxy, to the node with the fewest connections
    Leastconn,
    /// HAProxy, at random
    Random,
}

/// Options of `loadtest cluster`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterArgs {
    /// What happens
    #[arg(value_enum)]
    pub(super) case: ClusterCase,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(super) nodes: u16,
    /// How many agents; at most 9,000 behind HAProxy
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(super) agents: u32,
    /// Which Redis the nodes share
    #[arg(long, value_enum, default_value = "single")]
    pub(super) redis: RedisKind,
    /// How agents come to nodes
    #[arg(long, value_enum, default_value = "direct")]
    pub(super) balancing: Balancing,
    /// Connections that all nodes together admit a second
    #[arg(long, default_value_t = 3000.0, value_name = "PER_SECOND", value_parser = positive)]
    pub(super) rate: f64,
    /// The nodes' lease time
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    pub(super) lease: Human,
    /// `sessions.grace_period` of the nodes
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub(super) grace: Human,
    /// How long Redis is away, or datagrams are lost
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub(super) away: Human,
    /// How long after the cut the middle of a storm is
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub(super) after: Human,
    /// In a storm, let agents dial the first NODES nodes only
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(super) onto: Option<u16>,
    /// Which datagrams are lost
    #[arg(long, value_enum, default_value = "both")]
    pub(super) ways: Ways,
    /// What happens while agents get pushes
    #[arg(long, value_enum, default_value = "move")]
    pub(super) meanwhile: Meanwhile,
    /// How many pushes a second, instead of --rate
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(super) push_rate: Option<f64>,
    /// While agents get pushes, let the server ask for the full state with each reply
    #[arg(long)]
    pub(super) asks: bool,
    /// Let them dial those alone from the start
    #[arg(long, requires = "onto")]
    pub(super) onto_from_the_start: bool,
    /// While they get pushes, how often agents move without waiting for replies: 2 is there and back
    #[arg(long, default_value_t = 1, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(super) hops: u16,
    /// Let a node be killed in the midst of a storm
    #[arg(long)]
    pub(super) mid_storm: bool,
    /// By what the server knows an agent again
    #[arg(long, value_enum, default_value = "uid")]
    pub(super) keyed_by: Keying,
    /// How nodes reach the server
    #[arg(long, value_enum, default_value = "multiplexed")]
    pub(super) mode: UpstreamMode,
    /// The gateway's program; by default `seawall` in the folder of this program
    #[arg(long, value_name = "FILE")]
    pub(super) seawall: Option<PathBuf>,
    /// The longest time for all of it; then every process ends
    #[arg(long, default_value = "15m", value_name = "DURATION")]
    pub(super) time_max: Human,
    /// Leave logs and configurations where they are, also after a run without faults
    #[arg(long)]
    pub(super) keep_logs: bool,
    #[command(flatten)]
    pub(super) aftermath: AftermathArgs,
    #[command(flatten)]
    pub(super) fleet: FleetArgs,
    #[command(flatten)]
    pub(super) figures: FiguresArgs,
}

impl ClusterArgs {
    /// Checks what depends on more than one option.
    ///
    /// # Errors
    /// Says which options contradict each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let has_redis = self.redis != RedisKind::None;
        let replicated = matches!(self.redis, RedisKind::Sentinel | RedisKind::Cluster);
        for (is_wrong, what) in [
            (
                self.balancing != Balancing::Direct && self.agents > BALANCED_AGENTS_MAX,
                format!("HAProxy here is good for {BALANCED_AGENTS_MAX} agents (--agents)"),
            ),
            (self.case.is_of_redis() && !has_redis, "this case takes a Redis (--redis)".to_owned()),
            (
                self.case == ClusterCase::RedisFailover && !replicated,
                "a failover takes --redis sentinel, or cluster".to_owned(),
            ),
            (
                self.case == ClusterCase::RedisDump && self.redis == RedisKind::Cluster,
                "a dump is of one server: --redis single or valkey".to_owned(),
            ),
            (
                self.onto.is_some_and(|onto| onto > self.nodes)
                    || self.onto.is_some() && self.balancing != Balancing::Direct,
                "--onto takes nodes that are there, and agents that dial them themselves"
                    .to_owned(),
            ),
            (
                self.nodes == 1 && self.ends_a_node(),
                "the agents of a node that ends need another one (--nodes)".to_owned(),
            ),
            (
                self.case == ClusterCase::Cut && (self.nodes == 1 || !has_redis),
                "two nodes that know each other have a way that can be cut (--nodes, --redis)"
                    .to_owned(),
            ),
            (self.asks && self.case != ClusterCase::Push, "--asks is for pushes".to_owned()),
        ] {
            if is_wrong {
                return Err(what);
            }
        }
        Ok(())
    }

    /// How many nodes agents dial at first.
    pub(super) fn serving_at_first(&self) -> u16 {
        if self.onto_from_the_start { self.onto.unwrap_or(self.nodes) } else { self.nodes }
    }

    /// How many nodes there are in the end.
    pub(super) fn nodes_at_most(&self) -> u16 {
        self.nodes + u16::from(self.has_newcomer())
    }

    fn has_newcomer(&self) -> bool {
        match self.case {
            ClusterCase::Join | ClusterCase::Server => true,
            ClusterCase::Push => self.meanwhile == Meanwhile::Join,
            _ => false,
        }
    }

    fn ends_a_node(&self) -> bool {
        match self.case {
            ClusterCase::Kill | ClusterCase::Rolling => true,
            ClusterCase::Push => self.meanwhile == Meanwhile::Drain,
            _ => false,
        }
    }

    /// Whether nodes promise that the server hears nothing new: nothing changes at agents, and the
    /// server neither asks nor forgets.
    pub(super) fn is_unchanged(&self) -> bool {
        self.fleet.changed == 0.0 && !self.asks && self.case != ClusterCase::Server
    }

    /// How long the agents may take to come back: many times what the rate makes of it.
    pub(super) fn patience(&self) -> Duration {
        let all_in = Duration::from_secs_f64(f64::from(self.agents) / self.rate);
        all_in * 4 + self.away.0 + Duration::from_secs(60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cluster: ClusterArgs,
    }

    fn args(line: &str) -> ClusterArgs {
        let words = std::iter::once("cluster").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().cluster
    }

    #[test]
    fn contradictions_are_told() {
        for wrong in [
            "storm --agents 20000 --balancing random",
            "redis-stop --redis none",
            "redis-failover --redis single",
            "redis-dump --redis cluster",
            "kill --nodes 1",
            "storm --nodes 2 --onto 3",
            "push --nodes 1 --meanwhile drain",
            "cut --nodes 1",
            "cut --redis none",
            "storm --asks",
        ] {
            assert!(args(wrong).check().is_err(), "{wrong}");
        }
        for good in ["storm --redis none", "redis-failover --redis sentinel", "join --nodes 1"] {
            args(good).check().unwrap();
        }
        let nodes = |line: &str| args(line).nodes_at_most();
        assert_eq!(["storm", "push", "cut"].map(nodes), [3; 3]);
        assert_eq!(["join", "server", "push --meanwhile join"].map(nodes), [4; 3]);
        assert!(args("storm").is_unchanged() && !args("push --asks").is_unchanged());
    }
}
