//! Limits of the sessions that connections go by, too.

use std::time::Duration;

use super::Sessions;

/// Half of the sessions that there may be: as many agents as one connection may bring, if nothing else is set. Others
/// find the other half.
pub fn half_of_all(sessions: &Sessions) -> usize {
    (sessions.params.sessions_max as usize / 2).max(1)
}

/// How long an agent of which nothing else is known may be silent.
pub fn silence_max(sessions: &Sessions) -> Duration {
    sessions.params.poll_timeout
}
