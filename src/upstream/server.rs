//! One server: its links, what it says of itself, whether it can be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::dial::Endpoint;
use super::link::{Bounds, Carries, Link};
use super::pace::Pace;
use super::params::{Mode, ServerParams, UpstreamParams};
use super::polls::Polls;
use super::post::Template;
use super::tls::TlsError;
use crate::core::placement::{Seed, link_of};
use crate::core::server::{ServerEffect, ServerEvent, ServerRules, ServerState};
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
    /// `http`: whether channels may be up. Mirrors the state, for tasks that wait for a change.
    pub(super) usable: watch::Sender<bool>,
    pub(super) bounds: Bounds,
    server_hello: RwLock<Arc<ServerHello>>,
    state: Mutex<ServerState>,
    /// Mirrors of the state, for paths that every message takes.
    reached: AtomicBool,
    in_use: AtomicBool,
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

/// By what times the server is judged. One without shared links is dialled to see whether it is back.
fn rules(params: &ServerParams, all: &UpstreamParams) -> ServerRules {
    let dial_probes = (params.mode == Mode::PerAgent).then(|| all.backoff_rule());
    ServerRules { failover_after: all.failover_after, stable_after: all.stable_after, dial_probes }
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
            usable: watch::Sender::new(true),
            bounds,
            server_hello: RwLock::default(),
            state: Mutex::new(ServerState::new(rules(params, all), now)),
            reached: AtomicBool::new(false),
            in_use: AtomicBool::new(true),
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

    /// Takes note of an event, and carries out what concerns this server alone. Returns the rest.
    pub(super) fn handle(&self, event: ServerEvent, now: Instant) -> Vec<ServerEffect> {
        let mut effects = {
            let mut state = self.state.lock();
            let effects = state.handle(event, now);
            // With the lock, so that what others see is what was decided last.
            self.reached.store(state.is_reached(), Ordering::Relaxed);
            self.in_use.store(state.in_use(), Ordering::Relaxed);
            let usable = !state.is_failing();
            self.usable.send_if_modified(|before| std::mem::replace(before, usable) != usable);
            effects
        };
        effects.retain(|effect| match *effect {
            ServerEffect::LastLinkLost => {
                self.pace.links_all_lost(now);
                false
            }
            ServerEffect::Pause(pause) => {
                self.pace.pause(now + pause, now);
                Paused { server: &self.params.name, pause }.emit(&self.metrics);
                false
            }
            _ => true,
        });
        effects
    }

    /// The same, of an event that is worth a line in the log. Returns whether it is the first of its
    /// kind.
    pub(super) fn is_first(&self, event: ServerEvent, now: Instant) -> bool {
        self.handle(event, now).contains(&ServerEffect::Tell)
    }

    /// A link that was up is gone.
    pub(super) fn link_lost(&self, link: &Link, now: Instant) {
        // What an agent's own link took with it is forgotten in time: it is counted with all others.
        if link.owner.is_none() {
            self.pace.link_lost(link.id.index);
        }
        self.handle(ServerEvent::LinkLost, now);
    }

    /// How long dials are still held back.
    pub(super) fn held(&self, now: Instant) -> Option<Duration> {
        self.state.lock().held(now)
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    pub(super) fn has_links_up(&self) -> bool {
        self.state.lock().links_up() > 0
    }

    /// Whether agents are placed here.
    pub(super) fn is_available(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// One of the agents whose messages failed, a different one for each turn.
    pub(super) fn reporter(&self, turn: usize) -> Option<InstanceUid> {
        self.state.lock().reporter(turn)
    }
}
