//! `loadtest idle`: what an agent that does nothing costs the gateway, and whether that grows with
//! their number.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::fleet::target::Target;
use crate::gateway;
use crate::human::Human;
use crate::storm::args::FleetArgs;
use crate::storm::outcome::{round, shown};
use crate::storm::{Progress, fill};

/// Options of `loadtest idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// Where agents dial
    #[arg(long = "target", default_value = "ws://127.0.0.1:4320/v1/opamp", value_name = "URL")]
    targets: Vec<Target>,
    /// How many agents to measure at, rising; those of one step stay for the next
    #[arg(long, default_value = "1000,15000", value_delimiter = ',', value_name = "N,N,...")]
    agents: Vec<u32>,
    /// The metrics of a gateway that has just been started; may be repeated
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics", value_name = "URL")]
    gateway_metrics: Vec<String>,
    /// How long to let things come to rest before each measurement
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    rest: Human,
    /// Over how long processor time is measured; heartbeats go on meanwhile
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    watch: Human,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// The figures of one step.
#[derive(Debug, Serialize)]
struct Step {
    agents: u32,
    rss_bytes: f64,
    /// Over the gateway's memory before the first agent.
    rss_bytes_per_agent: f64,
    /// Of the agents added in this step.
    rss_bytes_per_added_agent: f64,
    cpu_us_per_agent_second: f64,
}

/// Measures and prints.
///
/// # Errors
/// When there is no gateway to ask, or agents do not get in.
pub(crate) fn run(args: &IdleArgs) -> io::Result<ExitCode> {
    if args.agents.is_empty() || !args.agents.is_sorted_by(|a, b| a < b) || args.agents[0] == 0 {
        return Err(io::Error::other("--agents must rise, for example 1000,15000"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let steps = runtime.block_on(measure(args))?;
    println!(
        "{:>8} {:>14} {:>14} {:>20}",
        "agents", "bytes/agent", "bytes/added", "CPU us/agent/s"
    );
    for step in &steps {
        println!(
            "{:>8} {:>14} {:>14} {:>20}",
            step.agents,
            step.rss_bytes_per_agent.round(),
            step.rss_bytes_per_added_agent.round(),
            step.cpu_us_per_agent_second
        );
    }
    let growth = steps
        .first()
        .zip(steps.last())
        .map(|(first, last)| round(last.rss_bytes_per_agent / first.rss_bytes_per_agent.max(1.0)));
    println!("memory per agent, last to first: {}", shown(growth, ""));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&steps)? + "\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &IdleArgs) -> io::Result<Vec<Step>> {
    let sample = async || {
        let nobody = || io::Error::other("no gateway answers at --gateway-metrics with its memory");
        gateway::sample(&args.gateway_metrics).await.ok_or_else(nobody)
    };
    let empty = sample().await?;
    let mut before = empty;
    let mut crews = Vec::new();
    let mut steps = Vec::new();
    let mut present = 0;
    for agents in &args.agents {
        let mut options = args.fleet.options(&args.targets, agents - present);
        options.first = present;
        crews.push(fill(&options, Duration::from_secs(600), &mut Progress::new()).await?);
        tokio::time::sleep(args.rest.0).await;
        let start = sample().await?;
        tokio::time::sleep(args.watch.0).await;
        let end = sample().await?;
        let cpu = (end.cpu_seconds - start.cpu_seconds) / args.watch.0.as_secs_f64().max(1e-3);
        steps.push(Step {
            agents: *agents,
            rss_bytes: end.rss_bytes,
            rss_bytes_per_agent: round((end.rss_bytes - empty.rss_bytes) / f64::from(*agents)),
            rss_bytes_per_added_agent: round(
                (end.rss_bytes - before.rss_bytes) / f64::from(agents - present),
            ),
            cpu_us_per_agent_second: round(cpu * 1e6 / f64::from(*agents)),
        });
        before = end;
        present = *agents;
    }
    Ok(steps)
}
