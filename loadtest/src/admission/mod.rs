//! `loadtest admission-table`: storms on a simulated clock, under several ways of refusing agents,
//! each figure beside the one that the design gives.
//!
//! The ways with slots and a park are the gateway's own code (`seawall::core::admission`). Agents
//! do what opamp-go's do. The whole runs without messages and sockets, so that some fifty storms of
//! a hundred thousand agents take seconds, and of a million minutes.

mod gateway;
mod scenario;
mod table;
mod world;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::num::NonZeroU32;

use clap::Args;

/// Options of `loadtest admission-table`.
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// How many agents
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    agents: u32,
    /// Admissions a second, of all nodes together; may be given several times
    #[arg(long, default_values = ["2000", "10000"])]
    rate: Vec<NonZeroU32>,
    /// Seed of the random generator
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Simulates and prints, row by row.
///
/// # Errors
/// When there is nowhere to print to.
pub(crate) fn run(args: &TableArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "time: until all who obey are in, as a multiple of agents / rate\n\
         attempts: dials for each entry, of those who obey\n\
         refusals/s: in the worst second after the first wave\n\
         In brackets: what the design gives."
    )?;
    for rate in &args.rate {
        for section in table::sections(args.agents, *rate, args.seed) {
            section.print(&mut out)?;
        }
    }
    Ok(())
}
