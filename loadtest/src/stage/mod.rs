//! A server stand-in and a gateway on this machine, started for one measurement and gone with it.

mod args;
mod config;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use seawall::clock;

use crate::addresses::{free_port, local};
use crate::children::{ChildProcess, Output};
use crate::http;
use crate::server::stop_signal;
use crate::storm::args::StormArgs;
pub(crate) use args::{StageArgs, StagedAgents, StagedArgs, UpstreamMode};
use config::GatewayConfig;

/// Who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// Agents dial the gateway.
    Gateway,
    /// Agents dial the server.
    ServerAlone,
}

/// The processes. They end when this goes.
pub(crate) struct Stage {
    this: PathBuf,
    output: Output,
    server_port: u16,
    report_port: u16,
    server: ChildProcess,
    gateway: Option<StageGateway>,
}

/// A gateway before the stage's server. It ends when this goes.
pub(crate) struct StageGateway {
    pub(crate) process: ChildProcess,
    pub(crate) edge_port: u16,
    pub(crate) admin_port: u16,
    _config: GatewayConfig,
}

/// How long a process may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);

impl Stage {
    /// Starts what is wanted and waits until it is ready.
    ///
    /// # Errors
    /// When the gateway's program is absent, or a process fails to start or ends at once.
    pub(crate) async fn start(args: &StageArgs, cast: Cast) -> io::Result<Self> {
        Self::start_with(args, cast, &[]).await
    }

    /// The same, with these variables for the gateway.
    ///
    /// # Errors
    /// As those of [`Stage::start`].
    pub(crate) async fn start_with(
        args: &StageArgs,
        cast: Cast,
        variables: &[(&str, &str)],
    ) -> io::Result<Self> {
        let this = std::env::current_exe()?;
        let output = if args.verbose { Output::Shown } else { Output::Dropped };
        let [server_port, report_port] = [free_port()?, free_port()?];
        let server = start_server(&this, (server_port, report_port), output).await?;
        let mut stage = Self { this, output, server_port, report_port, server, gateway: None };
        if cast == Cast::Gateway {
            stage.gateway = Some(stage.start_gateway(args, variables).await?);
        }
        Ok(stage)
    }

    /// Starts a gateway, with these variables besides its configuration, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// When the gateway's program is absent, or it fails to start or ends at once.
    pub(crate) async fn start_gateway(
        &self,
        args: &StageArgs,
        variables: &[(&str, &str)],
    ) -> io::Result<StageGateway> {
        let program = args.seawall.clone().unwrap_or_else(|| self.this.with_file_name("seawall"));
        if !program.exists() {
            return Err(io::Error::other(format!(
                "there is no gateway at {}; build it with `cargo build --release`, or name it with --seawall",
                program.display()
            )));
        }
        let [edge_port, admin_port] = [free_port()?, free_port()?];
        let config = GatewayConfig::write([self.server_port, edge_port, admin_port], args.mode)?;
        let arguments =
            ["run".to_owned(), "--config".to_owned(), config.path.display().to_string()];
        let pace = args.pace_max.map(|pace| ("SEAWALL_UPSTREAM__PACE_MAX", pace.to_string()));
        let mut environment: Vec<_> = pace.into_iter().collect();
        environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut process =
            ChildProcess::start("gateway", &program, &arguments, &environment, self.output)?;
        let ready = wait_for(&format!("http://{}/readyz", local(admin_port)), &mut process).await;
        ready.map_err(|error| {
            let fault = format!("{error}; --verbose shows what it says");
            io::Error::new(error.kind(), fault)
        })?;
        Ok(StageGateway { process, edge_port, admin_port, _config: config })
    }

    /// A storm's own defaults, with these processes' addresses.
    pub(crate) fn storm_args(&self, agents: u32) -> StormArgs {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            storm: StormArgs,
        }
        let edge = self.gateway.as_ref().map_or(self.server_port, |gateway| gateway.edge_port);
        let line = [
            "storm".to_owned(),
            format!("--agents={agents}"),
            format!("--target=ws://{}/v1/opamp", local(edge)),
            format!("--server-report=http://{}", local(self.report_port)),
        ];
        let mut storm = Line::parse_from(line).storm;
        let metrics =
            |gateway: &StageGateway| format!("http://{}/metrics", local(gateway.admin_port));
        storm.gateway.gateway_metrics = self.gateway.as_ref().map(metrics).into_iter().collect();
        storm
    }

    /// Kills the server (SIGKILL): all it knew is lost.
    ///
    /// # Errors
    /// When it had ended before.
    pub(crate) async fn kill_server(&mut self) -> io::Result<()> {
        self.server.check()?;
        self.server.kill().await
    }

    /// Starts an empty server on the same ports and waits until it answers.
    ///
    /// # Errors
    /// When it fails to start.
    pub(crate) async fn restart_server(&mut self) -> io::Result<()> {
        let ports = (self.server_port, self.report_port);
        self.server = start_server(&self.this, ports, self.output).await?;
        Ok(())
    }

    /// Checks that all processes are still running.
    ///
    /// # Errors
    /// When one has ended; the error says how.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        let gateway = self.gateway.as_mut().map(|gateway| gateway.process.check());
        gateway.unwrap_or(Ok(())).and_then(|()| self.server.check())
    }
}

/// Runs a command whose processes must end with it, also when it is interrupted.
///
/// # Errors
/// Those of the command.
pub(crate) fn perform(command: impl Future<Output = io::Result<ExitCode>>) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = command => outcome,
            stopped = stop_signal() => {
                stopped?;
                eprintln!("interrupted");
                Ok(ExitCode::from(130))
            }
        }
    })
}

async fn start_server(
    this: &Path,
    (port, report_port): (u16, u16),
    output: Output,
) -> io::Result<ChildProcess> {
    let arguments = ["server", "--listen", &local(port), "--report-listen", &local(report_port)];
    let arguments = arguments.map(str::to_owned);
    let mut server = ChildProcess::start("server", this, &arguments, &[], output)?;
    wait_for(&format!("http://{}/report", local(report_port)), &mut server).await?;
    Ok(server)
}

/// Asks until the answer is 200.
async fn wait_for(url: &str, child: &mut ChildProcess) -> io::Result<()> {
    let deadline = clock::now() + START_TIMEOUT;
    loop {
        child.check()?;
        match http::fetch(url, None).await {
            Ok(_) => return Ok(()),
            Err(error) if clock::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
