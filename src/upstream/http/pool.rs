//! What the tasks of one server of mode `http` share: its channels, the requests' common part, the
//! agents that are polled for.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::exchange::{ExchangeLimits, RequestTemplate};
use crate::clock;
use crate::core::http_mode::{ASIDES_MAX, PollParts};
use crate::ident::InstanceUid;
use crate::sessions::Sessions;
use crate::upstream::link_set::LinkSet;
use crate::upstream::params::UpstreamParams;
use crate::upstream::queue::Post;
use crate::upstream::servers::Server;

/// See the module's text.
pub(in crate::upstream) struct HttpPool {
    pub(in crate::upstream) server: Arc<Server>,
    pub(in crate::upstream) channels: LinkSet,
    pub(super) template: RequestTemplate,
    pub(super) limits: ExchangeLimits,
    pub(super) parts: PollParts,
    /// The agents that are polled for, by their part of the interval. Each is in here once: there are
    /// at most as many as sessions.
    polled: Box<[Mutex<HashSet<InstanceUid>>]>,
    /// Permits for exchanges that go on beside their channels.
    pub(super) asides: Arc<Semaphore>,
    /// A channel has come up.
    pub(super) returned: Notify,
}

impl HttpPool {
    pub(in crate::upstream) fn new(
        server: &Arc<Server>,
        channels: LinkSet,
        parts: PollParts,
        all: &UpstreamParams,
    ) -> Self {
        // A server that is slow for all must not get many more connections for that.
        let asides = ASIDES_MAX.max(channels.iter().count() / 4);
        Self {
            server: Arc::clone(server),
            channels,
            template: RequestTemplate::new(&server.params),
            limits: ExchangeLimits {
                message_bytes_max: all.message_bytes_max,
                timeout: all.ping_interval.saturating_add(all.ping_timeout),
            },
            parts,
            polled: (0..parts.count()).map(|_| Mutex::default()).collect(),
            asides: Arc::new(Semaphore::new(asides)),
            returned: Notify::new(),
        }
    }

    /// A message of this agent's went to the server: from here on it is polled for.
    pub(in crate::upstream) fn add(&self, uid: InstanceUid) {
        self.polled[self.parts.part_of(uid)].lock().insert(uid);
    }

    /// Polls for this agent end.
    pub(in crate::upstream) fn remove(&self, uid: InstanceUid) {
        self.polled[self.parts.part_of(uid)].lock().remove(&uid);
    }

    /// How many agents the server is asked for.
    pub(super) fn agents(&self) -> usize {
        self.polled.iter().map(|part| part.lock().len()).sum()
    }

    /// The agents of one part.
    pub(super) fn part(&self, index: usize) -> Vec<InstanceUid> {
        self.polled[index].lock().iter().copied().collect()
    }

    /// The message's answer will stay out: its session is told. `again`: what it said must be sent once
    /// more.
    pub(super) fn not_taken(&self, sessions: &Sessions, post: &Post, again: bool) {
        if let Some(answer) = sessions.not_taken(post.uid, post.route, again) {
            self.server.pacer.answered(post.route.link.index, answer, clock::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::upstream::params::{Mode, ServerParams};
    use crate::upstream::queue::{LinkBounds, LinkQueue};
    use crate::upstream::servers::Servers;

    #[test]
    fn an_agent_is_polled_for_in_one_part_until_it_leaves() {
        let poll_interval = Duration::from_secs(30);
        let server = ServerParams {
            mode: Mode::Http { connections: NonZeroU16::MIN, poll_interval },
            ..ServerParams::at(http::Uri::from_static("http://127.0.0.1:1/"))
        };
        let now: Instant = clock::now();
        let params = UpstreamParams { servers: vec![server], ..UpstreamParams::default() };
        let servers = Servers::new(params, now).map_err(|(_, error)| error).unwrap();
        let server = servers.iter().next().unwrap();
        let bounds = LinkBounds { bytes_max: 1, messages_max: 1 };
        let channels = LinkSet::new(server.id, 1, bounds, LinkQueue::posts);
        let parts = PollParts::new(poll_interval);
        let pool = HttpPool::new(server, channels, parts, &servers.params);
        let uid = |n: u8| InstanceUid::from_bytes([n; 16]);
        for n in [1, 2, 1, 3] {
            pool.add(uid(n));
        }
        let found = |n| {
            let holds = |part: &usize| pool.part(*part).contains(&uid(n));
            (0..pool.parts.count()).filter(holds).count()
        };
        assert_eq!((pool.agents(), found(1), found(4)), (3, 1, 0));
        pool.remove(uid(1));
        assert_eq!((pool.agents(), found(1)), (2, 0));
    }
}
