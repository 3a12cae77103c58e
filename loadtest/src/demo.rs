//! `loadtest demo`: a server, a gateway and a storm on this machine, and a table of what happened
//! in words for somebody who sees this for the first time.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use seawall::clock;

use crate::children::{Kept, Output};
use crate::http1;
use crate::server::stop_signal;
use crate::storm::args::StormArgs;
use crate::storm::outcome::{Outcome, shown};
use crate::storm::storm;
use crate::yardstick::free_port;

/// Options of `loadtest demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many agents
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    agents: u32,
    /// The gateway's program; by default the one next to this
    #[arg(long, value_name = "FILE")]
    seawall: Option<PathBuf>,
    /// Show what server and gateway log
    #[arg(long)]
    verbose: bool,
}

/// How long a process may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs it. The processes it starts end with it, also when it is interrupted.
///
/// # Errors
/// When one of them cannot be started or ends early.
pub(crate) fn run(args: &DemoArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = demo(args) => outcome,
            stopped = stop_signal() => {
                stopped?;
                eprintln!("interrupted");
                Ok(ExitCode::from(130))
            }
        }
    })
}

async fn demo(args: &DemoArgs) -> io::Result<ExitCode> {
    let this = std::env::current_exe()?;
    let seawall = args.seawall.clone().unwrap_or_else(|| this.with_file_name("seawall"));
    if !seawall.exists() {
        return Err(io::Error::other(format!(
            "there is no gateway at {}; build it with `cargo build --release`, or name it with --seawall",
            seawall.display()
        )));
    }
    let [server, report, edge, admin] = [free_port()?, free_port()?, free_port()?, free_port()?];
    println!("Starting an OpAMP server, the Seawall gateway, and {} agents ...", args.agents);
    let output = if args.verbose { Output::Shown } else { Output::Dropped };
    let arguments = ["server", "--listen", &local(server), "--report-listen", &local(report)];
    let arguments = arguments.map(str::to_owned);
    let mut opamp = Kept::start("server", &this, &arguments, output)?;
    let report_url = format!("http://{}", local(report));
    wait_for(&format!("{report_url}/report"), &mut opamp).await?;
    let config = ConfigFile::write(server, edge, admin)?;
    let arguments = ["run".to_owned(), "--config".to_owned(), config.path.display().to_string()];
    let mut gateway = Kept::start("gateway", &seawall, &arguments, output)?;
    wait_for(&format!("http://{}/readyz", local(admin)), &mut gateway).await?;
    let mut outcome = storm(&storm_args(args, &report_url, edge, admin)).await?;
    if let Err(error) = gateway.check().and_then(|()| opamp.check()) {
        outcome.faults.push(error.to_string());
    }
    tell(&outcome);
    Ok(if outcome.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// The storm's own defaults, with the demo's addresses.
fn storm_args(args: &DemoArgs, report: &str, edge: u16, admin: u16) -> StormArgs {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        storm: StormArgs,
    }
    let line = [
        "storm".to_owned(),
        format!("--agents={}", args.agents),
        format!("--target=ws://{}/v1/opamp", local(edge)),
        format!("--server-report={report}"),
        format!("--gateway-metrics=http://{}/metrics", local(admin)),
    ];
    Line::parse_from(line).storm
}

/// Asks until the answer is 200.
async fn wait_for(url: &str, child: &mut Kept) -> io::Result<()> {
    let deadline = clock::now() + START_TIMEOUT;
    loop {
        child.check()?;
        match http1::fetch(url, None).await {
            Ok(_) => return Ok(()),
            Err(error) if clock::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A configuration that is removed when this goes.
struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    fn write(server: u16, edge: u16, admin: u16) -> io::Result<Self> {
        let name = format!("seawall-demo-{}-{edge}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create_new(&path)?;
        write!(
            file,
            "[edge]\nlisten = [\"{}\"]\n\n[[upstream.servers]]\nname = \"demo\"\nurl = \"ws://{}/v1/opamp\"\n\n[admin]\nlisten = \"{}\"\n",
            local(edge),
            local(server),
            local(admin)
        )?;
        Ok(Self { path })
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.path));
    }
}

fn tell(outcome: &Outcome) {
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
