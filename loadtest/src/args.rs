//! Options that several commands share: the fleet, where it dials, how long the oracle waits.
//!
//! Each struct is flattened into the commands that need it, so that one option has one name, one
//! default and one help text.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::fleet::agent::Behaviour;
use crate::fleet::choice::TargetChoice;
use crate::fleet::clients::ClientKind;
use crate::fleet::clients::habits::Transport;
use crate::fleet::clients::shares::ClientShares;
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
            clients: ClientShares::plain(self.behaviour),
            connections: 0,
            storms_at_start: false,
            after_outage: Human(Duration::ZERO),
            heartbeat: self.heartbeat,
            dial_rate: self.dial_rate,
            changed: self.changed,
            cut_with: self.cut_with,
            shares: Shares::default(),
            threads: self.threads,
        }
    }
}

/// Which stock clients the agents behave as.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClientArgs {
    /// Agents behave exactly as this stock client (docs/FIELD-NOTES.md). Without it they behave as
    /// opamp-go does, and say that they are this program
    #[arg(long, value_enum, conflicts_with = "clients")]
    pub(crate) client: Option<ClientKind>,
    /// A mix of them: a TOML file of clients and their shares, such as loadtest/clients/field.toml
    #[arg(long, value_name = "FILE", conflicts_with = "transport")]
    pub(crate) clients: Option<PathBuf>,
    /// How they speak; by default as --client is known to. Alone, it is for opamp-go
    #[arg(long, value_enum)]
    pub(crate) transport: Option<Transport>,
    /// Agents over HTTP share this many connections, as behind a proxy; 0: each has its own
    #[arg(long, default_value_t = 0)]
    pub(crate) connections: u16,
}

impl ClientArgs {
    /// Whether any is named.
    pub(crate) const fn are_named(&self) -> bool {
        self.client.is_some() || self.clients.is_some() || self.transport.is_some()
    }

    /// The fleet with these clients.
    ///
    /// # Errors
    /// When the file is malformed, or a client does not speak in this way.
    pub(crate) fn apply(&self, fleet: Options) -> io::Result<Options> {
        let invalid = |fault| io::Error::new(io::ErrorKind::InvalidInput, fault);
        let clients = match (&self.clients, self.client) {
            (Some(path), _) => ClientShares::read(path),
            (None, Some(kind)) => ClientShares::all(kind, self.transport),
            (None, None) if self.transport.is_some() => {
                ClientShares::all(ClientKind::OpampGo, self.transport)
            }
            (None, None) => Ok(fleet.clients),
        };
        let clients = clients.map_err(invalid)?;
        Ok(Options { clients, connections: self.connections, ..fleet })
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
