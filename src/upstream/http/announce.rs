//! Announces agents to a server of mode `http` that came back. Its channels come back one by one, and one
//! walk over all sessions serves all channels that return within a moment. For WebSockets `websocket::keep`
//! does so, link by link.

use std::sync::Arc;

use super::pool::HttpPool;
use crate::core::http_mode::GATHER;
use crate::sessions::Sessions;
use crate::upstream::servers::Servers;

/// Enqueues the agents of channels that have come up, as long as the node lives.
pub(super) async fn announce(pool: Arc<HttpPool>, servers: Arc<Servers>, sessions: Arc<Sessions>) {
    loop {
        pool.returned.notified().await;
        tokio::time::sleep(GATHER).await;
        let (pool, servers) = (Arc::clone(&pool), Arc::clone(&servers));
        let sessions = Arc::clone(&sessions);
        // A walk over a million sessions takes a tenth of a second: that is for a thread of its own.
        let walk = tokio::task::spawn_blocking(move || {
            sessions.enqueue_all(&|uid| {
                servers.place(uid).is_some_and(|place| place.id == pool.server.id)
                    && pool.channels.of(uid).is_some_and(|link| link.is_up())
            })
        });
        let _ = walk.await;
    }
}
