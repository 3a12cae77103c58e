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
pub mod limits;
mod rebalance;
pub mod reload;
mod share;
mod view;
mod vital;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tracing::warn;

use crate::admin::{Admin, AdminParams};
use crate::clock;
use crate::config::Config;
use crate::edge::params::EdgeParams;
use crate::edge::{AcceptRuntime, BindError, Edge, agents_of};
use crate::fleet::{Fleet, FleetError, SessionsAndServers};
use crate::opamp::digest::DigestKey;
use crate::ownership::params::OwnershipParams;
use crate::sessions::{LeftUndone, Sessions};
use crate::telemetry::events::drain::{DrainUnacknowledged, NotHandedOver};
use crate::telemetry::events::room::LimitsKnown;
use crate::tls::TlsError;
use crate::upstream::Upstream;
use crate::upstream::params::UpstreamParams;
use drain::NodeDrain;
use fleet::{LEAVE_PATIENCE, NodeSettings, hand_over_patience};
use rebalance::{NodeRebalance, RebalanceParts};
use reload::Orders;
use share::{NodeGate, share_admission};
use view::{GatewayView, Startup};
use vital::Vital;

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

/// Runs the gateway until `shutdown`, or until an operator drains it, then hands its agents over in order.
/// After an operator's drain the process stays until `shutdown`.
///
/// # Errors
/// If it fails to start; see [`StartError`].
pub async fn run(
    config: Config,
    orders: Orders,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let vital = Vital::default();
    let mut shutdown = pin!(shutdown);
    let (node, edge_params) = NodeParts::open(config, &vital).await?;
    let member = async {
        tokio::select! {
            ready = node.fleet.ready() => ready.map(|()| true),
            () = &mut shutdown => Ok(false),
        }
    };
    if !vital.during(member).await?? {
        node.fleet.leave(LEAVE_PATIENCE).await;
        return Ok(());
    }
    vital.during(settle(&node.upstream)).await?;
    let accept_runtime = AcceptRuntime::open().map_err(StartError::Threads)?;
    let edge = node.admit_agents(edge_params, (&vital, &accept_runtime), orders).await?;
    let serving = async {
        tokio::select! {
            () = &mut shutdown => Ok(false),
            () = node.drain.begun() => Ok(true),
            error = node.fleet.displaced() => Err(error),
        }
    };
    let stays = vital.during(serving).await??;
    vital.during(node.hand_over(&edge, &vital)).await?;
    if stays {
        vital.during(shutdown).await?;
    }
    drop((vital, accept_runtime));
    Ok(())
}

/// The parts of a node that live from its start to its end.
struct NodeParts {
    sessions: Arc<Sessions>,
    upstream: Arc<Upstream>,
    fleet: Arc<Fleet>,
    drain: Arc<NodeDrain>,
    rebalance: Arc<NodeRebalance>,
    window: Arc<GatewayView>,
    connections_max: u32,
    hand_over_patience: Duration,
}

impl NodeParts {
    /// Claims every address, then lets administration answer and links be dialled, and asks to become a member.
    async fn open(config: Config, vital: &Vital) -> Result<(Self, EdgeParams), StartError> {
        let connections_max = limits::connections_max(&config.upstream);
        let admin = bind_admin(&config.admin).await?;
        // A node that cannot serve agents must not become a member: shards would be given to it, and die with it.
        Edge::claim(&config.edge.listen)?;
        let settings = NodeSettings::of(&config);
        let connections =
            config.edge.connections_max.map_or(connections_max, |set| set.min(connections_max));
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        LimitsKnown {
            connections,
            agents: agents_of(connections),
            sessions: config.sessions.sessions_max,
            buffered_bytes: config.edge.buffered_bytes_max,
            outbox_bytes: config.sessions.outbox_total_bytes_max,
        }
        .emit();
        let upstream = servers(config.upstream, &config.ownership)?;
        // The key of a node without others stays here. Several agree on one.
        let digest_key = DigestKey::derive(&rand::random::<[u8; 32]>());
        let sessions =
            Arc::new(Sessions::new(config.sessions, digest_key, Arc::clone(&upstream) as _));
        let plane =
            SessionsAndServers { sessions: Arc::clone(&sessions), upstream: Arc::clone(&upstream) };
        let (fleet, fleet_task) = settings.node(plane)?;
        let hand_over_patience = hand_over_patience(config.drain);
        let drain = NodeDrain::new(config.drain.after_admission(config.edge.admission.rate));
        let rebalance = NodeRebalance::new(config.ownership.rebalance);
        let window = GatewayView::new(&sessions, &upstream, (&drain, &rebalance), &fleet);
        fleet.answer_with(Arc::downgrade(&window) as _);
        // Ends last: until then it tells operators what the gateway does.
        vital.spawn(admin.serve(Arc::clone(&window) as _, std::future::pending()));
        vital.keep_links(upstream.start(&sessions));
        vital.keep_fleet(fleet_task.start()?);
        vital.spawn(sweep(Arc::clone(&sessions)));
        let node = Self {
            sessions,
            upstream,
            fleet,
            drain,
            rebalance,
            window,
            connections_max,
            hand_over_patience,
        };
        Ok((node, config.edge))
    }

    /// Agents are admitted from now on.
    async fn admit_agents(
        &self,
        params: EdgeParams,
        (vital, accept_runtime): (&Vital, &AcceptRuntime),
        orders: Orders,
    ) -> Result<Arc<Edge>, StartError> {
        let connections_set = params.connections_max.filter(|set| *set < self.connections_max);
        let edge = Edge::new(params, Arc::clone(&self.sessions), self.connections_max);
        // Before the first connection takes a place.
        let agents_max = edge.agents_max();
        edge.start_probe().map_err(StartError::Threads)?;
        let parts = || (Arc::clone(&edge), Arc::clone(&self.sessions), Arc::clone(&self.fleet));
        if self.fleet.is_shared() {
            let (edge, sessions, fleet) = parts();
            vital.spawn(share_admission(fleet, NodeGate::join_fleet(&edge, &sessions)));
            let (edge, sessions, fleet) = parts();
            let drain = Arc::clone(&self.drain);
            let parts = RebalanceParts { edge, sessions, fleet, drain };
            vital.spawn(Arc::clone(&self.rebalance).run(parts));
        }
        vital.keep_listeners(listen(&edge, accept_runtime, &self.fleet).await?);
        vital.spawn(Arc::clone(&edge).watch());
        vital.spawn(reload::follow(orders, Arc::clone(&edge), Arc::clone(&self.upstream)));
        self.drain.serve(&edge);
        self.window.serve(&edge);
        self.window.enter(Startup::Serving);
        limits::say_ready(agents_max, connections_set);
        Ok(edge)
    }

    /// Drains: agents go to other nodes, and servers hear what is still to be said.
    async fn hand_over(&self, edge: &Edge, vital: &Vital) {
        let Self { sessions, upstream, fleet, drain, .. } = self;
        drain.begin();
        fleet.hand_over(self.hand_over_patience).await;
        drain.close_agents(edge, sessions, fleet, vital).await;
        let messages = upstream.stop(STOP_PATIENCE).await;
        leave(fleet, sessions).await;
        tell_left_undone(sessions, messages);
        // The watch over servers ends here: their links stay closed from now on.
        vital.drop_links();
        fleet.stop();
        vital.fleet_ended().await;
        drain.links_stopped();
    }
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

async fn sweep(sessions: Arc<Sessions>) {
    loop {
        while sessions.sweep(clock::now()) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}
