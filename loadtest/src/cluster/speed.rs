//! `loadtest cluster-speed`: what several nodes cost beside single ones, in one run.
//!
//! Three parts. A storm at three nodes that share sessions, and the same one at three that know nothing of each other, to
//! which each agent comes back: sessions for each second of processor time. The same load on one node that is alone and
//! on the first of two, so that half of the agents are at home elsewhere: what a node link adds to a round trip. With
//! `--grow`, fleets of one size for each node at three and at eight nodes: what an added agent costs.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use seawall::clock;
use serde::Serialize;

use super::ClusterFigures;
use super::args::ClusterArgs;
use super::node::NodeSample;
use super::scene::Scene;
use crate::crew::Crew;
use crate::figures::{FiguresArgs, line, median, round, shown};
use crate::fleet::load::{LoadKind, LoadOrder, LoadPace};
use crate::fleet::measured::Measured;
use crate::stage::perform;

/// How long replies may come after the last message was sent.
const TAIL: Duration = Duration::from_secs(5);

/// Admissions a second of each node of a fleet that grows: the same with three nodes as with eight.
const GROWING_RATE: u32 = 1_000;

/// Options of `loadtest cluster-speed`.
#[derive(Debug, Args)]
pub(crate) struct SpeedArgs {
    /// Agents of the storm at three nodes
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(3..=18_000))]
    agents: u32,
    /// Connections that these nodes together admit a second: by default as many as two cores carry
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    storm_rate: u32,
    /// How often the storms are measured, in alternation; the figures are medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// How long each part of a load lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Messages a second while latencies are measured
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    load_rate: u32,
    /// Agents that the load is from
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    load_agents: u32,
    /// Nodes that carry the load, of which agents dial the first. With many of them the figures also have what it
    /// costs that each node has a link of its own to the server, and little to send on it at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=8))]
    load_nodes: u16,
    /// Compare fleets that grow with their nodes, too
    #[arg(long)]
    grow: bool,
    /// Agents for each node of a fleet that grows
    #[arg(long, default_value_t = 7_500, value_parser = clap::value_parser!(u32).range(1..=7_500))]
    agents_each: u32,
    #[command(flatten)]
    figures: FiguresArgs,
}

/// The figures. The keys are an interface.
#[derive(Debug, Default, Serialize)]
struct SpeedFigures {
    /// Sessions for each second of the nodes' processor time, and the second over the first.
    single_sessions_per_cpu_second: Option<f64>,
    shared_sessions_per_cpu_second: Option<f64>,
    sessions_ratio: Option<f64>,
    /// Of a round trip on a node that is alone, and on several of which one is dialled.
    single_cpu_us: Option<f64>,
    shared_cpu_us: Option<f64>,
    single_ms_p50: Option<f64>,
    shared_ms_p50: Option<f64>,
    /// What a node link adds to a round trip: of all nodes together, and of its time.
    cross_cpu_us: Option<f64>,
    cross_ms_p50: Option<f64>,
    /// For each agent, of three nodes and of eight; and the second over the first.
    bytes_of_three: Option<f64>,
    bytes_of_eight: Option<f64>,
    memory_ratio: Option<f64>,
    cpu_us_of_three: Option<f64>,
    cpu_us_of_eight: Option<f64>,
    cpu_ratio: Option<f64>,
    faults: Vec<String>,
}

/// Runs it and prints.
///
/// # Errors
/// When a process fails to start or ends early, or agents fail to connect.
pub(crate) fn run(args: &SpeedArgs) -> io::Result<ExitCode> {
    perform(async {
        let mut figures = SpeedFigures::default();
        storms(args, &mut figures).await?;
        loads(args, &mut figures).await?;
        if args.grow {
            grow(args, &mut figures).await?;
        }
        args.figures.publish(&figures, &figures.faults, || figures.tell())
    })
}

/// The options of a cluster, as a line.
fn cluster_args(line: &str) -> ClusterArgs {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cluster: ClusterArgs,
    }
    Line::parse_from(std::iter::once("cluster").chain(line.split_whitespace())).cluster
}

/// What a storm came to.
struct StormCost {
    cpu_seconds_per_agent: Option<f64>,
    rss_bytes_per_agent: Option<f64>,
}

async fn storm(line: &str, figures: &mut SpeedFigures) -> io::Result<StormCost> {
    let args = cluster_args(&format!("storm {line}"));
    args.check().map_err(io::Error::other)?;
    let outcome: ClusterFigures = super::cluster(&args).await?;
    figures.faults.extend(outcome.faults.iter().map(|fault| format!("storm {line}: {fault}")));
    let agents = f64::from(args.agents);
    Ok(StormCost {
        cpu_seconds_per_agent: outcome.cost.nodes_case_cpu_seconds.map(|cpu| cpu / agents),
        rss_bytes_per_agent: outcome.cost.rss_bytes_per_agent,
    })
}

async fn storms(args: &SpeedArgs, figures: &mut SpeedFigures) -> io::Result<()> {
    let (agents, rate) = (args.agents, args.storm_rate);
    let single = format!("--nodes 3 --redis none --choice pinned --agents {agents} --rate {rate}");
    let shared = format!("--nodes 3 --redis single --agents {agents} --rate {rate}");
    let (mut singles, mut shareds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let single = storm(&single, figures).await?.cpu_seconds_per_agent;
        let shared = storm(&shared, figures).await?.cpu_seconds_per_agent;
        singles.push(single.map(f64::recip));
        shareds.push(shared.map(f64::recip));
        ratios.push(single.zip(shared).map(|(single, shared)| single / shared));
    }
    figures.single_sessions_per_cpu_second = median(&singles).map(round);
    figures.shared_sessions_per_cpu_second = median(&shareds).map(round);
    figures.sessions_ratio = median(&ratios).map(round);
    Ok(())
}

