//! `loadtest outage`: the server is killed under its agents and comes back empty. What the agents
//! notice of it, and how the server learns everything again.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use seawall::clock;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::{AftermathArgs, FILL_PATIENCE};
use crate::crew::Crew;
use crate::figures::{line, megabytes, round, shown};
use crate::fleet::measured::Measured;
use crate::gateway::Watch;
use crate::human::Human;
use crate::oracle::judge::OracleVerdict;
use crate::stage::{Cast, Stage, StagedAgents, StagedArgs, perform};
use crate::storm::outcome::{GatewayFigures, SERVER_LINES, of_server};
use crate::storm::server::ServerReport;
use crate::storm::{Progress, fill, send_cut};

/// Options of `loadtest outage`.
#[derive(Debug, Args)]
pub(crate) struct OutageArgs {
    #[command(flatten)]
    agents: StagedAgents,
    /// How long the server is away
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    down: Human,
    /// Cut all agents off as well, this long before the server is killed: an outage in a storm
    #[arg(long, value_name = "DURATION")]
    storm_before: Option<Human>,
    #[command(flatten)]
    aftermath: AftermathArgs,
    #[command(flatten)]
    staged: StagedArgs,
}

/// The figures. The keys are an interface.
#[derive(Debug, Default, Serialize)]
struct Outage {
    agents: u64,
    /// Since the server was killed. Connections that `--storm-before` cut are left out: the
    /// instrument closed them.
    connections_closed_by_gateway: u64,
    dials: u64,
    refusals: u64,
    /// Messages that asked an agent for its full state, or for its component map.
    full_state_requests_seen: u64,
    component_requests_seen: u64,
    misrouted: u64,
    malformed: u64,
    /// From the kill until the server answers again.
    seconds_down: f64,
    /// From then until the server was seen to be right about every agent; null if it stayed wrong.
    seconds_to_settled: Option<f64>,
    /// Since the restart, as the server stand-in reports it.
    server: Option<Map<String, Value>>,
    /// `cpu_seconds` from before the kill until the end of the hold.
    gateway: GatewayFigures,
    /// Some of the faults, in words.
    faults: Vec<String>,
}

/// Runs it and prints.
///
/// # Errors
/// When a process fails to start or ends early, agents fail to connect, or the figures cannot be
/// written.
pub(crate) fn run(args: &OutageArgs) -> io::Result<ExitCode> {
    perform(async {
        let mut stage = Stage::start(&args.staged.stage, Cast::Gateway).await?;
        let mut outage = outage(args, &mut stage).await?;
        if let Err(error) = stage.check() {
            outage.faults.push(error.to_string());
        }
        args.staged.figures.publish(&outage, &outage.faults, || tell(&outage))
    })
}

async fn outage(args: &OutageArgs, stage: &mut Stage) -> io::Result<Outage> {
    let agents = args.agents.agents;
    let addresses = stage.storm_args(agents);
    let options = args.staged.fleet.options(&addresses.gateway.targets, agents);
    let mut crew = fill(&options, FILL_PATIENCE, &mut Progress::new()).await?;
    let server = ServerReport::new(&addresses.server_report);
    let before = server.settle(&mut crew, args.aftermath.settle()).await?;
    if !before.verdict.holds() {
        let faults = before.verdict.examples.join("; ");
        return Err(io::Error::other(format!("the server was wrong before the outage: {faults}")));
    }
    let watch = Watch::begin(&addresses.gateway.gateway_metrics).await;
    if let Some(before) = args.storm_before {
        send_cut(&mut crew).await?;
        tokio::time::sleep(before.0).await;
    }
    let start = crew.measured().await?;
    stage.kill_server().await?;
    let killed = clock::now();
    tokio::time::sleep(args.down.0).await;
    stage.restart_server().await?;
    let back = clock::now();
    let settled = server.settle(&mut crew, args.aftermath.settle()).await?;
    let at_settled = watch.sample().await;
    tokio::time::sleep(args.aftermath.hold.0).await;
    // The server must stay right: one more look.
    let last = server.settle(&mut crew, Duration::ZERO).await?;
    let mut outage = Outage {
        seconds_down: round((back - killed).as_secs_f64()),
        seconds_to_settled: settled.at.map(|at| round((at - back).as_secs_f64())),
        gateway: GatewayFigures::between(watch.start, watch.sample().await, agents.into()),
        ..figures(&mut crew, &start).await?
    };
    outage.gateway.with_memory(&watch, at_settled);
    outage.judge(server.counts().await?, last.verdict);
    Ok(outage)
}

/// What the agents have noticed.
async fn figures(crew: &mut Crew, start: &Measured) -> io::Result<Outage> {
    let since = crew.measured().await?.counted_since(start);
    Ok(Outage {
        agents: crew.agents.into(),
        connections_closed_by_gateway: since.closed_by_peer,
        dials: since.dials,
        refusals: since.refusals,
        full_state_requests_seen: since.full_state_requests_seen,
        component_requests_seen: since.component_requests_seen,
        misrouted: since.misrouted,
        malformed: since.malformed,
        ..Outage::default()
    })
}

impl Outage {
    /// Takes in what the server says, and lists the faults.
    fn judge(&mut self, counts: Map<String, Value>, verdict: OracleVerdict) {
        self.server = Some(of_server(counts, &verdict));
        if !verdict.holds() {
            self.faults.push(verdict.in_words());
            self.faults.extend(verdict.examples);
        }
        for (count, what) in [
            (self.connections_closed_by_gateway, "connections were closed on agents"),
            (self.misrouted, "messages reached the wrong agent"),
            (self.malformed, "messages could not be read"),
        ] {
            if count > 0 {
                self.faults.push(format!("{count} {what}"));
            }
        }
    }
}

fn tell(outage: &Outage) {
    line("agents", outage.agents.to_string());
    line("server away for", format!("{} s", outage.seconds_down));
    line("connections closed on agents", outage.connections_closed_by_gateway.to_string());
    line("dials of agents", outage.dials.to_string());
    line("agents asked for full state", outage.full_state_requests_seen.to_string());
    line("agents asked for components", outage.component_requests_seen.to_string());
    for (name, key) in SERVER_LINES {
        let count = outage.server.as_ref().and_then(|counts| counts.get(key)?.as_u64());
        line(name, shown(count, ""));
    }
    line("server: right about all after", shown(outage.seconds_to_settled, " s"));
    line("gateway: memory before", megabytes(outage.gateway.rss_bytes_start));
    line("gateway: memory at most", megabytes(outage.gateway.rss_bytes_peak));
    line("gateway: memory in the end", megabytes(outage.gateway.rss_bytes));
    line("gateway: processor time", shown(outage.gateway.cpu_seconds, " s"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_notice_is_a_fault() {
        let mut outage = Outage { full_state_requests_seen: 7, dials: 3, ..Outage::default() };
        outage.judge(Map::new(), OracleVerdict::default());
        assert!(outage.faults.is_empty(), "{:?}", outage.faults);
        assert_eq!(outage.server.as_ref().unwrap()["agents_missing"], 0);
        outage.connections_closed_by_gateway = 2;
        outage.judge(Map::new(), OracleVerdict { wrong: 1, ..OracleVerdict::default() });
        assert_eq!(outage.faults.len(), 2, "{:?}", outage.faults);
    }
}
