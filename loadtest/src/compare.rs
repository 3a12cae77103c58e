//! `loadtest compare`: one storm twice, the agents dialling the server itself and then the gateway,
//! and what share of the bytes and messages is left.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::human::Human;
use crate::stage::{Cast, Stage, StageArgs, perform};
use crate::storm::args::FleetArgs;
use crate::storm::outcome::{Outcome, round, shown};
use crate::storm::storm;

/// Options of `loadtest compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// How many agents
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    agents: u32,
    /// How long the agents stay, and are counted, after everybody is back
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    hold: Human,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    stage: StageArgs,
}

/// The figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct Comparison {
    agents: u32,
    /// What the server read after the cut, without the gateway and with it.
    bytes: Pair,
    messages: Pair,
    full_states: Pair,
    /// The two storms.
    direct: Outcome,
    gateway: Outcome,
}

/// One count in both storms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Pair {
    direct: Option<u64>,
    gateway: Option<u64>,
    /// With the gateway, of what it was without; null where that was nothing.
    percent: Option<f64>,
}

impl Pair {
    fn new(direct: Option<u64>, gateway: Option<u64>) -> Self {
        let percent = direct.zip(gateway).and_then(|(whole, part)| percent(part, whole));
        Self { direct, gateway, percent }
    }
}

/// What share `part` is of `whole`, to a thousandth of a percent.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| round(part as f64 * 100.0 / whole as f64))
}

/// Runs both and prints.
///
/// # Errors
/// When a process cannot be started or ends early, or the file cannot be written.
pub(crate) fn run(args: &CompareArgs) -> io::Result<ExitCode> {
    perform(async {
        let direct = one(args, Cast::ServerAlone).await?;
        let gateway = one(args, Cast::Gateway).await?;
        let pair = |key| Pair::new(direct.of_server(key), gateway.of_server(key));
        let comparison = Comparison {
            agents: args.agents,
            bytes: pair("bytes"),
            messages: pair("messages"),
            full_states: pair("full_states"),
            direct,
            gateway,
        };
        tell(&comparison);
        if let Some(path) = &args.json {
            std::fs::write(path, serde_json::to_string_pretty(&comparison)? + "\n")?;
        }
        let is_faultless =
            comparison.direct.faults.is_empty() && comparison.gateway.faults.is_empty();
        Ok(if is_faultless { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn one(args: &CompareArgs, cast: Cast) -> io::Result<Outcome> {
    let mut stage = Stage::start(&args.stage, cast).await?;
    let mut storm_args = stage.storm_args(args.agents);
    storm_args.fleet = args.fleet.clone();
    storm_args.hold = args.hold;
    let mut outcome = storm(&storm_args).await?;
    if let Err(error) = stage.check() {
        outcome.faults.push(error.to_string());
    }
    Ok(outcome)
}

fn tell(comparison: &Comparison) {
    println!("{} agents, cut off at one instant; what the server got:\n", comparison.agents);
    println!("{:<14} {:>16} {:>16} {:>10}", "", "direct", "through Seawall", "share");
    for (name, pair) in [
        ("bytes", comparison.bytes),
        ("messages", comparison.messages),
        ("full states", comparison.full_states),
    ] {
        println!(
            "{name:<14} {:>16} {:>16} {:>10}",
            shown(pair.direct, ""),
            shown(pair.gateway, ""),
            shown(pair.percent, " %")
        );
    }
    for (name, outcome) in [("direct", &comparison.direct), ("Seawall", &comparison.gateway)] {
        for fault in &outcome.faults {
            println!("\nFAULT ({name}): {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_direct_storm() {
        let percent = |direct, gateway| Pair::new(direct, gateway).percent;
        assert_eq!(percent(Some(200), Some(10)), Some(5.0));
        assert_eq!(percent(Some(3), Some(1)), Some(33.333));
        assert_eq!(percent(Some(135_000_000), Some(0)), Some(0.0));
        assert_eq!(percent(Some(10), Some(20)), Some(200.0));
        // Nothing has no shares, and an unknown count neither.
        assert_eq!(percent(Some(0), Some(0)), None);
        assert_eq!(percent(None, Some(1)), None);
        assert_eq!(percent(Some(1), None), None);
    }
}
