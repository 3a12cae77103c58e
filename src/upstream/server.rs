//! One server: its links, what it says of itself, whether it can be reached.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use http::StatusCode;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::dial::{DialError, Endpoint};
use super::link::{Bounds, Carries, Link};
use super::pace::Pace;
use super::params::{Mode, ServerParams, UpstreamParams};
use super::polls::Polls;
use super::post::Template;
use super::tls::TlsError;
use crate::core::backoff::RETRY_AFTER_MAX;
use crate::core::placement::{Seed, link_of};
use crate::core::usability::Usability;
use crate::ident::{InstanceUid, LinkId, ServerId};
use crate::opamp::server::ServerScan;
use crate::sessions::ServerHello;
use crate::telemetry::ServerMetrics;
use crate::telemetry::events::upstream::{LinkName, Paused};

/// Bytes that may wait on one agent's own link.
const AGENT_LINK_BYTES_MAX: usize = 1 << 20;
/// Lanes of mode `http` share what one link may hold; each has so much, lest it never has room.
const LANE_BYTES_MIN: usize = 64 << 10;
const LANE_MESSAGES_MIN: usize = 16;

pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) params: ServerParams,
    pub(super) seed: Seed,
    pub(super) metrics: ServerMetrics,
    pub(super) endpoint: Endpoint,
    pub(super) pace: Pace,
    pub(super) dials: tokio::sync::Semaphore,
    /// `multiplexed` and `http`: fixed. `per-agent`: empty.
    pub(super) shared: Vec<Arc<Link>>,
    /// `per-agent`: one an agent. Else empty.
    pub(super) owned: DashMap<InstanceUid, Arc<Link>>,
    /// `http`: what each POST begins with, and who is polled for.
    pub(super) template: Template,
    pub(super) polls: Option<Polls>,
    /// `http`: a lane came back.
    pub(super) reintroduce: Notify,
    /// `http`: whether what goes there is taken; see `usable`.
    pub(super) usability: Mutex<Usability>,
    pub(super) usable: watch::Sender<bool>,
    pub(super) bounds: Bounds,
    server_hello: RwLock<Arc<ServerHello>>,
    links_up: AtomicUsize,
    /// Whether agents are placed here.
    available: AtomicBool,
    /// A push that cannot be routed is worth one line in the log.
    anonymous_logged: AtomicBool,
    failure_logged: AtomicBool,
    /// Statuses that are worth no further line in the log: at most as many as there are.
    refusals_logged: Mutex<HashSet<StatusCode>>,
    /// How long a server must hold for its return to count.
    stable_after: Duration,
    reach: Mutex<Reach>,
}

/// When the server could be reached.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// The last dial succeeded, or a link is up; and what goes there is taken.
    reachable: bool,
    since: Instant,
    /// Since when it was of no use the last time, unless it was lost as a whole since then.
    useless_since: Option<Instant>,
    /// No dial before then: the server answered one with `Retry-After`.
    held_until: Option<Instant>,
}

/// How many links all agents share, and what each link may hold.
fn shape(params: &ServerParams, all: &UpstreamParams) -> (u16, Carries, Bounds) {
    let (bytes_max, messages_max) = (all.queue_bytes_max, all.queue_messages_max);
    match params.mode {
        Mode::Multiplexed { links } => {
            (links.get(), Carries::Frames, Bounds { bytes_max, messages_max })
        }
        Mode::PerAgent => {
            let bytes_max = bytes_max.min(AGENT_LINK_BYTES_MAX);
            (0, Carries::Frames, Bounds { bytes_max, messages_max })
        }
        Mode::Http { connections, .. } => {
            let lanes = usize::from(connections.get());
            let bytes_max = (bytes_max / lanes).max(LANE_BYTES_MIN);
            let messages_max = (messages_max / lanes).max(LANE_MESSAGES_MIN);
            (connections.get(), Carries::Posts, Bounds { bytes_max, messages_max })
        }
    }
}

impl Server {
    pub(super) fn new(
        id: ServerId,
        params: &ServerParams,
        all: &UpstreamParams,
        now: Instant,
    ) -> Result<Self, TlsError> {
        let (count, carries, bounds) = shape(params, all);
        let shared = (0..count)
            .map(|index| LinkId { server: id, index })
            .map(|link| Arc::new(Link::new(link, None, carries, bounds)))
            .collect();
        let polls = match params.mode {
            Mode::Http { poll_interval, .. } => Some(Polls::new(poll_interval)),
            Mode::Multiplexed { .. } | Mode::PerAgent => None,
        };
        Ok(Self {
            id,
            params: params.clone(),
            seed: Seed::of_name(&params.name),
            metrics: ServerMetrics::new(&params.name),
            endpoint: Endpoint::new(params, all.dial_timeout)?,
            pace: Pace::new(params, all, now),
            dials: tokio::sync::Semaphore::new(usize::from(all.dials_max.get())),
            shared,
            owned: DashMap::new(),
            template: Template::new(params),
            polls,
            reintroduce: Notify::new(),
            usability: Mutex::default(),
            usable: watch::Sender::new(true),
            bounds,
            server_hello: RwLock::default(),
            links_up: AtomicUsize::new(0),
            available: AtomicBool::new(true),
            anonymous_logged: AtomicBool::new(false),
            failure_logged: AtomicBool::new(false),
            refusals_logged: Mutex::default(),
            stable_after: all.stable_after,
            reach: Mutex::new(Reach {
                reachable: false,
                since: now,
                useless_since: None,
                held_until: None,
            }),
        })
    }

    /// The shared link an agent's messages take; `None` in `per-agent` mode.
    pub(super) fn shared_link(&self, uid: InstanceUid) -> Option<&Arc<Link>> {
        let count = u16::try_from(self.shared.len()).unwrap_or(u16::MAX);
        self.shared.get(usize::from(link_of(uid, count)))
    }

