//! The `seawall` command: arguments, runtime, signals, exit code. `seawall::gateway` knows what a
//! gateway is made of.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use seawall::admin::cluster;
use seawall::clock;
use seawall::config::{self, Config, Mistakes};
use seawall::gateway::limits;
use seawall::gateway::reload::{Orders, Reloader};
use seawall::ownership::StoreError;
use seawall::ownership::params::SharedStore;
use seawall::ownership::redis::{Finding, Inspection, RedisStore};
use seawall::telemetry::logging::Logging;
use seawall::telemetry::{self, logging};
use tikv_jemallocator::Jemalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Something that Seawall needs to start is missing, such as a free address to listen on.
const EXIT_START: u8 = 1;
/// The configuration or the command line is wrong (clap exits with the same).
const EXIT_USAGE: u8 = 2;
/// A second signal cut an orderly stop short.
const EXIT_CUT_SHORT: u8 = 3;
/// The fleet is shown, and something of it needs attention. Or the configuration is right, and the store that it names
/// lets no node become a member with it.
const EXIT_ATTENTION: u8 = 4;

/// A gateway between large fleets of OpAMP agents and their servers, which absorbs reconnect
/// storms.
#[derive(Parser)]
#[command(
    version,
    after_help = "Every key of the configuration can come from the environment instead: SEAWALL_, then its parts in \
    capitals, joined with two underscores, such as SEAWALL_UPSTREAM__SERVERS__0__URL=ws://10.0.0.5:4320 or \
    SEAWALL_ADMISSION__RATE=500.\n\nExit codes: 0 stopped in order, 1 could not start, 2 wrong \
    configuration or arguments, 3 stopped at once by a second signal. Of `cluster`: 0 the fleet is whole, \
    1 no answer, 2 wrong arguments, 4 something needs attention."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT; a second signal stops it at once. SIGHUP reads the configuration again.
    Run(Source),
    /// Check a configuration: list all mistakes (exit 2), or summarise it (exit 0).
    Check(Source),
    /// Show the nodes of a fleet, as one of them sees it: leases, shards, agents, and what needs attention.
    #[command(
        after_help = "Works while the node is not ready. A * marks the node that was asked. \
        Exit codes: 0 every shard has a home and every node may speak, 1 no answer, 2 wrong arguments, \
        4 something needs attention, such as shards that move."
    )]
    Cluster(ClusterArguments),
}

/// Whom to ask, and what to print.
#[derive(clap::Args)]
struct ClusterArguments {
    /// Host and port of a node's administration (admin.listen). Any node of the fleet will do.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = admin_address)]
    admin: String,
    /// Print the answer of /cluster as it is, instead of a table.
    #[arg(long)]
    json: bool,
}

/// Where the configuration is. Environment variables (`SEAWALL_EDGE__PATHS=/x`) override the file.
#[derive(clap::Args)]
struct Source {
    /// TOML; SEAWALL_* environment variables override it; one server must be named in either.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints an answer. A reader that has seen enough closes the pipe.
fn answer(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints a line for a person, if anyone reads it.
fn complain(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn main() -> ExitCode {
    let (source, run_it) = match Arguments::parse().command {
        Command::Run(source) => (source, true),
        Command::Check(source) => (source, false),
        Command::Cluster(arguments) => return show_cluster(&arguments),
    };
    let file = source.config.as_deref();
    match config::load(file, &config::variables()) {
        Err(mistakes) => explain(file, &mistakes),
        Ok((config, written)) if run_it => run(config, Reloader::new(file, written)),
        Ok((config, _)) => {
            let (findings, may_start) = inspect(&config.ownership.store);
            let verdict = if may_start { "ok" } else { "not ok: see FAULT" };
            // As the gateway would, which raises it as far as it may.
            let _ = limits::raise_open_files();
            let room = limits::describe(&config);
            answer(&format!("{verdict}\n{config}\n{room}{findings}"));
            if may_start { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ATTENTION) }
        }
    }
}

/// A host and a port, as a browser may show it.
fn admin_address(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(address.to_owned()),
        _ => Err("this is not a host and port such as 127.0.0.1:9464".to_owned()),
    }
}

/// Asks a node for the fleet and prints it.
fn show_cluster(arguments: &ClusterArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("this machine cannot run the command: {error}"));
            return ExitCode::from(EXIT_START);
        }
    };
    let fleet = match runtime.block_on(cluster::ask(&arguments.admin)) {
        Ok(fleet) => fleet,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(EXIT_START);
        }
    };
    answer(&if arguments.json { fleet.json().to_owned() } else { fleet.table() });
    if fleet.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ATTENTION) }
}

