//! `loadtest gate`: the storms that the gateway's admission is judged by, one after the other, each
//! with a server and a gateway of its own. It prints what each took and compares that with its
//! budget. The command has kept its name; everywhere else the word is admission.

mod auto;
mod case;
mod clients;
mod table;

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::{ClientArgs, positive, share};
use crate::human::Human;
use crate::stage::{Cast, Stage, StagedAgents, StagedArgs, perform};
use crate::storm::args::StormArgs;
use crate::storm::conditions::Beginning;
use crate::storm::outcome::StormOutcome;
use crate::storm::storm;
use case::{Case, CaseBudget, CaseName};

/// Options of `loadtest gate`.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    #[command(flatten)]
    agents: StagedAgents,
    /// Which cases; by default all
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CASE,CASE,...")]
    cases: Vec<CaseName>,
    /// Run each case a second time with a gateway that refuses at once and tells every agent 30
    /// seconds
    #[arg(long)]
    compare_fixed: bool,
    /// Instead of the cases: a gateway that finds its rate itself, against rates set by hand
    #[arg(long, conflicts_with_all = ["cases", "compare_fixed"])]
    auto: bool,
    /// The rates set by hand
    #[arg(long, default_value = "2000,4000,8000,16000", value_delimiter = ',', value_name = "PER_SECOND,...", value_parser = positive, requires = "auto")]
    rates: Vec<f64>,
    /// How many times each is measured, in alternation; the figures are medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99), requires = "auto")]
    rounds: u16,
    /// The rate at which the fleet fills, where the rate is set at all; the figures leave this time
    /// out
    #[arg(long, default_value_t = 100_000.0, value_name = "PER_SECOND", value_parser = positive)]
    fill_rate: f64,
    /// Agents that stay connected and send a heartbeat every 100 ms
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    probes: u16,
    /// Each agent's waits are off by a fixed factor of its own, from 1-SHARE to 1+SHARE
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    clock_error: f64,
    /// Instead of the cases, storms of stock clients
    #[command(flatten)]
    clients: ClientArgs,
    /// The rate of admission in storms of stock clients
    #[arg(long, default_value_t = 500.0, value_name = "PER_SECOND", value_parser = positive)]
    rate: f64,
    /// Storms of stock clients that begin in this way alone
    #[arg(long, value_enum)]
    begin: Option<Beginning>,
    /// The stock clients come back from an outage of so long, with the pauses that they have reached
    /// by then; the outage itself is not waited for
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    after_outage: Human,
    #[command(flatten)]
    staged: StagedArgs,
}

/// A gateway that refuses as others do: it parks no agent, and it tells every agent the same.
const FIXED: [(&str, &str); 3] = [
    ("SEAWALL_ADMISSION__PARK_HORIZON", "0s"),
    ("SEAWALL_ADMISSION__HOLD_MAX", "0s"),
    ("SEAWALL_ADMISSION__RETRY_FIXED", "30s"),
];

/// One case's figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct CaseRow {
    case: String,
    /// Entries a second at the cut.
    rate: f64,
    /// Every refused agent was told 30 seconds, for comparison.
    fixed: bool,
    /// Null where it is for comparison alone.
    budget: Option<CaseBudget>,
    missed: Vec<String>,
    outcome: StormOutcome,
}

/// Runs what is wanted and prints it.
///
/// # Errors
/// When a process fails to start or ends early, the gateway refuses the rate, or the figures cannot
/// be written.
pub(crate) fn run(args: &GateArgs) -> io::Result<ExitCode> {
    perform(async {
        if args.auto {
            auto::run(args).await
        } else if args.clients.are_named() {
            clients::run(args).await
        } else {
            run_cases(args).await
        }
    })
}

async fn run_cases(args: &GateArgs) -> io::Result<ExitCode> {
    let all = CaseName::value_variants();
    let names = if args.cases.is_empty() { all } else { &args.cases };
    let figures = &args.staged.figures;
    let has_table = !figures.takes_stdout();
    if has_table {
        println!("{} agents, cut off at one instant\n\n{}", args.agents.agents, table::HEAD);
    }
    let mut rows = Vec::new();
    for case in names.iter().map(|name| Case::of(*name)) {
        for fixed in [false, true] {
            if fixed && !args.compare_fixed {
                continue;
            }
            let row = one(args, &case, fixed).await?;
            if has_table {
                println!("{}", table::line(&row));
            }
            rows.push(row);
            if has_table {
                // Written after each case, because the whole takes minutes and may be interrupted.
                figures.write(&rows)?;
            }
        }
    }
    if !has_table {
        figures.write(&rows)?;
    } else if args.compare_fixed {
        table::compare(&rows);
    }
    Ok(table::verdict(&rows))
}

async fn one(args: &GateArgs, case: &Case, fixed: bool) -> io::Result<CaseRow> {
    let environment = if fixed { &FIXED[..] } else { &[] };
    let outcome = on_stage(args, environment, |storm| {
        storm.conditions.fill_rate = Some(args.fill_rate);
        case.apply(storm);
    });
    let outcome = outcome.await?;
    let budget = (!fixed).then_some(case.budget);
    let missed = budget.map_or_else(Vec::new, |budget| budget.missed(&outcome));
    Ok(CaseRow { case: case.title(), rate: case.rate, fixed, budget, missed, outcome })
}

/// One storm with a server and a gateway of its own.
///
/// # Errors
/// When one of them fails to start, or the instrument itself fails.
async fn on_stage(
    args: &GateArgs,
    environment: &[(&str, &str)],
    arrange: impl FnOnce(&mut StormArgs),
) -> io::Result<StormOutcome> {
    let mut stage = Stage::start_with(&args.staged.stage, Cast::Gateway, environment).await?;
    let mut storm_args = stage.storm_args(args.agents.agents);
    storm_args.fleet = args.staged.fleet.clone();
    storm_args.conditions.probes = args.probes;
    storm_args.conditions.clock_error = args.clock_error;
    arrange(&mut storm_args);
    let mut outcome = storm(&storm_args).await?;
    if let Err(error) = stage.check() {
        outcome.faults.push(error.to_string());
    }
    Ok(outcome)
}
