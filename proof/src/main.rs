//! The `proof` command: shows on demand that what an issue promised holds.
//!
//! `proof dedup`, `proof admission`, `proof clients`, `proof cluster` and `proof house` run commands of this repository one after the
//! other, read figures from what they print, and hold each figure against its goal. The table of all
//! figures is the last thing they print; the exit code is 1 if a goal is missed. `proof speed` measures
//! two builds in alternation. This crate knows the commands and their JSON; it uses the gateway as an
//! operator does, from outside.
#![forbid(unsafe_code)]

mod child;
mod criterion;
mod figure;
mod points;
mod run;
mod speed;
mod stage;
mod step;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use figure::{Judged, table};
use points::Size;
use run::Runner;
use step::Step;

/// Shows that what an issue promised holds, or compares the speed of two builds
#[derive(Debug, Parser)]
#[command(name = "proof", version)]
struct Cli {
    /// Folder with the binaries `loadtest` and `seawall`
    #[arg(long, global = true, default_value = "target/release", value_name = "DIR")]
    bin: PathBuf,
    /// Folder for the output of each step
    #[arg(long, global = true, default_value = "target/proof", value_name = "DIR")]
    logs: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Servers get only what changed: bytes, outages, slow servers, memory, the simulation
    Dedup(Sized),
    /// Storms come in at the rate that is set: every case of admission, the automatic rate, the drain
    Admission(Sized),
    /// Each stock client gets in: storms of every kind and of a mix, outages, few connections
    Clients(Sized),
    /// Several nodes act as one: storms, deaths, a store that goes away, shards that move
    Cluster(Sized),
    /// The sources are in order and what held still holds, as quickly: figures, simulation, speed
    House(HouseArgs),
    /// Measure two builds in alternation, and say whether the second one is slower
    Speed(speed::SpeedArgs),
}

/// How much of a proof is run.
#[derive(Debug, Args)]
struct Sized {
    /// Run it in small, within minutes: shows that it works, with fewer agents and wider goals
    #[arg(long)]
    small: bool,
    /// Seeds of the simulation at full size
    #[arg(long, default_value_t = 100_000)]
    seeds: u32,
    /// Run only the steps whose names begin with this: a point's number, or more. May be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// Options of `proof house`.
#[derive(Debug, Args)]
struct HouseArgs {
    #[command(flatten)]
    sized: Sized,
    #[command(flatten)]
    speed: speed::SpeedArgs,
}

impl Sized {
    fn size(&self) -> Size {
        if self.small { Size::Small } else { Size::Full { seeds: self.seeds } }
    }

    /// The steps that are to run.
    ///
    /// # Errors
    /// When no step has such a name.
    fn chosen(&self, mut steps: Vec<Step>) -> io::Result<Vec<Step>> {
        let unknown = |only: &&String| !steps.iter().any(|step| step.is_named(only));
        if let Some(only) = self.only.iter().find(unknown) {
            return Err(io::Error::other(format!("--only: no step's name begins with '{only}'")));
        }
        steps.retain(|step| self.only.is_empty() || self.only.iter().any(|it| step.is_named(it)));
        Ok(steps)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match prove(&cli) {
        Ok(figures) => {
            println!("\n{}", table(&figures));
            let holds = figures.iter().all(Judged::is_met);
            if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("proof: {error}");
            ExitCode::from(2)
        }
    }
}

fn prove(cli: &Cli) -> io::Result<Vec<Judged>> {
    let runner = Runner::new(&cli.bin, &cli.logs)?;
    match &cli.command {
        Command::Dedup(sized) => runner.run_all(sized.chosen(points::dedup::steps(sized.size()))?),
        Command::Admission(sized) => {
            runner.run_all(sized.chosen(points::admission::steps(sized.size()))?)
        }
        Command::Clients(sized) => {
            runner.run_all(sized.chosen(points::clients::steps(sized.size()))?)
        }
        Command::Cluster(sized) => {
            runner.run_all(sized.chosen(points::cluster::steps(sized.size()))?)
        }
        Command::House(args) => {
            let steps = args.sized.chosen(points::house::steps(args.sized.size()))?;
            let mut figures = runner.run_all(steps)?;
            figures.extend(speed::run(&args.speed, &cli.logs)?);
            Ok(figures)
        }
        Command::Speed(args) => speed::run(args, &cli.logs),
    }
}
