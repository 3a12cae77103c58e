//! One server: the shell around its state. `core::server` decides; here events are handed in under a
//! lock, and what follows for the pacer, the metrics and the tasks that watch is carried out.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use super::shared_pacer::SharedPacer;
use super::shared_suspects::SharedSuspects;
use crate::core::pacing::Permit;
use crate::core::placement::Seed;
use crate::core::server::{
    Blame, KeyedBy, Keying, ServerEffect, ServerEvent, ServerRules, ServerState,
};
use crate::ident::{InstanceUid, ServerId};
use crate::opamp::server::ServerScan;
use crate::sessions::ServerHello;
use crate::telemetry::ServerMetrics;
use crate::telemetry::events::upstream::{Paused, ServerUnusable, ServerUsable};
use crate::tls::TlsError;
use crate::upstream::dial::Endpoint;
use crate::upstream::params::{Mode, ServerParams, UpstreamParams};
use crate::upstream::voice::Voice;

/// A message that failed, for the server's state and the log.
pub(in crate::upstream) struct MessageFailure<'a> {
    /// Whose it was.
    pub(in crate::upstream) uid: InstanceUid,
    /// How many agents the server has.
    pub(in crate::upstream) agents: usize,
    pub(in crate::upstream) blame: Blame,
    /// What came instead of an answer.
    pub(in crate::upstream) reason: &'a dyn Display,
}

pub(in crate::upstream) struct Server {
    pub(in crate::upstream) id: ServerId,
    pub(in crate::upstream) params: ServerParams,
    pub(in crate::upstream) seed: Seed,
    pub(in crate::upstream) metrics: ServerMetrics,
    pub(in crate::upstream) endpoint: Endpoint,
    pub(in crate::upstream) pacer: SharedPacer,
    pub(in crate::upstream) suspects: SharedSuspects,
    /// Permits to dial: agents' own links, and pooled connections, come in numbers.
    pub(in crate::upstream) dials: Semaphore,
    hello: RwLock<Arc<ServerHello>>,
    state: Mutex<ServerState>,
    /// Mirrors of the state, for paths that every message takes, and for tasks that wait for a change.
    reached: AtomicBool,
    in_use: AtomicBool,
    holds_still: AtomicBool,
    healthy: watch::Sender<bool>,
}

/// By what times the server is judged. One whose links are its agents' own is dialled
/// to see whether it is back.
fn rules(params: &ServerParams, all: &UpstreamParams) -> ServerRules {
    ServerRules {
        failover_after: all.failover_after,
        stable_after: all.stable_after,
        dial_probes: (params.mode == Mode::PerAgent).then(|| all.backoff_rule()),
        keyed_by: match params.mode {
            Mode::PerAgent => KeyedBy::OwnLink,
            Mode::Multiplexed { .. } => params.keyed_by,
            // Connections mean nothing to it.
            Mode::Http { .. } => KeyedBy::Uid,
        },
    }
}

impl Server {
    pub(super) fn new(
        (id, params): (ServerId, &ServerParams),
        all: &UpstreamParams,
        voice: &Arc<Voice>,
        now: Instant,
    ) -> Result<Self, TlsError> {
        let metrics = ServerMetrics::new(&params.name);
        let shared = params.mode != Mode::PerAgent;
        metrics.links_max.set(if shared { params.mode.shared_links().into() } else { f64::NAN });
        Ok(Self {
            id,
            params: params.clone(),
            seed: Seed::of_name(&params.name),
            metrics,
            endpoint: Endpoint::new(params, all, voice)?,
            pacer: SharedPacer::new(params, all, now),
            suspects: SharedSuspects::default(),
            dials: Semaphore::new(usize::from(all.dials_max.get())),
            hello: RwLock::default(),
            state: Mutex::new(ServerState::new(rules(params, all), now)),
            reached: AtomicBool::new(false),
            in_use: AtomicBool::new(true),
            holds_still: AtomicBool::new(false),
            healthy: watch::Sender::new(true),
        })
    }

    pub(in crate::upstream) fn name(&self) -> &str {
        &self.params.name
    }

    /// What the server says of itself.
    pub(in crate::upstream) fn hello(&self) -> Arc<ServerHello> {
        Arc::clone(&self.hello.read())
    }

