//! `loadtest yardstick`: what the machine can do at best, measured in the same run and by the same
//! agents as the gateway, so that the ratio means something on any machine.

mod bare;
mod echo;
mod skip;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::args::FleetArgs;
use crate::children::{ChildProcess, Output};
use crate::figures::{FiguresArgs, round, shown};
use crate::fleet::load::{LoadKind, LoadOrder, LoadPace};
use crate::fleet::target::DialTarget;
use crate::storm::outcome::StormOutcome;
use crate::storm::{self, Progress};
use crate::{gateway, procfs};

/// Options of `loadtest yardstick`.
#[derive(Debug, Args)]
pub(crate) struct YardstickArgs {
    /// How many agents: 10000 for sessions, 100 with --echo
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    agents: Option<u32>,
    /// Measure heartbeats a second against an echo, instead of sessions against the bare loop
    #[arg(long)]
    echo: bool,
    /// Measure this gateway as well, in alternation, and print the ratio: ws://127.0.0.1:4320/v1/opamp
    #[arg(long, value_name = "URL")]
    compare: Option<DialTarget>,
    /// The metrics of what is compared, for its processor time
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics", value_name = "URL")]
    gateway_metrics: Vec<String>,
    /// How many times each is measured; the figure is the median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each echo measurement lasts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    figures: FiguresArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Options of the hidden command that runs a yardstick's server.
#[derive(Debug, Args)]
pub(crate) struct BareArgs {
    /// The echo instead of the bare loop
    #[arg(long)]
    echo: bool,
    #[arg(long, default_value_t = 2)]
    threads: u16,
}

/// What one round found.
#[derive(Debug, Clone, Copy)]
struct YardstickRound {
    per_second: f64,
    /// The server's processor time for each session or heartbeat.
    cpu_us_each: Option<f64>,
}

/// The figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct YardstickFigures {
    /// What is counted: `sessions` or `heartbeats`.
    what: &'static str,
    agents: u32,
    /// The bare loop, or the echo.
    yardstick: Measure,
    /// What `--compare` names; null if it is absent.
    compared: Option<Measure>,
    /// `compared` over `yardstick`, by their medians; null if `--compare` is absent.
    ratio: Option<f64>,
}

/// One server's rounds and their median.
#[derive(Debug, Serialize)]
struct Measure {
    per_second: f64,
    /// Of the round with the median rate; null where the server's processor time is unknown.
    cpu_us_each: Option<f64>,
    /// Each round, in the order in which they were run.
    per_second_rounds: Vec<f64>,
    cpu_us_each_rounds: Vec<Option<f64>>,
}

/// Patience with fills and returns.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between rounds, so that the closes of one round are done before the next begins.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures and prints.
///
/// # Errors
/// When a server fails to start or agents fail to connect.
pub(crate) fn run(args: &YardstickArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(measure(args))?;
    args.figures.publish(&figures, &[], || figures.print())
}

async fn measure(args: &YardstickArgs) -> io::Result<YardstickFigures> {
    let mut arguments = vec!["bare".to_owned()];
    arguments.extend(args.echo.then(|| "--echo".to_owned()));
    let this = std::env::current_exe()?;
    let mut child = ChildProcess::start("yardstick", &this, &arguments, &[], Output::Line)?;
    let port = child.line().await?;
    let yardstick: DialTarget =
        format!("ws://127.0.0.1:{port}/v1/opamp").parse().map_err(io::Error::other)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        ours.push(round_of(args, &yardstick, Some(child.id())).await?);
        tokio::time::sleep(PAUSE).await;
        if let Some(target) = &args.compare {
            theirs.push(round_of(args, target, None).await?);
            tokio::time::sleep(PAUSE).await;
        }
    }
    let yardstick = Measure::of(&ours);
    let compared = args.compare.is_some().then(|| Measure::of(&theirs));
    let over = |compared: &Measure| {
        round(compared.per_second / yardstick.per_second.max(f64::MIN_POSITIVE))
    };
    Ok(YardstickFigures {
        what: if args.echo { "heartbeats" } else { "sessions" },
        agents: args.agents(),
        ratio: compared.as_ref().map(over),
        yardstick,
        compared,
    })
}

impl YardstickArgs {
    fn agents(&self) -> u32 {
        self.agents.unwrap_or(if self.echo { 100 } else { 10_000 })
    }
}

