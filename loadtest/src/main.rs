//! The `loadtest` command: storms of simulated agents, the OpAMP server stand-in, yardsticks, and
//! the oracle that says whether what a server believes is true.
#![forbid(unsafe_code)]

mod addresses;
mod admission;
mod args;
mod children;
mod cluster;
mod compare;
mod crew;
mod demo;
mod drain;
mod figures;
mod fleet;
mod gate;
mod gateway;
mod http;
mod human;
mod idle;
mod oracle;
mod outage;
mod procfs;
mod roundtrip;
mod server;
mod slow;
mod stage;
mod stamp;
mod storm;
mod yardstick;

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
    /// Run an OpAMP server stand-in that records every agent's state and can misbehave
    Server(server::ServerArgs),
    /// Connect agents, cut them all off at one instant, and measure how they come back
    Storm(Box<storm::args::StormArgs>),
    /// Measure what the machine can do at best, and what share of it a gateway reaches
    Yardstick(yardstick::YardstickArgs),
    /// Measure forwarded messages: how many a second, their latency, the processor time of each
    Roundtrip(roundtrip::RoundtripArgs),
    /// Measure what idle agents cost the gateway
    Idle(idle::IdleArgs),
    /// Run a server, a gateway and a storm, and print what happened
    Demo(demo::DemoArgs),
    /// Run one storm twice, against a server itself and through a gateway, and compare what the
    /// server got
    Compare(Box<compare::CompareArgs>),
    /// Kill and restart a server behind a gateway, and print what the agents notice
    Outage(Box<outage::OutageArgs>),
    /// Drain one of two gateways behind HAProxy, and print how its agents move to the other
    Drain(Box<drain::DrainArgs>),
    /// Run several nodes that share Redis, let something happen to them, and print what the server,
    /// Redis and the agents noticed
    Cluster(Box<cluster::ClusterArgs>),
    /// Measure what several nodes cost beside single ones: storms, round trips, fleets that grow
    ClusterSpeed(cluster::SpeedArgs),
    /// Run a storm in which everything changes, through a gateway to a server that is slow
    Slow(Box<slow::SlowArgs>),
    /// Run the storms that admission is judged by, and compare each with its budget
    Gate(Box<gate::GateArgs>),
    /// Simulate storms under several ways of refusing agents, and print what each costs
    AdmissionTable(admission::TableArgs),
    /// The server of a yardstick
    #[command(hide = true)]
    Bare(yardstick::BareArgs),
    /// One of the processes of a large fleet
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(args) => server::run(args).map(|()| ExitCode::SUCCESS),
        Command::Storm(args) => storm::run(&args),
        Command::Yardstick(args) => yardstick::run(&args),
        Command::Roundtrip(args) => roundtrip::run(&args),
        Command::Idle(args) => idle::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Outage(args) => outage::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::ClusterSpeed(args) => cluster::run_speed(&args),
        Command::Slow(args) => slow::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::AdmissionTable(args) => admission::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bare(args) => yardstick::run_bare(&args).map(|()| ExitCode::SUCCESS),
        Command::Worker => crew::work().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::from(2)
    })
}
