//! `loadtest slow`: a storm in which every agent has news, against a server that works through a
//! limited number of reports a second. How long agents wait, how long the server takes to learn the
//! truth, and what it costs the gateway to hold everything meanwhile.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::human::Human;
use crate::stage::{Cast, Stage, StagedAgents, StagedArgs, perform};
use crate::storm::storm;

/// Options of `loadtest slow`.
#[derive(Debug, Args)]
pub(crate) struct SlowArgs {
    #[command(flatten)]
    agents: StagedAgents,
    /// Reports a second that the server works through; one after the other, each answered when the
    /// server is done with it
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    server_capacity: u32,
    /// Let agents dial the server itself, for comparison
    #[arg(long)]
    direct: bool,
    /// The longest time in which the server must have the correct state of every agent; by default
    /// three times what its work takes
    #[arg(long, value_name = "DURATION")]
    settle: Option<Human>,
    #[command(flatten)]
    staged: StagedArgs,
}

/// Patience beyond what the work takes.
const SLACK: Duration = Duration::from_secs(60);

/// Runs it and prints. `--changed` is 1 by default here.
///
/// # Errors
/// When a process fails to start or ends early, or the figures cannot be written.
pub(crate) fn run(args: &SlowArgs) -> io::Result<ExitCode> {
    perform(async {
        let cast = if args.direct { Cast::ServerAlone } else { Cast::Gateway };
        let agents = args.agents.agents;
        let mut stage = Stage::start(&args.staged.stage, cast).await?;
        let mut storm_args = stage.storm_args(agents);
        storm_args.fleet = args.staged.fleet.clone();
        if storm_args.fleet.changed == 0.0 {
            storm_args.fleet.changed = 1.0;
        }
        storm_args.misbehave = Some(format!("{{\"capacity\":{}}}", args.server_capacity));
        let work = work(agents, storm_args.fleet.changed, args.server_capacity);
        storm_args.settle.settle = args.settle.unwrap_or(Human(work * 3 + SLACK));
        let mut outcome = storm(&storm_args).await?;
        if cast == Cast::Gateway {
            outcome.faults.extend(too_late(outcome.acknowledged_ms_max));
        }
        if let Err(error) = stage.check() {
            outcome.faults.push(error.to_string());
        }
        let code = outcome.publish(&args.staged.figures)?;
        eprintln!(
            "The server, at {} reports a second, has at least {:.1} s of work with the news.",
            args.server_capacity,
            work.as_secs_f64()
        );
        Ok(code)
    })
}

/// What agents are promised however slow the server is, in milliseconds. The gateway answers in the
/// server's place after `sessions.reply_wait`, 1 s; the rest of it is the machine's.
const ACKNOWLEDGED_WITHIN_MS: f64 = 2_000.0;

fn too_late(longest_ms: Option<f64>) -> Option<String> {
    let longest = longest_ms.filter(|longest| *longest > ACKNOWLEDGED_WITHIN_MS)?;
    Some(format!("an agent was acknowledged {longest} ms after its report"))
}

/// The least time that the server needs: one report from each agent with news.
fn work(agents: u32, changed: f64, capacity: u32) -> Duration {
    Duration::from_secs_f64(f64::from(agents) * changed / f64::from(capacity.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_are_in_time() {
        assert_eq!((too_late(None), too_late(Some(1_950.0))), (None, None));
        assert!(too_late(Some(2_050.0)).is_some());
    }

    #[test]
    fn work_is_a_report_from_each_agent_with_news() {
        assert_eq!(work(15_000, 1.0, 200), Duration::from_secs(75));
        assert_eq!(work(1_000, 0.1, 200), Duration::from_millis(500));
        assert_eq!(work(1, 1.0, 0), Duration::from_secs(1));
    }
}
