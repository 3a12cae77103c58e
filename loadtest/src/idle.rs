//! `loadtest idle`: what an idle agent costs the gateway, and whether that grows with the number of
//! agents.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::args::{FleetArgs, GatewayArgs};
use crate::figures::{FiguresArgs, round, shown};
use crate::gateway::{self, GatewaySample};
use crate::human::Human;
use crate::storm::{Progress, fill};

/// Options of `loadtest idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// How many agents to measure at, rising; the agents of one step stay for the next
    #[arg(long, default_value = "1000,15000", value_delimiter = ',', value_name = "N,N,...")]
    agents: Vec<u32>,
    /// How long to let things come to rest before each measurement
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    rest: Human,
    /// Over how long processor time is measured; heartbeats go on meanwhile
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    watch: Human,
    #[command(flatten)]
    figures: FiguresArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// The figures of one step.
#[derive(Debug, Serialize)]
struct IdleStep {
    agents: u32,
    rss_bytes: f64,
    /// Over the gateway's memory before the first agent.
    rss_bytes_per_agent: f64,
    /// Of it, the content store's part; null unless the gateway tells it.
    store_bytes_per_agent: Option<f64>,
    /// The rest of it: session, task and socket.
    session_bytes_per_agent: Option<f64>,
    /// Of the agents added in this step.
    rss_bytes_per_added_agent: f64,
    /// Of it, the content store's part.
    store_bytes_per_added_agent: Option<f64>,
    /// The rest of it.
    session_bytes_per_added_agent: Option<f64>,
    cpu_us_per_agent_second: f64,
}

/// Measures and prints.
///
/// # Errors
/// When the gateway is absent, or agents fail to connect.
pub(crate) fn run(args: &IdleArgs) -> io::Result<ExitCode> {
    if args.agents.is_empty() || !args.agents.is_sorted_by(|a, b| a < b) || args.agents[0] == 0 {
        return Err(io::Error::other("--agents must rise, for example 1000,15000"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let steps = runtime.block_on(measure(args))?;
    args.figures.publish(&steps, &[], || print(&steps))
}

fn print(steps: &[IdleStep]) {
    println!("Bytes an agent; in brackets: content store + session, task and socket");
    println!("{:>8} {:>24} {:>24} {:>16}", "agents", "of all", "of those added", "CPU us/agent/s");
    let split = |all: f64, store: Option<f64>, session: Option<f64>| {
        let part = |part: Option<f64>| shown(part.map(f64::round), "");
        format!("{} ({} + {})", all.round(), part(store), part(session))
    };
    for step in steps {
        let all = (step.rss_bytes_per_agent, step.store_bytes_per_agent);
        let added = (step.rss_bytes_per_added_agent, step.store_bytes_per_added_agent);
        println!(
            "{:>8} {:>24} {:>24} {:>16}",
            step.agents,
            split(all.0, all.1, step.session_bytes_per_agent),
            split(added.0, added.1, step.session_bytes_per_added_agent),
            step.cpu_us_per_agent_second
        );
    }
    let growth = steps
        .first()
        .zip(steps.last())
        .map(|(first, last)| round(last.rss_bytes_per_agent / first.rss_bytes_per_agent.max(1.0)));
    println!("memory per agent, last to first: {}", shown(growth, ""));
}

/// What each of `agents` has taken between two samples: in all, in the store, and apart from it.
fn per_agent(
    before: GatewaySample,
    after: GatewaySample,
    agents: u32,
) -> (f64, Option<f64>, Option<f64>) {
    let each = |bytes: f64| bytes / f64::from(agents);
    let all = each(after.rss_bytes - before.rss_bytes);
    let store = after.store_bytes.zip(before.store_bytes);
    let store = store.map(|(after, before)| each(after - before));
    (round(all), store.map(round), store.map(|store| round(all - store)))
}

async fn measure(args: &IdleArgs) -> io::Result<Vec<IdleStep>> {
    let sample = async || {
        let no_gateway =
            || io::Error::other("no gateway answers at --gateway-metrics with its memory");
        gateway::sample(&args.gateway.gateway_metrics).await.ok_or_else(no_gateway)
    };
    let empty = sample().await?;
    let mut before = empty;
    let mut crews = Vec::new();
    let mut steps = Vec::new();
    let mut present = 0;
    for agents in &args.agents {
        let mut options = args.fleet.options(&args.gateway.targets, agents - present);
        options.first = present;
        crews.push(fill(&options, Duration::from_secs(600), &mut Progress::new()).await?);
        tokio::time::sleep(args.rest.0).await;
        let start = sample().await?;
        tokio::time::sleep(args.watch.0).await;
        let end = sample().await?;
        let cpu = (end.cpu_seconds - start.cpu_seconds) / args.watch.0.as_secs_f64().max(1e-3);
        let of_all = per_agent(empty, end, *agents);
        let of_added = per_agent(before, end, agents - present);
        steps.push(IdleStep {
            agents: *agents,
            rss_bytes: end.rss_bytes,
            rss_bytes_per_agent: of_all.0,
            store_bytes_per_agent: of_all.1,
            session_bytes_per_agent: of_all.2,
            rss_bytes_per_added_agent: of_added.0,
            store_bytes_per_added_agent: of_added.1,
            session_bytes_per_added_agent: of_added.2,
            cpu_us_per_agent_second: round(cpu * 1e6 / f64::from(*agents)),
        });
        before = end;
        present = *agents;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_split_where_the_store_is_known() {
        let sample =
            |rss_bytes, store_bytes| GatewaySample { rss_bytes, cpu_seconds: 0.0, store_bytes };
        let (before, after) = (sample(1000.0, Some(100.0)), sample(4000.0, Some(1100.0)));
        assert_eq!(per_agent(before, after, 10), (300.0, Some(100.0), Some(200.0)));
        assert_eq!(per_agent(before, sample(4000.0, None), 10), (300.0, None, None));
    }
}
