//! Mode `http`: each message a POST. Channels send them over pooled connections, agents are polled for,
//! and a failing server is probed. `core::http_mode` decides; here it is carried out.

mod announce;
mod channel;
mod exchange;
mod foreign;
mod polls;
mod pool;
mod probe;

use std::sync::Arc;

use tokio::task::JoinSet;

pub(super) use pool::HttpPool;

use super::servers::Servers;
use crate::sessions::Sessions;
use channel::ChannelTask;

/// Starts the tasks of one server.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    pool: &Arc<HttpPool>,
    servers: &Arc<Servers>,
    sessions: &Arc<Sessions>,
) {
    for link in pool.channels.iter() {
        tasks.spawn(channel::keep_channel(ChannelTask {
            pool: Arc::clone(pool),
            servers: Arc::clone(servers),
            rule: servers.params.backoff_rule(),
            link: Arc::clone(link),
            sessions: Arc::clone(sessions),
        }));
    }
    tasks.spawn(polls::poll(Arc::clone(pool), Arc::clone(sessions)));
    tasks.spawn(announce::announce(Arc::clone(pool), Arc::clone(servers), Arc::clone(sessions)));
    tasks.spawn(probe::probe(Arc::clone(pool), Arc::clone(servers), Arc::clone(sessions)));
}
