//! `loadtest roundtrip`: messages that a gateway must forward, and the server's own reply to each.
//!
//! Two parts in one run. First each agent sends as soon as it has its reply: the most that goes
//! through, and the gateway's processor time for it. Then the agents send on schedule at half that
//! rate: the latency, from the instant each message was meant to be sent.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::args::{FILL_PATIENCE, FleetArgs, GatewayArgs};
use crate::crew::Crew;
use crate::figures::{FiguresArgs, line, round, shown};
use crate::fleet::load::{LoadKind, LoadOrder, LoadPace};
use crate::fleet::measured::Measured;
use crate::gateway;
use crate::storm::{Progress, fill};

/// Options of `loadtest roundtrip`.
#[derive(Debug, Args)]
pub(crate) struct RoundtripArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// How many agents
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    agents: u32,
    /// How long each of the two parts lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Messages a second in the second part, instead of half of what went through in the first
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Messages of each agent under way at once in the first part
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    depth: u32,
    /// Send heartbeats, which a gateway may answer itself, instead of changed health
    #[arg(long)]
    heartbeats: bool,
    #[command(flatten)]
    figures: FiguresArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// The figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct RoundtripFigures {
    agents: u32,
    round_trips_per_second: f64,
    gateway_cpu_us_per_round_trip: Option<f64>,
    client_cpu_us_per_round_trip: f64,
    /// Of the first part: it tells how long the queue is. How quick the gateway is stands in the
    /// second part.
    saturated_ms_p50: Option<f64>,
    saturated_ms_p99: Option<f64>,
    /// Of the second part.
    rate_per_second: f64,
    latency_ms_p50: Option<f64>,
    latency_ms_p99: Option<f64>,
    latency_ms_max: Option<f64>,
    unanswered: u64,
    misrouted: u64,
}

/// How long replies may come after the last message was sent.
const TAIL: Duration = Duration::from_secs(5);

/// Measures and prints.
///
/// # Errors
/// When agents fail to connect, or the figures cannot be written.
pub(crate) fn run(args: &RoundtripArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(measure(args))?;
    let faults = figures.faults();
    args.figures.publish(&figures, &faults, || figures.print())
}

impl RoundtripFigures {
    /// What must be 0 and is more, in words.
    fn faults(&self) -> Vec<String> {
        let counts = [
            (self.unanswered, "messages got no reply"),
            (self.misrouted, "messages went to the wrong agent"),
        ];
        let bad = counts.iter().filter(|(count, _)| *count > 0);
        bad.map(|(count, fault)| format!("{count} {fault}")).collect()
    }

    fn print(&self) {
        line("agents", self.agents);
        line("round trips per second", self.round_trips_per_second);
        line("gateway CPU per round trip", shown(self.gateway_cpu_us_per_round_trip, " us"));
        let client = format!("{} us", self.client_cpu_us_per_round_trip);
        line("load generator CPU per round trip", client);
        line("saturated, p50", shown(self.saturated_ms_p50, " ms"));
        line("saturated, p99", shown(self.saturated_ms_p99, " ms"));
        line("then on schedule, per second", self.rate_per_second);
        line("latency, p50", shown(self.latency_ms_p50, " ms"));
        line("latency, p99", shown(self.latency_ms_p99, " ms"));
        line("latency, longest", shown(self.latency_ms_max, " ms"));
    }
}

async fn measure(args: &RoundtripArgs) -> io::Result<RoundtripFigures> {
    let options = args.fleet.options(&args.gateway.targets, args.agents);
    let mut crew = fill(&options, FILL_PATIENCE, &mut Progress::new()).await?;
    // What the first reports set going ends before the measurement.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = gateway::sample(&args.gateway.gateway_metrics).await;
    let cpu_start = crew.cpu_seconds().await?;
    let closed = part(args, &mut crew, LoadPace::Closed { depth: args.depth }).await?;
    let cpu = crew.cpu_seconds().await? - cpu_start;
    let end = gateway::sample(&args.gateway.gateway_metrics).await;
    let replies = closed.load_replies.max(1) as f64;
    let through = closed.load_replies as f64 / args.seconds as f64;
    let rate = args.rate.map_or(through / 2.0, f64::from).max(0.1);
    let interval = Duration::from_secs_f64(f64::from(args.agents) / rate);
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let open = part(args, &mut crew, LoadPace::Open { interval_us }).await?;
    Ok(RoundtripFigures {
        agents: args.agents,
        round_trips_per_second: round(through),
        gateway_cpu_us_per_round_trip: start
            .zip(end)
            .map(|(start, end)| round((end.cpu_seconds - start.cpu_seconds) * 1e6 / replies)),
        client_cpu_us_per_round_trip: round(cpu * 1e6 / replies),
        saturated_ms_p50: closed.load.quantile_ms(0.5),
        saturated_ms_p99: closed.load.quantile_ms(0.99),
        rate_per_second: round(rate),
        latency_ms_p50: open.load.quantile_ms(0.5),
        latency_ms_p99: open.load.quantile_ms(0.99),
        latency_ms_max: open.load.quantile_ms(1.0),
        unanswered: open.load_sent.saturating_sub(open.load_replies)
            + closed.load_sent.saturating_sub(closed.load_replies),
        misrouted: open.misrouted,
    })
}

/// One part: the load, then the replies still under way.
async fn part(args: &RoundtripArgs, crew: &mut Crew, pace: LoadPace) -> io::Result<Measured> {
    let kind = if args.heartbeats { LoadKind::Heartbeats } else { LoadKind::Health };
    let order = LoadOrder { kind, pace, lasts_ms: args.seconds * 1000 };
    crew.load(seawall::clock::now(), order).await?;
    let duration = Duration::from_secs(args.seconds);
    tokio::time::sleep(duration).await;
    let deadline = seawall::clock::now() + TAIL;
    loop {
        let measured = crew.measured().await?;
        if measured.load_replies >= measured.load_sent || seawall::clock::now() >= deadline {
            return Ok(measured);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
