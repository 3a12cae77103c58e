//! Builds the gateway and wires it: order of start, order of stop. Rank 8: knows the parts by what
//! they promise. Must not know protocols.
//!
//! ```text
//! start: admin (alive, /readyz 503) → agents' addresses are free → links → member, shards have homes →
//!        agents are admitted (/readyz 200)
//! drain: /readyz 503 → shards are handed over → admission stops → agents are closed, paced → links write what
//!        waits → the membership ends → admin
//! ```

mod drain;
mod fleet;
mod rebalance;
mod share;
mod view;
mod vital;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::{JoinError, JoinSet};
use tracing::{info, warn};

use crate::admin::{Admin, AdminParams};
use crate::clock;
use crate::config::Config;
use crate::edge::{AcceptRuntime, BindError, Edge};
use crate::fleet::{Fleet, FleetError, SessionsAndServers};
use crate::opamp::digest::DigestKey;
use crate::ownership::params::OwnershipParams;
use crate::sessions::{LeftUndone, Sessions};
use crate::telemetry::events::drain::{DrainUnacknowledged, NotHandedOver};
use crate::tls::TlsError;
use crate::upstream::Upstream;
use crate::upstream::params::{Mode, UpstreamParams};
use drain::NodeDrain;
use fleet::{LEAVE_PATIENCE, NodeSettings, hand_over_patience};
use rebalance::{NodeRebalance, RebalanceParts};
use share::{NodeGate, share_admission};
use view::{GatewayView, Startup};

