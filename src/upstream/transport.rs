//! What leads to a server, by its mode. Here alone the mode is asked for when a message is sent, a link
//! is looked for, or links are summed up.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::http::{self, HttpPool};
use super::link::{APART, Link};
use super::link_set::LinkSet;
use super::params::{Mode, UpstreamParams};
use super::queue::{LinkBounds, LinkQueue};
use super::servers::{Server, Servers};
use super::websocket::{self, LinkTask, OwnLinks};
use crate::core::http_mode::PollParts;
use crate::core::session::Route;
use crate::core::suspects::MessageWay;
use crate::ident::{Incarnation, InstanceUid, LinkId};
use crate::sessions::{NotSent, Sessions};

/// Bytes that may wait on one agent's own link.
const AGENT_LINK_BYTES_MAX: usize = 1 << 20;
/// Channels of mode `http` share what one link may hold. Each has at least this much, so that it has room
/// for a few messages whatever their number.
const CHANNEL_BYTES_MIN: usize = 64 << 10;
const CHANNEL_MESSAGES_MIN: usize = 16;

/// The links of one server.
pub(super) enum Transport {
    /// A fixed number of WebSockets for all agents, and one for each agent that goes apart for a while.
    Multiplexed { shared: LinkSet, apart: OwnLinks },
    /// A WebSocket for each agent.
    PerAgent(OwnLinks),
    /// A fixed number of channels of POSTs.
    Http(Arc<HttpPool>),
}

/// A server and what leads to it.
pub(super) struct Target {
    pub(super) server: Arc<Server>,
    pub(super) transport: Transport,
}

impl Transport {
    /// As the server's mode wants it.
    pub(super) fn new(server: &Arc<Server>, all: &UpstreamParams) -> Self {
        let (bytes_max, messages_max) = (all.queue_bytes_max, all.queue_messages_max);
        let count = server.params.mode.shared_links();
        match server.params.mode {
            Mode::Multiplexed { .. } => {
                let bounds = LinkBounds { bytes_max, messages_max };
                let shared = LinkSet::new(server.id, count, bounds, LinkQueue::frames);
                let bytes_max = bytes_max.min(AGENT_LINK_BYTES_MAX);
                let apart = OwnLinks::apart(server, LinkBounds { bytes_max, messages_max });
                Self::Multiplexed { shared, apart }
            }
            Mode::PerAgent => {
                let bytes_max = bytes_max.min(AGENT_LINK_BYTES_MAX);
                Self::PerAgent(OwnLinks::new(server, LinkBounds { bytes_max, messages_max }))
            }
            Mode::Http { poll_interval, .. } => {
                let share = usize::from(count);
                let bounds = LinkBounds {
                    bytes_max: (bytes_max / share).max(CHANNEL_BYTES_MIN),
                    messages_max: (messages_max / share).max(CHANNEL_MESSAGES_MIN),
                };
                let channels = LinkSet::new(server.id, count, bounds, LinkQueue::posts);
                let parts = PollParts::new(poll_interval);
                Self::Http(Arc::new(HttpPool::new(server, channels, parts, all)))
            }
        }
    }

    /// Starts the tasks of the links that are there from the start.
    pub(super) fn start(
        &self,
        tasks: &mut JoinSet<()>,
        server: &Arc<Server>,
        servers: &Arc<Servers>,
        sessions: &Arc<Sessions>,
    ) {
        match self {
            Self::Multiplexed { shared, apart } => {
                apart.start(servers, sessions);
                for link in shared.iter() {
                    tasks.spawn(websocket::keep_link(LinkTask {
                        servers: Arc::clone(servers),
                        server: Arc::clone(server),
                        link: Arc::clone(link),
                        sessions: Arc::clone(sessions),
                    }));
                }
            }
            Self::PerAgent(own) => own.start(servers, sessions),
            Self::Http(pool) => http::start(tasks, pool, servers, sessions),
        }
    }

    /// The links that all agents share.
    pub(super) fn shared(&self) -> Option<&LinkSet> {
        match self {
            Self::Multiplexed { shared, .. } => Some(shared),
            Self::PerAgent(_) => None,
            Self::Http(pool) => Some(&pool.channels),
        }
    }

