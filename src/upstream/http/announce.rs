//! Announces agents to a server of mode `http` that came back. Its channels come back one by one, and one
//! walk over all sessions serves all channels that return within a moment. For WebSockets `websocket::keep`
//! does so, link by link.

use std::sync::Arc;

use super::pool::HttpPool;
use crate::core::http_mode::GATHER;
use crate::sessions::Sessions;
use crate::upstream::servers::Servers;
use crate::upstream::walk;

/// Enqueues the agents of channels that have come up, as long as the node lives.
pub(super) async fn announce(pool: Arc<HttpPool>, servers: Arc<Servers>, sessions: Arc<Sessions>) {
    loop {
        pool.returned.notified().await;
        tokio::time::sleep(GATHER).await;
        let (pool, servers) = (Arc::clone(&pool), Arc::clone(&servers));
        let back = move |uid| {
            servers.place(uid).is_some_and(|place| place.id == pool.server.id)
                && pool.channels.of(uid).is_some_and(|link| link.is_up())
        };
        walk::enqueue_all(&sessions, back).await;
    }
}
