//! The beginning of every measurement: all agents of a fleet connect and get their first reply.

use std::io;
use std::time::Duration;

use seawall::clock;

use super::args::POLL;
use super::progress::Progress;
use crate::crew::Crew;
use crate::fleet::Options;

/// Starts a fleet and waits until every agent has its first reply.
///
/// # Errors
/// When a process of the fleet cannot be started, or `patience` ends first.
pub(crate) async fn fill(
    options: &Options,
    patience: Duration,
    progress: &mut Progress,
) -> io::Result<Crew> {
    let mut crew = Crew::hire(options).await?;
    fill_with(&mut crew, patience, progress).await?;
    Ok(crew)
}

/// Waits until every agent of a fleet that has been started has its first reply.
///
/// # Errors
/// When a worker has died, or `patience` ends first.
pub(super) async fn fill_with(
    crew: &mut Crew,
    patience: Duration,
    progress: &mut Progress,
) -> io::Result<()> {
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
