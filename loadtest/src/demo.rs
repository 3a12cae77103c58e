//! `loadtest demo`: a server, a gateway and a storm on this machine, and a table of what happened,
//! in the words of a reader who sees this for the first time.

use std::io;
use std::process::ExitCode;

use clap::Args;

use crate::args::ClientArgs;
use crate::figures::shown;
use crate::stage::{Cast, Stage, StageArgs, perform};
use crate::storm::args::StormArgs;
use crate::storm::outcome::StormOutcome;
use crate::storm::storm;

/// Options of `loadtest demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many agents
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    agents: u32,
    #[command(flatten)]
    clients: ClientArgs,
    #[command(flatten)]
    stage: StageArgs,
}

/// Runs it. The processes it starts end with it, also when it is interrupted.
///
/// # Errors
/// When one of them fails to start or ends early.
pub(crate) fn run(args: &DemoArgs) -> io::Result<ExitCode> {
    perform(demo(args))
}

async fn demo(args: &DemoArgs) -> io::Result<ExitCode> {
    println!("The same storm twice, of {} agents on this machine; about 20 seconds.", args.agents);
    println!("1 of 2: an OpAMP server, and agents that dial it themselves ...");
    let without = one(args, Cast::ServerAlone).await?;
    println!("2 of 2: an OpAMP server, Seawall before it, and agents that dial Seawall ...");
    let with = one(args, Cast::Gateway).await?;
    tell(&without, &with);
    let held = without.faults.is_empty() && with.faults.is_empty();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one(args: &DemoArgs, cast: Cast) -> io::Result<StormOutcome> {
    let mut stage = Stage::start(&args.stage, cast).await?;
    let storm_args = StormArgs { clients: args.clients.clone(), ..stage.storm_args(args.agents) };
    let mut outcome = storm(&storm_args).await?;
    if let Err(error) = stage.check() {
        outcome.faults.push(error.to_string());
    }
    Ok(outcome)
}

/// One line of the table: the figure of the storm without Seawall, and of the one with it.
fn row(what: &str, figures: [String; 2]) -> String {
    let [without, with] = figures;
    format!("  {what:<54} {without:>16} {with:>16}")
}

fn tell(without: &StormOutcome, with: &StormOutcome) {
    let both = |figure: &dyn Fn(&StormOutcome) -> String| [figure(without), figure(with)];
    let line = |what: &str, figure: &dyn Fn(&StormOutcome) -> String| {
        println!("{}", row(what, both(figure)));
    };
    let count = |key: &'static str| move |storm: &StormOutcome| shown(storm.of_server(key), "");
    println!("\nAll connections were cut at one instant, and every agent dialled at once.\n");
    println!("{}\n", row("", ["without Seawall".to_owned(), "with Seawall".to_owned()]));
    line("agents", &|storm| storm.agents.to_string());
    line("half of them were back after", &|storm| shown(storm.seconds_to_50, " s"));
    line("99 % were back after", &|storm| shown(storm.seconds_to_99, " s"));
    line("all of them were back after", &|storm| shown(storm.seconds_to_100, " s"));
    line("how often an agent had to dial, on average", &|storm| shown(storm.attempts_mean, ""));
    line("new connections the server saw", &count("dials"));
    line("messages the server had to read meanwhile", &count("messages"));
    line("  of these, full reports of an agent's state", &count("full_states"));
    line("bytes of them", &count("bytes"));
    line("agents the server lost track of (must be 0)", &count("agents_missing"));
    line("agents the server is wrong about (must be 0)", &count("agents_wrong"));
    line("messages that reached the wrong agent (must be 0)", &|storm| storm.misrouted.to_string());
    let megabytes = |bytes: f64| (bytes / 1e6).round();
    line("memory of the gateway", &|storm| shown(storm.gateway.rss_bytes.map(megabytes), " MB"));
    line("processor time the gateway spent on the storm", &|storm| {
        shown(storm.gateway.cpu_seconds, " s")
    });
    let faults: Vec<_> = without.faults.iter().chain(&with.faults).collect();
    if faults.is_empty() {
        println!("\nThe server's view of every agent is true.");
    }
    for fault in faults {
        println!("\nFAULT: {fault}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_storms_stand_beside_each_other() {
        let head = row("", ["without Seawall".to_owned(), "with Seawall".to_owned()]);
        let line = row("messages", ["20000".to_owned(), "0".to_owned()]);
        assert!(head.ends_with(" without Seawall     with Seawall"), "{head}");
        assert!(line.ends_with("           20000                0"), "{line}");
        assert_eq!(head.len(), line.len());
    }
}
