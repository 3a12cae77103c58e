//! `loadtest compare`: one storm twice, the agents dialling the server itself and then the gateway,
//! and what share of the bytes and messages is left.

use std::io;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::figures::{round, shown};
use crate::human::Human;
use crate::stage::{Cast, Stage, StagedAgents, StagedArgs, perform};
use crate::storm::outcome::StormOutcome;
use crate::storm::storm;

/// Options of `loadtest compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    agents: StagedAgents,
    /// How long the agents stay, and are counted, after all are back
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    hold: Human,
    #[command(flatten)]
    staged: StagedArgs,
}

/// The figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct Comparison {
    agents: u32,
    /// What the server read after the cut: from the agents themselves, and from the gateway.
    bytes: CountPair,
    messages: CountPair,
    full_states: CountPair,
    /// The two storms.
    direct: StormOutcome,
    gateway: StormOutcome,
}

/// One count in both storms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct CountPair {
    direct: Option<u64>,
    gateway: Option<u64>,
    /// The count with the gateway as a share of the direct one; null where the direct one is 0.
    percent: Option<f64>,
}

impl CountPair {
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
/// When a process fails to start or ends early, or the figures cannot be written.
pub(crate) fn run(args: &CompareArgs) -> io::Result<ExitCode> {
    perform(async {
        let direct = one(args, Cast::ServerAlone).await?;
        let gateway = one(args, Cast::Gateway).await?;
        let pair = |key| CountPair::new(direct.of_server(key), gateway.of_server(key));
        let comparison = Comparison {
            agents: args.agents.agents,
            bytes: pair("bytes"),
            messages: pair("messages"),
            full_states: pair("full_states"),
            direct,
            gateway,
        };
        let faults = [("direct", &comparison.direct), ("Seawall", &comparison.gateway)];
        let faults: Vec<_> = faults
            .into_iter()
            .flat_map(|(way, storm)| {
                storm.faults.iter().map(move |fault| format!("{way}: {fault}"))
            })
            .collect();
        args.staged.figures.publish(&comparison, &faults, || tell(&comparison))
    })
}

async fn one(args: &CompareArgs, cast: Cast) -> io::Result<StormOutcome> {
    let mut stage = Stage::start(&args.staged.stage, cast).await?;
    let mut storm_args = stage.storm_args(args.agents.agents);
    storm_args.fleet = args.staged.fleet.clone();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_direct_storm() {
        let percent = |direct, gateway| CountPair::new(direct, gateway).percent;
        assert_eq!(percent(Some(200), Some(10)), Some(5.0));
        assert_eq!(percent(Some(3), Some(1)), Some(33.333));
        assert_eq!(percent(Some(135_000_000), Some(0)), Some(0.0));
        assert_eq!(percent(Some(10), Some(20)), Some(200.0));
        // A direct count of 0 has no shares; the same holds for an unknown count.
        assert_eq!(percent(Some(0), Some(0)), None);
        assert_eq!(percent(None, Some(1)), None);
        assert_eq!(percent(Some(1), None), None);
    }
}
