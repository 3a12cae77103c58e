//! The `loadtest` command: storms of simulated agents, the OpAMP server stand-in, yardsticks, and
//! the oracle that says whether what a server believes is true.
#![forbid(unsafe_code)]

mod http1;
mod human;
mod oracle;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Seawall's load generator and measuring instrument
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an OpAMP server stand-in that keeps every agent's state and can misbehave
    Server(server::ServerArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(args) => server::run(args).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::from(2)
    })
}