async fn grow(args: &SpeedArgs, figures: &mut SpeedFigures) -> io::Result<()> {
    let each = args.agents_each;
    let line = |nodes: u32| {
        let (agents, rate) = (nodes * each, nodes * GROWING_RATE);
        format!("--nodes {nodes} --redis single --agents {agents} --rate {rate}")
    };
    let (three, eight) = (storm(&line(3), figures).await?, storm(&line(8), figures).await?);
    let us = |cost: &StormCost| cost.cpu_seconds_per_agent.map(|seconds| round(seconds * 1e6));
    figures.bytes_of_three = three.rss_bytes_per_agent;
    figures.bytes_of_eight = eight.rss_bytes_per_agent;
    figures.cpu_us_of_three = us(&three);
    figures.cpu_us_of_eight = us(&eight);
    let over = |eight: Option<f64>, three: Option<f64>| {
        eight.zip(three).map(|(eight, three)| round(eight / three))
    };
    figures.memory_ratio = over(figures.bytes_of_eight, figures.bytes_of_three);
    figures.cpu_ratio = over(figures.cpu_us_of_eight, figures.cpu_us_of_three);
    Ok(())
}

async fn loads(args: &SpeedArgs, figures: &mut SpeedFigures) -> io::Result<()> {
    let single = load("--nodes 1 --redis none", args, figures).await?;
    let nodes = args.load_nodes;
    let line = format!("--nodes {nodes} --onto 1 --onto-from-the-start --redis single");
    let shared = load(&line, args, figures).await?;
    let elsewhere = 1.0 - 1.0 / f64::from(nodes);
    figures.single_cpu_us = single.cpu_us.map(round);
    figures.shared_cpu_us = shared.cpu_us.map(round);
    figures.single_ms_p50 = single.ms_p50;
    figures.shared_ms_p50 = shared.ms_p50;
    let more = |shared: Option<f64>, single: Option<f64>| Some(shared? - single?);
    figures.cross_cpu_us = more(shared.cpu_us, single.cpu_us).map(|cpu| round(cpu / elsewhere));
    figures.cross_ms_p50 = more(shared.ms_p50, single.ms_p50).map(round);
    Ok(())
}

/// What a load came to.
struct LoadCost {
    /// Of all nodes for a round trip, as many as go through.
    cpu_us: Option<f64>,
    /// On schedule.
    ms_p50: Option<f64>,
}

async fn load(line: &str, args: &SpeedArgs, figures: &mut SpeedFigures) -> io::Result<LoadCost> {
    let agents = args.load_agents;
    let line = format!("storm {line} --agents {agents} --rate {agents}");
    let mut scene = Scene::set(&cluster_args(&line)).await?;
    let before = scene.node_samples().await;
    let through = part(&mut scene.crew, LoadPace::Closed { depth: 1 }, args.seconds).await?;
    let after = scene.node_samples().await;
    let cpu = NodeSample::cpu_seconds(&before, &after);
    let interval = Duration::from_secs(1) * agents / args.load_rate;
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let on_time = part(&mut scene.crew, LoadPace::Open { interval_us }, args.seconds).await?;
    for (measured, pace) in [(&through, "as much as goes"), (&on_time, "on schedule")] {
        let missing = measured.load_sent.saturating_sub(measured.load_replies);
        if missing > 0 {
            figures.faults.push(format!("{line}: {missing} messages got no reply, {pace}"));
        }
    }
    scene.folder.keep(false);
    Ok(LoadCost {
        cpu_us: cpu.map(|seconds| seconds * 1e6 / through.load_replies.max(1) as f64),
        ms_p50: on_time.load.quantile_ms(0.5),
    })
}

/// One part of a load, and the replies still under way at its end.
async fn part(crew: &mut Crew, pace: LoadPace, seconds: u64) -> io::Result<Measured> {
    let order = LoadOrder { kind: LoadKind::Health, pace, lasts_ms: seconds * 1_000 };
    crew.load(clock::now(), order).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let deadline = clock::now() + TAIL;
    loop {
        let measured = crew.measured().await?;
        if measured.load_replies >= measured.load_sent || clock::now() >= deadline {
            return Ok(measured);
        }
        tokio::time::sleep(super::scene::LOOK).await;
    }
}

impl SpeedFigures {
    fn tell(&self) {
        for (name, value, unit) in [
            ("nodes alone: sessions a CPU second", self.single_sessions_per_cpu_second, ""),
            ("nodes that share: the same", self.shared_sessions_per_cpu_second, ""),
            ("  over nodes alone", self.sessions_ratio, ""),
            ("one node: CPU of a round trip", self.single_cpu_us, " us"),
            ("several nodes: CPU of a round trip", self.shared_cpu_us, " us"),
            ("  for a node link", self.cross_cpu_us, " us"),
            ("one node: round trip, p50", self.single_ms_p50, " ms"),
            ("several nodes: round trip, p50", self.shared_ms_p50, " ms"),
            ("  for a node link", self.cross_ms_p50, " ms"),
            ("three nodes: memory for an agent", self.bytes_of_three, " bytes"),
            ("eight nodes: memory for an agent", self.bytes_of_eight, " bytes"),
            ("three nodes: CPU for an agent", self.cpu_us_of_three, " us"),
            ("eight nodes: CPU for an agent", self.cpu_us_of_eight, " us"),
        ] {
            line(name, shown(value, unit));
        }
    }
}
