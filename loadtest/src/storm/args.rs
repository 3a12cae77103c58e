//! The options of a storm.

use std::io;
use std::time::Duration;

use clap::Args;

use super::conditions::{Beginning, Conditions};
use super::moves::MoveArgs;
use crate::args::{ClientArgs, FleetArgs, GatewayArgs, SettleArgs};
use crate::figures::FiguresArgs;
use crate::fleet::Options;
use crate::human::Human;

/// Options of `loadtest storm`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StormArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// How many agents
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(crate) agents: u32,
    /// The report of the server stand-in
    #[arg(long, default_value = "http://127.0.0.1:4322", value_name = "URL")]
    pub(crate) server_report: String,
    /// Run without a server stand-in, and so without the oracle
    #[arg(long)]
    pub(crate) no_oracle: bool,
    #[command(flatten)]
    pub(crate) figures: FiguresArgs,
    /// Let the server stand-in misbehave from just before the cut on: JSON as for its /misbehave
    #[arg(long, value_name = "JSON", conflicts_with = "no_oracle")]
    pub(crate) misbehave: Option<String>,
    /// Write a line to standard error at each stage (filled, cut, back, settled), for scripts
    #[arg(long)]
    pub(crate) announce: bool,
    /// Stay connected this long after all agents are back
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub(crate) hold: Human,
    #[command(flatten)]
    pub(crate) settle: SettleArgs,
    /// The longest time in which all agents must connect, and again in which all must be back
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub(crate) timeout: Human,
    #[command(flatten)]
    pub(crate) conditions: Conditions,
    #[command(flatten)]
    pub(crate) moves: MoveArgs,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) clients: ClientArgs,
}

impl StormArgs {
    /// The fleet that comes.
    ///
    /// # Errors
    /// When the clients wanted are none, or an outage is wanted before a storm that begins with a cut.
    pub(crate) fn options(&self) -> io::Result<Options> {
        let Conditions { begin, after_outage, .. } = self.conditions;
        if begin == Beginning::Cut && !after_outage.0.is_zero() {
            let fault =
                "--after-outage is of agents that come back from it: it wants --begin start";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
        }
        let options = self.fleet.options(&self.gateway.targets, self.agents);
        let options = self.clients.apply(options)?;
        Ok(Options { shares: self.conditions.shares(), ..options })
    }

    /// Says which stage has been reached, if `--announce` asks for it.
    pub(crate) fn announce(&self, stage: &str) {
        if self.announce {
            eprintln!("{stage}");
        }
    }
}

/// How often the agents are asked how things are.
pub(crate) const POLL: Duration = Duration::from_millis(25);