/// Prints mistakes as compilers do, `file: line: key: what`, so that an editor can jump to them.
fn explain(file: Option<&Path>, mistakes: &Mistakes) -> ExitCode {
    let name = file.map_or_else(|| "configuration".to_owned(), |file| file.display().to_string());
    for mistake in &mistakes.0 {
        complain(&format!("{name}: {mistake}"));
    }
    let count = mistakes.0.len();
    complain(&format!("{count} {}", if count == 1 { "mistake" } else { "mistakes" }));
    ExitCode::from(EXIT_USAGE)
}

/// How long `check` waits for the store.
const INSPECTION: Duration = Duration::from_secs(5);

/// What the store that the nodes share promises, and what it does not; and whether a node could become a member now. The
/// configuration is right either way.
fn inspect(store: &SharedStore) -> (String, bool) {
    let SharedStore::Redis(params) = store else { return (String::new(), true) };
    let mut text = String::new();
    let mut findings = params.findings();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let inspected = match (runtime, RedisStore::new(params)) {
        (Ok(runtime), Ok(store)) => {
            runtime.block_on(store.inspect(INSPECTION)).map_err(|error| unseen(&error))
        }
        (Err(error), _) => Err(Finding::Warning(error.to_string())),
        (_, Err(error)) => Err(Finding::Fault(error.to_string())),
    };
    match inspected {
        Ok(Inspection { address, findings: seen }) => {
            text = format!("store:     {address}\n");
            findings.extend(seen);
        }
        Err(finding) => findings.push(finding),
    }
    let may_start = !findings.iter().any(|finding| matches!(finding, Finding::Fault(_)));
    text.extend(findings.iter().map(|finding| format!("           {finding}\n")));
    (text, may_start)
}

/// A Redis that refuses this node would refuse it as a member, too. One that does not answer here may answer there.
fn unseen(error: &StoreError) -> Finding {
    match error {
        StoreError::Refused { .. } | StoreError::Corrupt { .. } => {
            Finding::Fault(format!("no node becomes a member with this: {error}"))
        }
        StoreError::Unreachable(_) | StoreError::Unknown(_) => {
            Finding::Warning(format!("what Redis promises is unknown, because {error}"))
        }
    }
}

fn run(config: Config, reload: (Reloader, Orders)) -> ExitCode {
    // Until the end of this function: then it writes the last lines.
    let logging = match logging::start(&config.log) {
        Ok(logging) => logging,
        Err(error) => {
            complain(&format!("logging cannot be set up: {error}"));
            return ExitCode::from(EXIT_START);
        }
    };
    telemetry::install();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.runtime.worker_threads {
        builder.worker_threads(threads.get());
    }
    let outcome = builder.enable_all().thread_name("seawall").build();
    let runtime = match outcome {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(serve(config, reload, &logging));
    // A call that still blocks, such as a name lookup, must not keep the process alive.
    runtime.shutdown_background();
    code
}

/// A signal so soon after the first says nothing new.
const SAME_WISH: Duration = Duration::from_millis(500);

async fn serve(
    config: Config,
    (mut reloader, orders): (Reloader, Orders),
    logging: &Logging,
) -> ExitCode {
    let [mut terminate, mut interrupt, mut hangup] = match signals() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        // An error says that the sender is gone, which also means: stop.
        let _ = stopped.await;
    };
    info!(version = env!("CARGO_PKG_VERSION"), "starting");
    config.to_string().lines().for_each(|line| info!("{line}"));
    let mut gateway = std::pin::pin!(seawall::gateway::run(config, orders, shutdown));
    let mut stop = Some(stop);
    let mut asked = clock::now();
    loop {
        let name = tokio::select! {
            outcome = &mut gateway => return match outcome {
                Ok(()) => {
                    info!("stopped");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error),
            },
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => {
                reloader.reload(logging);
                continue;
            }
        };
        match stop.take() {
            Some(stop) => {
                asked = clock::now();
                info!(signal = name, "stopping");
                // An error says that the gateway has ended, which the next round of the loop sees.
                let _ = stop.send(());
            }
            // `timeout`, and a terminal's shell, signal a process and its group: this is the same wish.
            None if asked.elapsed() < SAME_WISH => {}
            None => {
                warn!(signal = name, "stopping at once");
                return ExitCode::from(EXIT_CUT_SHORT);
            }
        }
    }
}

fn signals() -> std::io::Result<[Signal; 3]> {
    let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()];
    Ok([signal(terminate)?, signal(interrupt)?, signal(SignalKind::hangup())?])
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let text = telemetry::explained(error);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = text, "cannot run");
    } else {
        // Also where the log is off.
        complain(&format!("cannot run: {text}"));
    }
    ExitCode::from(EXIT_START)
}
