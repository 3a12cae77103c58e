//! Mode `http`: has a server that came back told of its agents. `tasks` does so for WebSockets, link by link.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::server::Server;
use crate::sessions::Sessions;

/// Introduces agents to a server that came back. Its lanes come back one by one, and one walk over all
/// sessions serves those of a moment.
pub(super) async fn reintroduce(up: Arc<Upstream>, server: Arc<Server>, sessions: Arc<Sessions>) {
    const GATHER: Duration = Duration::from_millis(50);
    loop {
        server.reintroduce.notified().await;
        tokio::time::sleep(GATHER).await;
        let (up, server) = (Arc::clone(&up), Arc::clone(&server));
        let sessions = Arc::clone(&sessions);
        // A walk over a million sessions takes a tenth of a second: not on a thread that serves.
        let walk = tokio::task::spawn_blocking(move || {
            sessions.enqueue_all(&|uid| {
                up.place(uid).is_some_and(|place| place.id == server.id)
                    && server.shared_link(uid).is_some_and(|link| link.is_up())
            })
        });
        let _ = walk.await;
    }
}
