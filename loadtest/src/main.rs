//! The `loadtest` command: storms of simulated agents, the OpAMP server stand-in, yardsticks, and
//! the oracle that says whether what a server believes is true.
#![forbid(unsafe_code)]

mod crew;
mod fleet;
mod gateway;
mod http1;
mod human;
mod oracle;
mod procfs;
mod server;
mod storm;

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
    /// Connect agents, cut them all off at one instant, and measure how they come back
    Storm(Box<storm::args::StormArgs>),
    /// One of the processes of a large fleet
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(args) => server::run(args).map(|()| ExitCode::SUCCESS),
        Command::Storm(args) => storm::run(&args),
        Command::Worker => crew::work().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::from(2)
    })
}