    pub(super) fn link_of(&self, uid: InstanceUid) -> Option<Arc<Link>> {
        self.shared_link(uid)
            .cloned()
            .or_else(|| self.owned.get(&uid).map(|link| Arc::clone(&link)))
    }

    pub(super) fn name<'a>(&'a self, link: &Link) -> LinkName<'a> {
        // Pooled connections come and go.
        let shared = link.owner.is_none() && self.polls.is_none();
        LinkName { server: &self.params.name, link: link.id.index, shared }
    }

    pub(super) fn server_hello(&self) -> Arc<ServerHello> {
        Arc::clone(&self.server_hello.read())
    }

    /// Learns what the server says of itself: the first reply of a connection carries it.
    pub(super) fn learn(&self, scan: &ServerScan<'_>) {
        let custom = scan.custom_capabilities.clone().map(|range| &scan.bytes[range]);
        if scan.capabilities.is_none() && custom.is_none() {
            return;
        }
        let known = self.server_hello();
        let capabilities = scan.capabilities.or(known.capabilities);
        if capabilities == known.capabilities
            && (custom.is_none() || custom == known.custom_capabilities.as_deref())
        {
            return;
        }
        let custom_capabilities =
            custom.map(<[u8]>::to_vec).or_else(|| known.custom_capabilities.clone());
        *self.server_hello.write() = Arc::new(ServerHello { capabilities, custom_capabilities });
    }

    /// Whether a failed dial is the first since the server was last there: worth a line in the log.
    pub(super) fn first_failure(&self) -> bool {
        !self.failure_logged.swap(true, Ordering::Relaxed)
    }

    /// Whether a refusal with this status is the first one.
    pub(super) fn first_refusal(&self, status: StatusCode) -> bool {
        self.refusals_logged.lock().insert(status)
    }

    /// Returns whether it is the first one that is up.
    pub(super) fn link_came(&self, now: Instant) -> bool {
        self.failure_logged.store(false, Ordering::Relaxed);
        let before = self.links_up.fetch_add(1, Ordering::Relaxed);
        self.reached(true, now);
        before == 0
    }

    pub(super) fn link_went(&self, link: &Link, now: Instant) {
        // What an agent's own link took with it is forgotten in time: it is not counted apart.
        if link.owner.is_none() {
            self.pace.link_lost(link.id.index);
        }
        if self.links_up.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.pace.links_all_lost(now);
            self.reached(false, now);
        }
    }

    /// What one link is told by `Retry-After` holds for all. A server that is too busy for another
    /// link is too busy for messages on those that it has.
    pub(super) fn dial_failed(&self, error: &DialError, now: Instant) {
        if self.links_up.load(Ordering::Relaxed) == 0 {
            self.reached(false, now);
        }
        let Some(asked) = error.retry_after() else { return };
        if error.is_overload() {
            self.pause(asked, now);
        }
        let until = Some(now + asked.min(RETRY_AFTER_MAX));
        let mut reach = self.reach.lock();
        reach.held_until = reach.held_until.max(until);
    }

    /// For how much longer nobody may dial.
    pub(super) fn held(&self, now: Instant) -> Option<Duration> {
        let until = self.reach.lock().held_until?;
        (until > now).then(|| until - now)
    }

    fn reached(&self, reachable: bool, now: Instant) {
        let mut reach = self.reach.lock();
        if reach.reachable != reachable {
            reach.reachable = reachable;
            reach.since = now;
            reach.useless_since = reach.useless_since.filter(|_| reachable);
        }
    }

    /// What goes to the server comes to nothing, whatever its connections say. If it was of use only for
    /// a moment, it has been of no use all the time: else one that answers probes alone would never
    /// lose its agents.
    pub(super) fn lost_use(&self, now: Instant) {
        let mut reach = self.reach.lock();
        if !reach.reachable {
            return;
        }
        let relapsed = now.saturating_duration_since(reach.since) < self.stable_after;
        let since = reach.useless_since.filter(|_| relapsed).unwrap_or(now);
        *reach = Reach { reachable: false, since, useless_since: Some(since), ..*reach };
    }

    /// The contrary. Lanes that have closed say by their return that the server is there.
    pub(super) fn of_use_again(&self, now: Instant) {
        if self.has_links_up() {
            self.reached(true, now);
        }
    }

    /// A dial that opened no link for anybody has shown that the server is there.
    pub(super) fn probed(&self, now: Instant) {
        self.reached(true, now);
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reach.lock().reachable
    }

    pub(super) fn has_links_up(&self) -> bool {
        self.links_up.load(Ordering::Relaxed) > 0
    }

    /// Whether it can be reached, and for how long that has been so.
    pub(super) fn reach(&self, now: Instant) -> (bool, Duration) {
        let reach = *self.reach.lock();
        (reach.reachable, now.saturating_duration_since(reach.since))
    }

    pub(super) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// Returns whether that is a change.
    pub(super) fn set_available(&self, available: bool) -> bool {
        self.available.swap(available, Ordering::Relaxed) != available
    }

    /// The server wants peace for so long: obeyed within reason, for a mistake in a unit must not
    /// silence its agents.
    pub(super) fn pause(&self, asked: Duration, now: Instant) {
        let pause = asked.min(RETRY_AFTER_MAX);
        self.pace.pause(now + pause, now);
        Paused { server: &self.params.name, pause }.emit(&self.metrics);
    }

    /// Whether an anonymous push is the first one.
    pub(super) fn first_anonymous(&self) -> bool {
        !self.anonymous_logged.swap(true, Ordering::Relaxed)
    }
}
