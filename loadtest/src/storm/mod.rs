//! `loadtest storm`: fill, cut all at one instant, watch them come back, and ask the oracle.

mod admission;
pub(crate) mod args;
mod begin;
pub(crate) mod conditions;
mod course;
mod cut;
mod entries;
mod fill;
mod ideal;
pub(crate) mod moves;
pub(crate) mod outcome;
mod probes;
mod progress;
mod queue;
pub(crate) mod server;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::crew::Crew;
use crate::figures::round;
use admission::RateSetting;
use args::StormArgs;
use begin::{Begun, Scene};
use course::Course;
pub(crate) use cut::send_cut;
use entries::{AdmissionSample, EntryFigures};
pub(crate) use fill::fill;
use moves::MoveFigures;
use outcome::{GatewayFigures, StormOutcome};
pub(crate) use progress::Progress;
use server::ServerReport;

/// Runs one storm, and prints and writes its figures.
///
/// # Errors
/// When the instrument itself fails: the server stand-in is absent, a worker is dead, a file cannot
/// be written.
pub(crate) fn run(args: &StormArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(storm(args))?.publish(&args.figures)
}

/// Runs one storm.
///
/// # Errors
/// When the instrument itself fails.
pub(crate) async fn storm(args: &StormArgs) -> io::Result<StormOutcome> {
    let server = stand_in(args).await?;
    let options = args.options()?;
    let admission = RateSetting::beside(&args.gateway.gateway_metrics);
    let mut progress = Progress::new();
    let scene = Scene { args, options: &options, server: server.as_ref(), admission: &admission };
    let begun = match scene.begin(&mut progress).await? {
        Ok(begun) => begun,
        Err(outcome) => return Ok(outcome),
    };
    let Begun { mut crew, before, entries_before, watch, cpu_start, cut_at } = begun;
    args.announce("cut");
    let mut course = Course::new(&args.conditions, admission, cut_at);
    course.run(&mut crew, args.timeout.0, &mut progress).await?;
    let cpu_end = crew.cpu_seconds().await?;
    let probed = probes::end(&mut crew).await?;
    let back = watch.sample().await;
    let entries_back = AdmissionSample::take(&args.gateway.gateway_metrics).await;
    let ordered = args.moves.carry_out(&mut crew, args.timeout.0).await?;
    args.announce("back");
    let settled = match &server {
        Some(server) => {
            let settled =
                server.settle_and_hold(&mut crew, args.hold.0, args.settle.settle.0).await?;
            Some((server.counts().await?, settled))
        }
        None => {
            tokio::time::sleep(args.hold.0).await;
            None
        }
    };
    args.announce("settled");
    let end = watch.sample().await;
    let entries_end = AdmissionSample::take(&args.gateway.gateway_metrics).await;
    let measured = crew.measured().await?;
    let census = options.census();
    let mut outcome = StormOutcome::new(census, measured.clone());
    let since = measured.counted_since(&before);
    outcome.with_questions(&since);
    outcome.entries = EntryFigures::new([entries_before, entries_back, entries_end], &since);
    outcome.entries.agents_mute = crew.mute().await?;
    let ideal = course.ideal(census.returning, measured.second_wave_cut);
    outcome.queue.with_ideal(&ideal, outcome.seconds_to_100);
    outcome.probes = probed;
    outcome.moves = MoveFigures::between(&options.targets, &before, &measured);
    outcome.faults.extend(outcome.moves.faults(ordered));
    if let Some((counts, settled)) = settled {
        outcome.with_server(counts, settled.verdict);
        outcome.with_settled(settled.at.map(|at| at - cut_at));
    }
    outcome.gateway = GatewayFigures::between(watch.start, back, args.agents.into());
    outcome.gateway.with_memory(&watch, end);
    outcome.client_cpu_seconds = Some(round(cpu_end - cpu_start));
    outcome.judge();
    Ok(outcome)
}

/// The server stand-in, unless the storm does without.
async fn stand_in(args: &StormArgs) -> io::Result<Option<ServerReport>> {
    if args.no_oracle {
        return Ok(None);
    }
    let server = ServerReport::new(&args.server_report);
    server.counts().await.map_err(|error| {
        io::Error::new(error.kind(), format!("no server stand-in to ask ({error}); start one with `loadtest server`, name it with --server-report, or do without the oracle with --no-oracle"))
    })?;
    Ok(Some(server))
}

/// Waits until all agents are back, or the time is over; the outcome shows which.
///
/// # Errors
/// When a worker has died.
pub(crate) async fn wait_until_back(
    crew: &mut Crew,
    patience: Duration,
    progress: &mut Progress,
) -> io::Result<()> {
    Course::uneventful().run(crew, patience, progress).await
}