    /// The link that an agent's messages take, if it is there already.
    pub(super) fn link_of(&self, uid: InstanceUid) -> Option<Arc<Link>> {
        match self {
            Self::PerAgent(own) => own.get(uid),
            Self::Multiplexed { shared, apart } => {
                apart.of_apart(uid).or_else(|| shared.of(uid).cloned())
            }
            Self::Http(pool) => pool.channels.of(uid).cloned(),
        }
    }

    /// The way that an agent's next message takes. An agent's own link that is still to be made will
    /// have the first incarnation.
    pub(super) fn route(&self, uid: InstanceUid, server: &Server) -> Route {
        let link = LinkId { server: server.id, index: 0 };
        let first = Route::of_link(link, Incarnation(1));
        let of = |link: &Arc<Link>| if link.is_released() { first } else { link.route() };
        match self {
            Self::PerAgent(own) => own.route(uid).unwrap_or(first),
            Self::Multiplexed { shared, apart } => match apart.of_apart(uid) {
                Some(link) => link.route(),
                None => shared.of(uid).map_or(first, of),
            },
            Self::Http(pool) => pool.channels.of(uid).map_or(first, of),
        }
    }

    /// Takes one message; returns the bytes that this adds to the link's queue.
    pub(super) fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<usize, NotSent> {
        let shared = |links: &LinkSet, write| {
            let link = links.get(route.link.index).ok_or(NotSent::Stale)?;
            link.send(uid, route.incarnation, write)
        };
        match self {
            Self::PerAgent(own) => own.make(uid).send(uid, route.incarnation, write),
            Self::Multiplexed { shared: links, apart } => match apart.of_apart(uid) {
                Some(link) if route.link.index == APART => link.send(uid, route.incarnation, write),
                // It was looked up before the agent went apart, or came back.
                Some(_) => Err(NotSent::Stale),
                None => shared(links, write),
            },
            Self::Http(pool) => {
                let bytes = shared(&pool.channels, write)?;
                pool.add(uid);
                Ok(bytes)
            }
        }
    }

    /// The agent's session came from another node: the server is asked on its behalf from now on.
    pub(super) fn adopt(&self, uid: InstanceUid) {
        if let Self::Http(pool) = self {
            pool.add(uid);
        }
    }

    /// The agent's session is over.
    pub(super) fn release(&self, uid: InstanceUid) {
        match self {
            Self::Multiplexed { apart: own, .. } | Self::PerAgent(own) => own.release(uid),
            Self::Http(pool) => pool.remove(uid),
        }
    }

    /// Where a message on this route goes, for `core::suspects`.
    pub(super) const fn way(&self, route: Route) -> MessageWay {
        match self {
            Self::Multiplexed { .. } if route.link.index != APART => MessageWay::Shared,
            _ => MessageWay::Own,
        }
    }

    /// Whether all is answered on the agent's own link.
    pub(super) fn is_quiet(&self, uid: InstanceUid) -> bool {
        match self {
            Self::Multiplexed { apart: own, .. } | Self::PerAgent(own) => own.is_quiet(uid),
            Self::Http(_) => true,
        }
    }

    /// The agent has been apart for long enough.
    pub(super) fn rejoin(&self, uid: InstanceUid, sessions: &Sessions) {
        if let Self::Multiplexed { apart, .. } = self {
            apart.rejoin(uid, sessions);
        }
    }

    /// All links that are there.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        match self {
            Self::PerAgent(own) => own.all(),
            Self::Multiplexed { shared, apart } => {
                shared.iter().cloned().chain(apart.all()).collect()
            }
            Self::Http(pool) => pool.channels.iter().cloned().collect(),
        }
    }

    /// Bytes in all queues.
    pub(super) fn waiting_bytes(&self) -> usize {
        match self {
            Self::PerAgent(own) => own.waiting_bytes(),
            Self::Multiplexed { shared, apart } => {
                let shared: usize = shared.iter().map(|link| link.waiting_bytes()).sum();
                shared + apart.waiting_bytes()
            }
            Self::Http(pool) => pool.channels.iter().map(|link| link.waiting_bytes()).sum(),
        }
    }

    /// Whether a server's pause keeps what waits on the links from being written. A WebSocket writes what
    /// is on it nevertheless.
    pub(super) const fn heeds_pauses(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}
