//! Builds the gateway and wires it: order of start, order of stop. Rank 8: knows the parts by what
//! they promise, and no protocol.
//!
//! ```text
//! start: admin (alive, not ready) → links → agents are let in (ready)
//! leave: not ready → no new agents → agents are closed, paced → links write what waits → admin
//! ```

mod drain;
mod view;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::admin::{Admin, AdminParams};
use crate::clock;
use crate::config::Config;
use crate::edge::{AcceptRuntime, BindError, Edge};
use crate::opamp::digest::DigestKey;
use crate::sessions::Sessions;
use crate::telemetry::events::drain::DrainUnacknowledged;
use crate::upstream::params::{Mode, UpstreamParams};
use crate::upstream::{TlsError, Upstream};
use drain::NodeDrain;
use view::{GatewayView, Startup};

/// Why the gateway cannot start. The configuration's or the machine's fault.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A server cannot be dialled as configured.
    #[error("server `{name}`")]
    Server {
        /// The server's name.
        name: String,
        /// Why not.
        source: TlsError,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There are no threads for connections that wait to come in.
    #[error("no threads for new connections")]
    Threads(#[source] std::io::Error),
    /// The operators' address cannot be listened on.
    #[error("cannot listen for operators on {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Agents that come before the links are up would be asked for their state twice.
const LINKS_PATIENCE: Duration = Duration::from_secs(1);
/// How long links may take to write what waits.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often sessions are looked at whose agents are away.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Descriptors for listeners, logs and the admin port, and for links that replace others.
const DESCRIPTORS_RESERVED: u64 = 256;

/// Runs the gateway until `shutdown`, or until an operator wants it drained, then hands its agents over
/// in order. Drained for an operator, it stays until `shutdown`.
///
/// # Errors
/// If it cannot start.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let connections_max = connections_max(&config.upstream);
    let admin = bind_admin(&config.admin).await?;
    let upstream = Upstream::new(config.upstream)
        .map_err(|(name, source)| StartError::Server { name, source })?;
    // One node: its digests stay here, and so does their secret.
    let digest_key = DigestKey::derive(&rand::random::<[u8; 32]>());
    let sessions = Arc::new(Sessions::new(config.sessions, digest_key, Arc::clone(&upstream) as _));
    let drain = NodeDrain::new(config.drain.after_admission(config.edge.admission.rate));
    let window = GatewayView::new(&sessions, &upstream, &drain);
    let mut tasks = JoinSet::new();
    // Ends last, with the set: until then it says how far the gateway is.
    tasks.spawn(admin.serve(Arc::clone(&window) as _, std::future::pending()));
    let links = upstream.start(&sessions);
    tasks.spawn(sweep(Arc::clone(&sessions)));
    settle(&upstream).await;
    let edge = Edge::new(config.edge, Arc::clone(&sessions), connections_max);
    let accept_runtime = AcceptRuntime::open().map_err(StartError::Threads)?;
    edge.start_probe().map_err(StartError::Threads)?;
    let (_addresses, listeners) = edge.listen(&accept_runtime)?;
    tasks.spawn(Arc::clone(&edge).watch());
    drain.serve(&edge);
    window.serve(&edge);
    window.enter(Startup::Serving);
    info!(connections_max, "ready for agents");

    let mut shutdown = pin!(shutdown);
    let stays = tokio::select! {
        () = &mut shutdown => false,
        () = drain.begun() => true,
    };
    drain.begin();
    drain.close_agents(&edge, &sessions, listeners).await;
    let messages = upstream.stop(STOP_PATIENCE).await;
    DrainUnacknowledged { agents: sessions.unacknowledged(), messages }.emit();
    // Nobody watches over servers any more that are not dialled again.
    drop(links);
    drain.links_stopped();
    if stays {
        shutdown.await;
    }
    drop((tasks, accept_runtime));
    Ok(())
}

async fn bind_admin(params: &AdminParams) -> Result<Admin, StartError> {
    let refused = |source| StartError::Admin { address: params.listen, source };
    Admin::bind(params).await.map_err(refused)
}

/// Waits for the links, but not for long: without any server agents are taken all the same.
async fn settle(upstream: &Upstream) {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let settled = async {
        while !upstream.is_settled() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(LINKS_PATIENCE, settled).await.is_err() {
        warn!("not every server is reachable; agents are taken all the same");
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

/// How many agents the descriptors suffice for. The soft limit is raised as far as it goes: it is
/// there for programs that use `select`.
fn connections_max(upstream: &UpstreamParams) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "the limit on descriptors cannot be raised");
        }
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let shared = |mode| match mode {
        Mode::Multiplexed { links: count } | Mode::Http { connections: count, .. } => count.get(),
        Mode::PerAgent => 0,
    };
    let shared: u64 = upstream.servers.iter().map(|server| u64::from(shared(server.mode))).sum();
    // An agent with an upstream connection of its own takes two.
    let own = upstream.servers.iter().any(|server| server.mode == Mode::PerAgent);
    let left = descriptors.saturating_sub(DESCRIPTORS_RESERVED + shared) / if own { 2 } else { 1 };
    u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}
