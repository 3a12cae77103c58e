//! `loadtest storm`: fill, cut all at one instant, watch them come back, and ask the oracle.

mod admission;
pub(crate) mod args;
pub(crate) mod conditions;
mod course;
mod ideal;
pub(crate) mod outcome;
mod probes;
mod progress;
mod queue;
pub(crate) mod server;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use seawall::clock;
use serde::Serialize;

use crate::crew::Crew;
use crate::fleet::Options;
use crate::fleet::manners::Wave;
use crate::gateway;
use crate::oracle::judge::Verdict;
use admission::Admission;
use args::{POLL, StormArgs};
use course::Course;
use outcome::{Gateway, Outcome, round};
pub(crate) use progress::Progress;
use server::Server;

/// How far ahead the cut is announced, so that it reaches all processes before it falls due.
const CUT_LEAD: Duration = Duration::from_millis(300);

/// How long the gateway has its rate before the cut: long enough for its bucket, which holds what a
/// second lets in, to be full.
const BUCKET_FILLS: Duration = Duration::from_secs(2);

/// Runs one storm, and prints and writes its figures.
///
/// # Errors
/// When the instrument itself fails: no server to ask, a worker dead, a file that cannot be written.
pub(crate) fn run(args: &StormArgs) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(storm(args))?.publish(args.json.as_deref())
}

/// Prints figures, unless they go to standard output as JSON, and writes them where they are
/// wanted. The exit code says whether there are faults.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn publish(
    figures: &impl Serialize,
    faults: &[String],
    json: Option<&Path>,
    print: impl FnOnce(),
) -> io::Result<ExitCode> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    match json {
        Some(path) if path.as_os_str() == "-" => io::stdout().write_all(text.as_bytes())?,
        Some(path) => {
            print();
            std::fs::write(path, text)?;
        }
        None => print(),
    }
    for fault in faults {
        eprintln!("FAULT: {fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Outcome {
    /// See [`publish`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn publish(&self, json: Option<&Path>) -> io::Result<ExitCode> {
        publish(self, &self.faults, json, || self.print())
    }
}

/// Runs one storm.
///
/// # Errors
/// When the instrument itself fails.
pub(crate) async fn storm(args: &StormArgs) -> io::Result<Outcome> {
    let server = (!args.no_oracle).then(|| Server::new(&args.server_report));
    if let Some(server) = &server {
        server.counts().await.map_err(|error| {
            io::Error::new(error.kind(), format!("no server stand-in to ask ({error}); start one with `loadtest server`, name it with --server-report, or do without the oracle with --no-oracle"))
        })?;
    }
    let options = args.options();
    let admission = Admission::beside(&args.gateway_metrics);
    let mut progress = Progress::new();
    let mut crew = fill_for(args, &admission, &mut progress).await?;
    if let Some(server) = &server {
        let verdict = server.settle(&mut crew, args.settle.0).await?.verdict;
        if !verdict.holds() {
            return failed_before_the_cut(args, &mut crew, verdict).await;
        }
        if let Some(how) = &args.misbehave {
            server.misbehave(how).await?;
        }
        server.reset().await?;
    }
    if let (Some(_), Some(rate)) = (args.conditions.fill_rate, args.conditions.admission_rate) {
        admission.set(rate).await?;
        tokio::time::sleep(BUCKET_FILLS).await;
    }
    args.announce("filled");
    let before = crew.measured().await?;
    let watch = gateway::Watch::begin(&args.gateway_metrics).await;
    let cpu_start = crew.cpu_seconds().await?;
    let cut_at = clock::now() + CUT_LEAD;
    probes::begin(&mut crew, args, cut_at).await?;
    cut(&mut crew, cut_at).await?;
    args.announce("cut");
    let mut course = Course::new(&args.conditions, admission, cut_at);
    course.run(&mut crew, args.timeout.0, &mut progress).await?;
    let cpu_end = crew.cpu_seconds().await?;
    let probed = probes::end(&mut crew).await?;
    let back = watch.sample().await;
    args.announce("back");
    let settled = match &server {
        Some(server) => {
            let settled = server.settle_and_hold(&mut crew, args.hold.0, args.settle.0).await?;
            Some((server.counts().await?, settled))
        }
        None => {
            tokio::time::sleep(args.hold.0).await;
            None
        }
    };
    args.announce("settled");
    let end = watch.sample().await;
    let measured = crew.measured().await?;
    let census = options.census();
    let mut outcome = Outcome::new(census, measured.clone());
    outcome.with_questions(&measured.counted_since(&before));
    let ideal = course.ideal(census.returning, measured.second_wave_cut);
    outcome.queue.with_ideal(&ideal, outcome.seconds_to_100);
    outcome.probes = probed;
    if let Some((counts, settled)) = settled {
        outcome.with_server(counts, settled.verdict);
        outcome.with_settled(settled.at.map(|at| at - cut_at));
    }
    outcome.gateway = Gateway::between(watch.start, back, args.agents.into());
    outcome.gateway.with_memory(&watch, end);
    outcome.client_cpu_seconds = Some(round(cpu_end - cpu_start));
    outcome.judge();
    Ok(outcome)
}

