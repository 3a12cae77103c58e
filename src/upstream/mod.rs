//! Towards the servers: which there are, which links lead to them, what waits on each. Rank 5: knows
//! sessions, and leaves agents' sockets to `edge`. What is decided, `core::server`, `core::link`,
//! `core::http_mode` and `core::pacing` decide; here it is carried out.
//!
//! - `servers`: the servers as such: state, pace, placement.
//! - `websocket`: links that are WebSockets. `http`: mode `http`, where a link is a channel of POSTs.
//! - `link`, `queue`, `link_set`: a link as its users see it, in both. `transport`: which of them a server has.
//! - `dial`: connections. `incoming`: where a server's message goes.
//! - `findings`: what was found out about messages that end links.
//! - `permits`, `watch`: a server's tasks whatever its mode. `stop`: how all of them end.
//! - `uplink`: what the sessions ask of all this.
//! - `voice`: whether the node may speak to servers at all. `hold`: what follows when that changes.

mod dial;
mod findings;
mod hold;
mod http;
mod incoming;
mod link;
mod link_set;
pub mod params;
mod permits;
mod queue;
mod servers;
mod stop;
mod transport;
mod uplink;
mod voice;
mod walk;
mod watch;
mod websocket;

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::clock;
use crate::ident::ServerId;
use crate::sessions::Sessions;
use crate::tls::TlsError;
use params::UpstreamParams;
use servers::Servers;
use transport::{Target, Transport};
pub use voice::SpeakGate;

/// All servers. Cheap to share; [`Upstream::start`] makes it live.
pub struct Upstream {
    servers: Arc<Servers>,
    /// In the same order.
    targets: Vec<Arc<Target>>,
}

/// One server as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// A link is up, or the last dial succeeded.
    pub reachable: bool,
    /// Agents are placed on it.
    pub available: bool,
    /// Sessions that wait for a permit at it.
    pub backlog: usize,
}

impl Upstream {
    /// # Errors
    /// If a server cannot be dialled as configured; see [`TlsError`].
    pub fn new(params: UpstreamParams) -> Result<Arc<Self>, (String, TlsError)> {
        let servers = Arc::new(Servers::new(params, clock::now())?);
        let target = |server| {
            let transport = Transport::new(server, &servers.params);
            Arc::new(Target { server: Arc::clone(server), transport })
        };
        let targets = servers.iter().map(target).collect();
        Ok(Arc::new(Self { servers, targets }))
    }

    /// Starts dialling. The tasks end when the set is dropped.
    pub fn start(&self, sessions: &Arc<Sessions>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for target in &self.targets {
            target.transport.start(&mut tasks, &target.server, &self.servers, sessions);
            let shared = || (Arc::clone(&self.servers), Arc::clone(target), Arc::clone(sessions));
            let (servers, target, sessions) = shared();
            tasks.spawn(permits::grant_permits(servers, target, sessions));
            let (servers, target, sessions) = shared();
            tasks.spawn(watch::watch(servers, target, sessions));
        }
        tasks.spawn(hold::resume(self.servers.voice.listen(), Arc::clone(sessions)));
        tasks
    }

    /// Sets other bounds of the pace towards each server, from now on.
    pub(crate) fn set_pace(&self, most: NonZeroU32, least: NonZeroU32) {
        let now = clock::now();
        self.targets.iter().for_each(|target| target.server.pacer.set_pace(most, least, now));
    }

    /// The state of every server.
    pub fn status(&self) -> Vec<ServerStatus> {
        let of = |target: &Arc<Target>| ServerStatus {
            name: target.server.name().to_owned(),
            reachable: target.server.is_reached(),
            available: target.server.is_in_use(),
            backlog: target.server.pacer.backlog(),
        };
        self.targets.iter().map(of).collect()
    }

    /// Whether every shared link is up. At the start, agents are admitted when this is so: agents that
    /// come earlier must be asked for their state again.
    pub fn is_settled(&self) -> bool {
        let shared = self.targets.iter().filter_map(|target| target.transport.shared());
        shared.flat_map(|links| links.iter()).all(|link| link.is_up())
    }

    fn servers(&self) -> &Servers {
        &self.servers
    }

    fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    fn target(&self, id: ServerId) -> Option<&Target> {
        self.targets.get(usize::from(id.0)).map(|target| &**target)
    }
}