impl YardstickFigures {
    fn print(&self) {
        let name = if self.what == "sessions" { "bare loop" } else { "echo" };
        self.yardstick.print(name, self.what);
        if let Some(compared) = &self.compared {
            compared.print("compared", self.what);
        }
        if let Some(ratio) = self.ratio {
            println!("ratio      {ratio}");
        }
    }
}

impl Measure {
    /// Of at least one round; the upper of the two middle ones where their number is even.
    fn of(rounds: &[YardstickRound]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let median = sorted[sorted.len() / 2];
        Self {
            per_second: round(median.per_second),
            cpu_us_each: median.cpu_us_each.map(round),
            per_second_rounds: rounds.iter().map(|one| round(one.per_second)).collect(),
            cpu_us_each_rounds: rounds.iter().map(|one| one.cpu_us_each.map(round)).collect(),
        }
    }

    fn print(&self, name: &str, what: &str) {
        let rounds: Vec<_> = self.per_second_rounds.iter().map(|rate| rate.round()).collect();
        println!(
            "{name:<10} {} {what}/s, {} of server CPU each; rounds {rounds:?}",
            self.per_second.round(),
            shown(self.cpu_us_each, " us")
        );
    }
}

async fn round_of(
    args: &YardstickArgs,
    target: &DialTarget,
    pid: Option<u32>,
) -> io::Result<YardstickRound> {
    let targets = std::slice::from_ref(target);
    let agents = args.agents();
    let options = args.fleet.options(targets, agents);
    let mut progress = Progress::new();
    let mut crew = storm::fill(&options, PATIENCE, &mut progress).await?;
    let cpu = async || match pid {
        Some(pid) => procfs::cpu_seconds(pid),
        None => gateway::sample(&args.gateway_metrics).await.map(|sample| sample.cpu_seconds),
    };
    let start = cpu().await;
    let (count, per_second) = if args.echo {
        let order = LoadOrder {
            kind: LoadKind::Heartbeats,
            pace: LoadPace::Closed { depth: 1 },
            lasts_ms: args.seconds * 1000,
        };
        crew.load(seawall::clock::now(), order).await?;
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        let replies = crew.measured().await?.load_replies;
        (replies, replies as f64 / args.seconds as f64)
    } else {
        storm::send_cut(&mut crew).await?;
        storm::wait_until_back(&mut crew, PATIENCE, &mut progress).await?;
        let outcome = StormOutcome::new(options.census(), crew.measured().await?);
        let rate = outcome.sessions_per_second;
        let rate = rate.ok_or_else(|| io::Error::other("not all agents came back in time"))?;
        (agents.into(), rate)
    };
    let used = start.zip(cpu().await).map(|(start, end)| end - start);
    Ok(YardstickRound { per_second, cpu_us_each: used.map(|s| s * 1e6 / count.max(1) as f64) })
}

/// Runs the server of a yardstick until standard input ends: `loadtest bare`. Writes its port.
///
/// # Errors
/// When the port is taken.
pub(crate) fn run_bare(args: &BareArgs) -> io::Result<()> {
    let first = bare::listen(0)?;
    let address = first.local_addr()?.as_socket();
    let port = address.ok_or_else(|| io::Error::other("no port"))?.port();
    let mut listeners = vec![first];
    for _ in 1..args.threads.max(1) {
        listeners.push(bare::listen(port)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.threads.max(1)))
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    for listener in listeners {
        if args.echo {
            runtime.spawn(echo::accept(tokio::net::TcpListener::from_std(listener.into())?));
        } else {
            std::thread::spawn(move || {
                if let Err(error) = bare::serve(&listener) {
                    eprintln!("loadtest: the bare loop: {error}");
                }
            });
        }
    }
    println!("{port}");
    // The parent holds the other end, so this ends with the parent, however that ends.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_round_gives_both_figures_and_the_order_stays() {
        let one = |per_second, us| YardstickRound { per_second, cpu_us_each: Some(us) };
        let measure = Measure::of(&[one(300.0, 1.0), one(100.0, 9.0), one(200.0, 5.0)]);
        assert_eq!((measure.per_second, measure.cpu_us_each), (200.0, Some(5.0)));
        assert_eq!(measure.per_second_rounds, [300.0, 100.0, 200.0]);
    }
}
