//! The options of a storm.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::conditions::Conditions;
use crate::fleet::agent::Behaviour;
use crate::fleet::manners::Shares;
use crate::fleet::target::Target;
use crate::fleet::{CutWith, Options};
use crate::human::Human;

/// What a fleet is made of: shared by all commands that run one.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArgs {
    /// From which every agent's state follows
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What an agent reports when it reconnects
    #[arg(long, value_enum, default_value = "full-on-reconnect")]
    pub(crate) behaviour: Behaviour,
    /// The agents' heartbeat interval
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) heartbeat: Human,
    /// First dials a second, while the fleet fills
    #[arg(long, default_value_t = 4000.0, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) dial_rate: f64,
    /// The share of agents (0 to 1) whose state changes while they are cut off
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) changed: f64,
    /// How the connections are cut
    #[arg(long, value_enum, default_value = "rst")]
    pub(crate) cut_with: CutWith,
    /// Threads in each process
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
}

impl FleetArgs {
    /// The fleet for these targets.
    pub(crate) fn options(&self, targets: &[Target], agents: u32) -> Options {
        Options {
            seed: self.seed,
            first: 0,
            agents,
            targets: targets.to_vec(),
            behaviour: self.behaviour,
            heartbeat: self.heartbeat,
            dial_rate: self.dial_rate,
            changed: self.changed,
            cut_with: self.cut_with,
            shares: Shares::default(),
            threads: self.threads,
        }
    }
}

/// Options of `loadtest storm`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StormArgs {
    /// Where agents dial; several are used at random, as a balancer would
    #[arg(long = "target", default_value = "ws://127.0.0.1:4320/v1/opamp", value_name = "URL")]
    pub(crate) targets: Vec<Target>,
    /// How many agents
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(crate) agents: u32,
    /// The report of the server stand-in
    #[arg(long, default_value = "http://127.0.0.1:4322", value_name = "URL")]
    pub(crate) server_report: String,
    /// Do without a server stand-in, and so without the oracle
    #[arg(long)]
    pub(crate) no_oracle: bool,
    /// The metrics of a gateway; may be repeated. Without any, its figures are null
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics", value_name = "URL")]
    pub(crate) gateway_metrics: Vec<String>,
    /// Write the figures to this file as JSON (`-`: standard output)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// From just before the cut on, have the server stand-in behave badly: JSON as for its
    /// /misbehave
    #[arg(long, value_name = "JSON", conflicts_with = "no_oracle")]
    pub(crate) misbehave: Option<String>,
    /// Write a line to standard error at each stage (filled, cut, back, settled), for scripts
    #[arg(long)]
    pub(crate) announce: bool,
    /// Stay connected for so long after everybody is back
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub(crate) hold: Human,
    /// Give the server so long to believe the truth
    #[arg(long, default_value = "90s", value_name = "DURATION")]
    pub(crate) settle: Human,
    /// Give the agents so long to fill, and again to come back
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub(crate) timeout: Human,
    #[command(flatten)]
    pub(crate) conditions: Conditions,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

impl StormArgs {
    /// The fleet to be cut off.
    pub(crate) fn options(&self) -> Options {
        let options = self.fleet.options(&self.targets, self.agents);
        Options { shares: self.conditions.shares(), ..options }
    }

    /// Says which stage has been reached, to those who asked for it.
    pub(crate) fn announce(&self, stage: &str) {
        if self.announce {
            eprintln!("{stage}");
        }
    }
}

/// How often the agents are asked how things are.
pub(crate) const POLL: Duration = Duration::from_millis(25);

/// A number above 0.
///
/// # Errors
/// When it is none.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|n| *n > 0.0 && n.is_finite()).ok_or_else(|| format!("`{text}` is not above 0"))
}

/// A share of a whole.
///
/// # Errors
/// When it is none.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|n| (0.0..=1.0).contains(n)).ok_or_else(|| format!("`{text}` is not in 0 to 1"))
}
