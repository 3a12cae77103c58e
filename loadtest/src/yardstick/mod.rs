//! `loadtest yardstick`: what the machine can do at best, measured in the same run and by the same
//! agents as the gateway, so that the ratio means something on any machine.

mod bare;
mod echo;
mod skip;

use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::children::{Kept, Output};
use crate::fleet::load::{LoadKind, LoadOrder, Pace};
use crate::fleet::target::Target;
use crate::storm::args::FleetArgs;
use crate::storm::outcome::{Outcome, round, shown};
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
    /// Measure this as well, in turns, and print the ratio: ws://127.0.0.1:4320/v1/opamp
    #[arg(long, value_name = "URL")]
    compare: Option<Target>,
    /// The metrics of what is compared, for its processor time
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics", value_name = "URL")]
    gateway_metrics: Vec<String>,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each echo measurement lasts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
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

/// What one round found: how many a second, and the server's processor time for each.
#[derive(Debug, Clone, Copy)]
struct Round {
    per_second: f64,
    cpu_us_each: Option<f64>,
}

/// Patience with fills and returns.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between rounds, so that one's closes are not the next one's work.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures and prints.
///
/// # Errors
/// When a server cannot be started or agents do not get in.
pub(crate) fn run(args: &YardstickArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &YardstickArgs) -> io::Result<()> {
    let mut arguments = vec!["bare".to_owned()];
    arguments.extend(args.echo.then(|| "--echo".to_owned()));
    let this = std::env::current_exe()?;
    let mut child = Kept::start("yardstick", &this, &arguments, &[], Output::Line)?;
    let port = child.line().await?;
    let yardstick: Target =
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
    let what = if args.echo { "heartbeats" } else { "sessions" };
    let ours = show(if args.echo { "echo" } else { "bare loop" }, what, &mut ours);
    if args.compare.is_some() {
        let theirs = show("compared", what, &mut theirs);
        println!("ratio      {}", round(theirs / ours.max(f64::MIN_POSITIVE)));
    }
    Ok(())
}

/// Prints the median and each round; returns the median rate.
fn show(name: &str, what: &str, rounds: &mut [Round]) -> f64 {
    let each: Vec<_> = rounds.iter().map(|round| round.per_second.round()).collect();
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let median = rounds[rounds.len() / 2];
    println!(
        "{name:<10} {} {what}/s, {} of server CPU each; rounds {each:?}",
        median.per_second.round(),
        shown(median.cpu_us_each.map(round), " us")
    );
    median.per_second
}

async fn round_of(args: &YardstickArgs, target: &Target, pid: Option<u32>) -> io::Result<Round> {
    let targets = std::slice::from_ref(target);
    let agents = args.agents.unwrap_or(if args.echo { 100 } else { 10_000 });
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
            pace: Pace::Closed { depth: 1 },
            lasts_ms: args.seconds * 1000,
        };
        crew.load(seawall::clock::now(), order).await?;
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        let replies = crew.measured().await?.load_replies;
        (replies, replies as f64 / args.seconds as f64)
    } else {
        storm::send_cut(&mut crew).await?;
        storm::wait_until_back(&mut crew, PATIENCE, &mut progress).await?;
        let outcome = Outcome::new(options.census(), crew.measured().await?);
        let rate = outcome.sessions_per_second;
        let rate = rate.ok_or_else(|| io::Error::other("not all agents came back in time"))?;
        (agents.into(), rate)
    };
    let used = start.zip(cpu().await).map(|(start, end)| end - start);
    Ok(Round { per_second, cpu_us_each: used.map(|s| s * 1e6 / count.max(1) as f64) })
}

/// Runs the server of a yardstick until standard input ends: `loadtest bare`. Writes its port.
///
/// # Errors
/// When it cannot listen.
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

/// A port that is free now.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
