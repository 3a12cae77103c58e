//! The cut: all connections of a fleet end at one instant, in every process of it.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;

use crate::crew::Crew;
use crate::fleet::manners::Wave;

/// How far ahead a cut is announced, so that the order reaches every process before it falls due.
pub(super) const CUT_LEAD: Duration = Duration::from_millis(300);

/// Cuts all connections. The instant of the cut, which is returned, has passed by then.
///
/// # Errors
/// When a worker has died.
pub(crate) async fn send_cut(crew: &mut Crew) -> io::Result<Instant> {
    let at = clock::now() + CUT_LEAD;
    cut(crew, at).await?;
    Ok(at)
}

/// Orders the cut for `at` and returns at that instant.
///
/// # Errors
/// When a worker has died.
pub(super) async fn cut(crew: &mut Crew, at: Instant) -> io::Result<()> {
    crew.cut(at, Wave::First).await?;
    tokio::time::sleep_until(at.into()).await;
    Ok(())
}