/// Starts the fleet of a storm, and the probes, at the rate meant for that.
async fn fill_for(
    args: &StormArgs,
    admission: &Admission,
    progress: &mut Progress,
) -> io::Result<Crew> {
    if let Some(rate) = args.conditions.fill_rate {
        admission.set(rate).await?;
    }
    let options = args.options();
    let bystanders = probes::hire(args, &options).await?;
    let mut crew = fill(&options, args.timeout.0, progress).await?;
    crew.bystanders = bystanders;
    Ok(crew)
}

/// Starts a fleet and waits until every agent has its first reply.
///
/// # Errors
/// When that does not come about in time.
pub(crate) async fn fill(
    options: &Options,
    patience: Duration,
    progress: &mut Progress,
) -> io::Result<Crew> {
    let mut crew = Crew::hire(options).await?;
    fill_with(&mut crew, patience, progress).await?;
    Ok(crew)
}

/// Waits until every agent has its first reply.
///
/// # Errors
/// When that does not come about in time.
async fn fill_with(crew: &mut Crew, patience: Duration, progress: &mut Progress) -> io::Result<()> {
    let deadline = clock::now() + patience;
    loop {
        let stats = crew.stats().await?;
        progress.show("connected", stats.answered, crew.agents.into(), stats.refusals);
        if stats.answered >= crew.agents.into() {
            progress.clear();
            return Ok(());
        }
        if clock::now() >= deadline {
            let measured = crew.measured().await?;
            return Err(io::Error::other(format!(
                "after {}s only {} of {} agents are connected and answered ({} dials, {} refused, {} failed)",
                patience.as_secs(),
                stats.answered,
                crew.agents,
                measured.dials,
                measured.refusals,
                measured.dial_failures
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Cuts all connections at one instant, which has come when this returns it.
///
/// # Errors
/// When a worker has died.
pub(crate) async fn send_cut(crew: &mut Crew) -> io::Result<Instant> {
    let at = clock::now() + CUT_LEAD;
    cut(crew, at).await?;
    Ok(at)
}

async fn cut(crew: &mut Crew, at: Instant) -> io::Result<()> {
    crew.cut(at, Wave::First).await?;
    tokio::time::sleep_until(at.into()).await;
    Ok(())
}

/// Waits until everybody is back, or the time is over; the outcome shows which.
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

/// There is no point in a storm whose beginning is wrong already.
async fn failed_before_the_cut(
    args: &StormArgs,
    crew: &mut Crew,
    verdict: Verdict,
) -> io::Result<Outcome> {
    let counts = Server::new(&args.server_report).counts().await?;
    let mut outcome = Outcome::new(args.options().census(), crew.measured().await?);
    outcome.with_server(counts, verdict);
    outcome
        .faults
        .push("the server's view was wrong before the cut; there was no storm".to_owned());
    Ok(outcome)
}
