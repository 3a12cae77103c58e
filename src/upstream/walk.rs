//! Walks over all sessions. One over a million takes a tenth of a second: that is for a thread of its own.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::ident::InstanceUid;
use crate::sessions::Sessions;

/// Has the sessions that `chosen` names wait for permits. A panic of the walk is the caller's own, so that agents that
/// it has left out do not wait for good.
pub(super) async fn enqueue_all<F>(sessions: &Arc<Sessions>, chosen: F)
where
    F: Fn(InstanceUid) -> bool + Send + 'static,
{
    let sessions = Arc::clone(sessions);
    if let Err(error) = spawn_blocking(move || sessions.enqueue_all(&chosen)).await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
