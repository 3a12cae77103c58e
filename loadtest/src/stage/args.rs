//! The options of the commands that start server and gateway themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::FleetArgs;
use crate::figures::FiguresArgs;

/// `poll_interval` of the nodes of a cluster: what a server says must arrive soon.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How the gateway reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpstreamMode {
    /// All agents share a few connections
    Multiplexed,
    /// One connection for each agent
    PerAgent,
    /// POSTs over a few connections
    Http,
}

impl UpstreamMode {
    /// The scheme of the server's URL, and the mode as the configuration has it.
    pub(crate) const fn in_configuration(self) -> (&'static str, &'static str) {
        match self {
            Self::Multiplexed => ("ws", "multiplexed"),
            Self::PerAgent => ("ws", "per-agent"),
            Self::Http => ("http", "http"),
        }
    }

    /// How often the nodes of a cluster ask the server on behalf of each agent, where they do.
    pub(crate) fn polls_each(self) -> Option<Duration> {
        (self == Self::Http).then_some(POLL_INTERVAL)
    }
}

/// Which gateway is started, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct StageArgs {
    /// The gateway's program; by default `seawall` in the folder of this program
    #[arg(long, value_name = "FILE")]
    pub(crate) seawall: Option<PathBuf>,
    /// How the gateway reaches the server
    #[arg(long, value_enum, default_value = "multiplexed")]
    pub(crate) mode: UpstreamMode,
    /// The gateway's `upstream.pace_max`, instead of its default. Its other keys can be set by
    /// SEAWALL_... in the environment
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pace_max: Option<u32>,
    /// Show what server and gateway log
    #[arg(long)]
    pub(crate) verbose: bool,
}

/// What every measurement on a stage of its own takes: the figures' place, the fleet, the processes.
#[derive(Debug, Clone, Args)]
pub(crate) struct StagedArgs {
    #[command(flatten)]
    pub(crate) figures: FiguresArgs,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) stage: StageArgs,
}

/// How many agents a stage has: at most 15,000, because one process has 20,000 descriptors here.
#[derive(Debug, Clone, Args)]
pub(crate) struct StagedAgents {
    /// How many agents
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) agents: u32,
}
