//! Options that several commands share: the fleet, where it dials, how long the oracle waits.
//!
//! Each struct is flattened into the commands that need it, so that one option has one name, one
//! default and one help text.

use std::time::Duration;

use clap::Args;

use crate::fleet::agent::Behaviour;
use crate::fleet::choice::TargetChoice;
use crate::fleet::manners::Shares;
use crate::fleet::target::DialTarget;
use crate::fleet::{CutWith, Options};
use crate::human::Human;

/// What a fleet is made of.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArgs {
    /// Seed of the random generator: the same seed gives the same agents
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
    /// Which of several targets an agent dials
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) choice: TargetChoice,
    /// Threads in each process
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
}

impl FleetArgs {
    /// The fleet for these targets.
    pub(crate) fn options(&self, targets: &[DialTarget], agents: u32) -> Options {
        Options {
            seed: self.seed,
            first: 0,
            agents,
            targets: targets.to_vec(),
            choice: self.choice,
            serving: Vec::new(),
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

/// Where agents dial, and which gateway is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct GatewayArgs {
    /// Where agents dial; may be repeated. With several, each dial chooses one by --choice
    #[arg(long = "target", default_value = "ws://127.0.0.1:4320/v1/opamp", value_name = "URL")]
    pub(crate) targets: Vec<DialTarget>,
    /// The metrics of a gateway, for its memory and processor time; may be repeated
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics", value_name = "URL")]
    pub(crate) gateway_metrics: Vec<String>,
}

/// How long the oracle waits for the truth.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettleArgs {
    /// The longest time in which the server must have the correct state of every agent
    #[arg(long, default_value = "90s", value_name = "DURATION")]
    pub(crate) settle: Human,
}

/// How long a command goes on after what it did to the gateway or its server.
#[derive(Debug, Clone, Args)]
pub(crate) struct AftermathArgs {
    /// How long everything is watched after the server is right about every agent again
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub(crate) hold: Human,
    #[command(flatten)]
    pub(crate) settle: SettleArgs,
}

impl AftermathArgs {
    /// The longest time in which the server must have the correct state of every agent.
    pub(crate) fn settle(&self) -> Duration {
        self.settle.settle.0
    }
}

/// How long the agents of commands with a fixed patience may take to connect.
pub(crate) const FILL_PATIENCE: Duration = Duration::from_secs(120);

/// Reads a number above 0.
///
/// # Errors
/// When the text is something else.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|n| *n > 0.0 && n.is_finite()).ok_or_else(|| format!("`{text}` must be above 0"))
}

/// Reads a share of a whole.
///
/// # Errors
/// When the text is something else.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|n| (0.0..=1.0).contains(n)).ok_or_else(|| format!("`{text}` must be 0 to 1"))
}