    /// Remembers what the server says of itself: the first reply of a connection carries it.
    pub(in crate::upstream) fn remember_hello(&self, scan: &ServerScan<'_>) {
        let custom = scan.custom_capabilities.clone().map(|range| &scan.bytes[range]);
        if scan.capabilities.is_none() && custom.is_none() {
            return;
        }
        let changed = {
            let known = self.hello.read();
            let capabilities = scan.capabilities.or(known.capabilities);
            let known_custom = known.custom_capabilities.as_deref();
            let custom = custom.or(known_custom);
            (capabilities != known.capabilities || custom != known_custom).then(|| ServerHello {
                capabilities,
                custom_capabilities: custom.map(<[u8]>::to_vec),
            })
        };
        if let Some(hello) = changed {
            *self.hello.write() = Arc::new(hello);
        }
    }

    /// Takes note of an event, and carries out what concerns this server alone. Returns the rest.
    pub(in crate::upstream) fn handle(
        &self,
        event: ServerEvent,
        now: Instant,
    ) -> Vec<ServerEffect> {
        let mut effects = {
            let mut state = self.state.lock();
            let effects = state.handle(event, now);
            // With the lock, so that what others see is what was decided last.
            self.reached.store(state.is_reached(), Ordering::Relaxed);
            self.in_use.store(state.in_use(), Ordering::Relaxed);
            self.holds_still.store(state.holds_still(), Ordering::Relaxed);
            let healthy = !state.is_failing();
            self.healthy.send_if_modified(|before| std::mem::replace(before, healthy) != healthy);
            effects
        };
        effects.retain(|effect| match *effect {
            ServerEffect::LastLinkLost => {
                self.pacer.links_all_lost(now);
                false
            }
            ServerEffect::Pause(pause) => {
                self.pacer.pause(now + pause, now);
                Paused { server: self.name(), pause }.emit(&self.metrics);
                false
            }
            _ => true,
        });
        effects
    }

    /// The same, of an event that is worth a line in the log. Returns whether it is the first of its
    /// kind.
    pub(in crate::upstream) fn is_first(&self, event: ServerEvent, now: Instant) -> bool {
        self.handle(event, now).contains(&ServerEffect::Tell)
    }

    /// A link that many agents share is gone.
    pub(in crate::upstream) fn shared_link_lost(&self, index: u16, now: Instant) {
        self.pacer.link_lost(index);
        self.handle(ServerEvent::LinkLost, now);
    }

    /// A message failed, and its agent is innocent of it.
    pub(in crate::upstream) fn message_failed(&self, failure: &MessageFailure<'_>, now: Instant) {
        let MessageFailure { uid, agents, blame, reason } = *failure;
        let event = ServerEvent::MessageFailed { uid, agents };
        if self.handle(event, now).contains(&ServerEffect::Fails) {
            ServerUnusable { server: self.name(), blame, reason }.emit(&self.metrics);
        }
    }

    /// The server has taken a message, or has said what is wrong with one.
    pub(in crate::upstream) fn message_served(&self, now: Instant) {
        if self.handle(ServerEvent::MessageServed, now).contains(&ServerEffect::Recovers) {
            ServerUsable { server: self.name() }.emit();
        }
    }

    /// Whether messages are taken; tells of each change.
    pub(in crate::upstream) fn health(&self) -> watch::Receiver<bool> {
        self.healthy.subscribe()
    }

    /// How the server knows its agents, as far as it has shown.
    pub(in crate::upstream) fn keying(&self) -> Keying {
        self.state.lock().keying()
    }

    /// Whether a message that has just come may go to the server at once.
    pub(in crate::upstream) fn admit(&self, now: Instant) -> Permit {
        if self.holds_still() {
            return Permit::Wait { soon: false };
        }
        self.pacer.admit(now)
    }

    /// How long dials are still held back.
    pub(in crate::upstream) fn held(&self, now: Instant) -> Option<Duration> {
        self.state.lock().held(now)
    }

    pub(in crate::upstream) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Whether the node holds still towards its servers.
    pub(in crate::upstream) fn holds_still(&self) -> bool {
        self.holds_still.load(Ordering::Relaxed)
    }

    pub(in crate::upstream) fn has_links_up(&self) -> bool {
        self.state.lock().links_up() > 0
    }

    /// Whether agents are placed here.
    pub(in crate::upstream) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    /// One of the agents whose messages failed, a different one for each `number`.
    pub(in crate::upstream) fn reporter(&self, number: usize) -> Option<InstanceUid> {
        self.state.lock().reporter(number)
    }
}