/// Why the gateway failed to start, or ended early. Mostly the configuration's or the machine's fault; retrying helps only
/// after that was mended. [`StartError::Panicked`] is Seawall's own.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration of a server is unusable.
    #[error("server `{name}`")]
    Server {
        /// The server's name.
        name: String,
        /// The cause.
        source: TlsError,
    },
    /// The files for TLS towards the store that nodes share cannot be read.
    #[error("the store that nodes share (ownership.redis)")]
    Store(#[source] TlsError),
    /// The node could not become one of its fleet, or is in the way of another one.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The system refused an address for agents.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A task that the node cannot do without has panicked.
    #[error("a part of the node has failed, by a fault of Seawall")]
    Panicked(#[from] JoinError),
    /// The system refused the threads for new connections.
    #[error("cannot start the threads for new connections")]
    Threads(#[source] std::io::Error),
    /// The system refused the administration address.
    #[error("cannot listen on admin.listen ({address})")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}

/// How long the start waits for links: Seawall would ask agents that come earlier for their state twice.
const LINKS_PATIENCE: Duration = Duration::from_secs(1);
/// How long links may take to write what waits when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often the sessions of absent agents are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Descriptors for listeners, logs and the administration port, and for links that replace others.
/// README.md names the number.
const DESCRIPTORS_RESERVED: u64 = 256;
/// A node that can serve fewer agents than this warns of it: the usual soft limit on open files is 1,024.
const AGENTS_EXPECTED: usize = 5_000;

/// Runs the gateway until `shutdown`, or until an operator drains it, then hands its agents over in order.
/// After an operator's drain the process stays until `shutdown`.
///
/// # Errors
/// If it fails to start; see [`StartError`].
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let connections_max = connections_max(&config.upstream);
    let admin = bind_admin(&config.admin).await?;
    // A node that cannot serve agents must not become a member: shards would be given to it, and die with it.
    Edge::claim(&config.edge.listen)?;
    let settings = NodeSettings::of(&config);
    let upstream = servers(config.upstream, &config.ownership)?;
    // The key of a node without others stays here. Several agree on one.
    let digest_key = DigestKey::derive(&rand::random::<[u8; 32]>());
    let sessions = Arc::new(Sessions::new(config.sessions, digest_key, Arc::clone(&upstream) as _));
    let plane =
        SessionsAndServers { sessions: Arc::clone(&sessions), upstream: Arc::clone(&upstream) };
    let (fleet, fleet_task) = settings.node(plane)?;
    let hand_over_patience = hand_over_patience(config.drain);
    let drain = NodeDrain::new(config.drain.after_admission(config.edge.admission.rate));
    let rebalance = NodeRebalance::new(config.ownership.rebalance);
    let window = GatewayView::new(&sessions, &upstream, (&drain, &rebalance), &fleet);
    fleet.answer_with(Arc::downgrade(&window) as _);
    let mut tasks = JoinSet::new();
    // Ends last, with the set: until then it tells operators what the gateway does.
    tasks.spawn(admin.serve(Arc::clone(&window) as _, std::future::pending()));
    let mut links = upstream.start(&sessions);
    let mut fleet_task = fleet_task.start()?;
    tasks.spawn(sweep(Arc::clone(&sessions)));
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        ready = fleet.ready() => ready?,
        () = &mut shutdown => {
            fleet.leave(LEAVE_PATIENCE).await;
            return Ok(());
        }
    }
    settle(&upstream).await;
    let connections_set = config.edge.connections_max.filter(|set| *set < connections_max);
    let edge = Edge::new(config.edge, Arc::clone(&sessions), connections_max);
    // Before the first connection takes a place.
    let agents_max = edge.agents_max();
    let accept_runtime = AcceptRuntime::open().map_err(StartError::Threads)?;
    edge.start_probe().map_err(StartError::Threads)?;
    if fleet.is_shared() {
        let (edge, sessions) = (Arc::clone(&edge), Arc::clone(&sessions));
        let (fleet, drain) = (Arc::clone(&fleet), Arc::clone(&drain));
        tasks.spawn(share_admission(Arc::clone(&fleet), NodeGate::join_fleet(&edge, &sessions)));
        tasks.spawn(rebalance.run(RebalanceParts { edge, sessions, fleet, drain }));
    }
    let mut listeners = listen(&edge, &accept_runtime, &fleet).await?;
    tasks.spawn(Arc::clone(&edge).watch());
    drain.serve(&edge);
    window.serve(&edge);
    window.enter(Startup::Serving);
    say_ready(agents_max, connections_set);

    let stays = tokio::select! {
        () = &mut shutdown => false,
        () = drain.begun() => true,
        error = fleet.displaced() => return Err(error.into()),
        panic = vital::panicked([&mut tasks, &mut links, &mut listeners], &mut fleet_task) => return Err(panic.into()),
    };
    drain.begin();
    fleet.hand_over(hand_over_patience).await;
    drain.close_agents(&edge, &sessions, &fleet, listeners).await;
    let messages = upstream.stop(STOP_PATIENCE).await;
    leave(&fleet, &sessions).await;
    tell_left_undone(&sessions, messages);
    // The watch over servers ends here: their links stay closed from now on.
    drop(links);
    fleet.stop();
    let _ = fleet_task.await;
    drain.links_stopped();
    if stays {
        shutdown.await;
    }
    drop((tasks, accept_runtime));
    Ok(())
}

/// The servers, which are told the node's name at each dial.
fn servers(
    mut params: UpstreamParams,
    ownership: &OwnershipParams,
) -> Result<Arc<Upstream>, StartError> {
    let node = ownership.node_name().to_string();
    for server in &mut params.servers {
        server.node.clone_from(&node);
    }
    Upstream::new(params).map_err(|(name, source)| StartError::Server { name, source })
}

/// Agents are admitted from now on.
async fn listen(
    edge: &Arc<Edge>,
    accept_runtime: &AcceptRuntime,
    fleet: &Fleet,
) -> Result<JoinSet<()>, StartError> {
    match edge.listen(accept_runtime) {
        Ok((_addresses, listeners)) => Ok(listeners),
        Err(error) => {
            // The shards that it was given meanwhile must not die with it.
            fleet.leave(LEAVE_PATIENCE).await;
            Err(error.into())
        }
    }
}

/// `messages`: that were on links at the end.
fn tell_left_undone(sessions: &Sessions, messages: usize) {
    let LeftUndone { unacknowledged, not_handed_over } = sessions.left_undone();
    NotHandedOver { agents: not_handed_over }.emit();
    DrainUnacknowledged { agents: unacknowledged, messages }.emit();
}

/// The node is no member any more. First its homes hear that it holds nothing of its agents'.
async fn leave(fleet: &Fleet, sessions: &Sessions) {
    if let Some(fleet) = sessions.in_fleet() {
        fleet.front_leaves();
    }
    fleet.leave(LEAVE_PATIENCE).await;
}

async fn bind_admin(params: &AdminParams) -> Result<Admin, StartError> {
    let refused = |source| StartError::Admin { address: params.listen, source };
    Admin::bind(params).await.map_err(refused)
}

/// Waits for the links, at most [`LINKS_PATIENCE`]: agents are admitted even while every server is down.
async fn settle(upstream: &Upstream) {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let settled = async {
        while !upstream.is_settled() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(LINKS_PATIENCE, settled).await.is_err() {
        let status = upstream.status();
        let down: Vec<_> = status.iter().filter(|server| !server.reachable).collect();
        if down.len() == status.len() {
            warn!("no server is reachable yet; agents are accepted and reported later");
        } else if !down.is_empty() {
            let names: Vec<&str> = down.iter().map(|server| server.name.as_str()).collect();
            warn!(servers = names.join(", "), "some servers are not reachable yet");
        }
    }
}

/// Says how many agents the node can serve and what sets that bound, as a warning if they are few for a fleet.
fn say_ready(agents_max: usize, connections_set: Option<u32>) {
    let bound = match connections_set {
        Some(set) => format!("edge.connections_max ({set})"),
        None => format!("the limit on open files ({})", open_files_max()),
    };
    if agents_max < AGENTS_EXPECTED {
        warn!(agents_max, "ready for agents, but few fit: raise {bound}");
    } else {
        info!(agents_max, "ready for agents; {bound} sets their number");
    }
}

async fn sweep(sessions: Arc<Sessions>) {
    loop {
        while sessions.sweep(clock::now()) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

/// How many agents the descriptors suffice for. The soft limit is raised as far as the system allows:
/// it exists for programs that use `select`.
fn connections_max(upstream: &UpstreamParams) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "the limit on descriptors cannot be raised");
        }
    }
    let descriptors = open_files_max();
    let shared = |mode| match mode {
        Mode::Multiplexed { links: count } | Mode::Http { connections: count, .. } => count.get(),
        Mode::PerAgent => 0,
    };
    let shared: u64 = upstream.servers.iter().map(|server| u64::from(shared(server.mode))).sum();
    // An agent with an upstream connection of its own takes two descriptors.
    let own = upstream.servers.iter().any(|server| server.mode == Mode::PerAgent);
    let left = descriptors.saturating_sub(DESCRIPTORS_RESERVED + shared) / if own { 2 } else { 1 };
    u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}

/// The limit on open files now.
fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
