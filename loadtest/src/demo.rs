//! `loadtest demo`: a server, a gateway and a storm on this machine, and a table of what happened,
//! in the words of a reader who sees this for the first time.

use std::io;
use std::process::ExitCode;

use clap::Args;

use crate::figures::shown;
use crate::stage::{Cast, Stage, StageArgs, perform};
use crate::storm::outcome::StormOutcome;
use crate::storm::storm;

/// Options of `loadtest demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many agents
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    agents: u32,
    #[command(flatten)]
    stage: StageArgs,
}

/// Runs it. The processes it starts end with it, also when it is interrupted.
///
/// # Errors
/// When one of them fails to start or ends early.
pub(crate) fn run(args: &DemoArgs) -> io::Result<ExitCode> {
    perform(demo(args))
}

async fn demo(args: &DemoArgs) -> io::Result<ExitCode> {
    println!("Starting an OpAMP server, the Seawall gateway, and {} agents ...", args.agents);
    let mut stage = Stage::start(&args.stage, Cast::Gateway).await?;
    let mut outcome = storm(&stage.storm_args(args.agents)).await?;
    if let Err(error) = stage.check() {
        outcome.faults.push(error.to_string());
    }
    tell(&outcome);
    Ok(if outcome.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(outcome: &StormOutcome) {
    let line = |what: &str, value: String| println!("  {what:<58} {value}");
    let count = |key| shown(outcome.of_server(key), "");
    println!("\nAll connections were cut at one instant, and every agent dialled at once.\n");
    line("agents", outcome.agents.to_string());
    line("half of them were back after", shown(outcome.seconds_to_50, " s"));
    line("99 % were back after", shown(outcome.seconds_to_99, " s"));
    line("all of them were back after", shown(outcome.seconds_to_100, " s"));
    line("how often an agent had to dial, on average", shown(outcome.attempts_mean, ""));
    line("connections the gateway closed", outcome.connections_closed_by_gateway.to_string());
    line("messages the server had to read meanwhile", count("messages"));
    line("  of these, full reports of an agent's state", count("full_states"));
    line("new connections the server saw", count("dials"));
    line("agents the server lost track of (must be 0)", count("agents_missing"));
    line("agents the server is wrong about (must be 0)", count("agents_wrong"));
    line("messages that reached the wrong agent (must be 0)", outcome.misrouted.to_string());
    let memory = outcome.gateway.rss_bytes.map(|bytes| (bytes / 1e6).round());
    line("memory of the gateway", shown(memory, " MB"));
    line("processor time the gateway spent on the storm", shown(outcome.gateway.cpu_seconds, " s"));
    if outcome.faults.is_empty() {
        println!("\nThe server's view of every agent is true.");
    }
    for fault in &outcome.faults {
        println!("\nFAULT: {fault}");
    }
}
