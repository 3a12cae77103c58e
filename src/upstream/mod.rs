//! Towards the servers: who is there, which links lead to them, what waits on each. Rank 5: knows
//! sessions, and nothing of agents' sockets.
//!
//! - `link`: a bounded queue and the state of one WebSocket, shared by senders and its task.
//! - `connection`, `dial`, `tls`: that WebSocket's bytes.
//! - `lane`, `post`, `polls`, `introduce`: mode `http`, where a link is a lane of POSTs. `verdict`, `usable`, `probe`:
//!   what a status means there, and servers that answer with nothing else.
//! - `server`, `pace`: one server; sessions that wait for their turn at it.
//! - `tasks`, `turns`: what runs. `stop`: how it ends. `incoming`: where a server's message goes.

mod connection;
mod dial;
mod incoming;
mod introduce;
mod lane;
mod link;
mod pace;
pub mod params;
mod permits;
mod polls;
mod post;
mod probe;
mod server;
mod stop;
mod tasks;
mod tls;
mod usable;
mod verdict;

use std::sync::Arc;

use dashmap::Entry;
use tokio::task::JoinSet;

pub use tls::TlsError;

use crate::clock;
use crate::core::pacing::{Class, Permit};
use crate::core::placement;
use crate::core::session::Route;
use crate::ident::{Incarnation, InstanceUid, LinkId, ServerId};
use crate::sessions::{NotSent, ServerHello, Sessions, Uplink};
use crate::telemetry::events::upstream as events;
use link::{Carries, Link};
use params::{Mode, UpstreamParams};
use server::Server;

/// All servers. Cheap to share; [`Upstream::start`] makes it live.
pub struct Upstream {
    params: UpstreamParams,
    servers: Vec<Arc<Server>>,
    /// Starts the task of an agent's own link; set by [`Upstream::start`].
    starter: std::sync::OnceLock<Starter>,
    weak: std::sync::Weak<Self>,
}

struct Starter {
    sessions: Arc<Sessions>,
    runtime: tokio::runtime::Handle,
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
    /// Sessions that wait for their turn at it.
    pub backlog: usize,
}

impl Upstream {
    /// # Errors
    /// If a server cannot be dialled as configured; see [`TlsError`].
    pub fn new(params: UpstreamParams) -> Result<Arc<Self>, (String, TlsError)> {
        let now = clock::now();
        let mut servers = Vec::with_capacity(params.servers.len());
        for (index, server) in params.servers.iter().enumerate() {
            let id = ServerId(u16::try_from(index).unwrap_or(u16::MAX));
            let server = Server::new(id, server, &params, now)
                .map_err(|error| (server.name.clone(), error))?;
            servers.push(Arc::new(server));
        }
        Ok(Arc::new_cyclic(|weak| Self {
            params,
            servers,
            starter: std::sync::OnceLock::new(),
            weak: weak.clone(),
        }))
    }

    /// Starts dialling. The tasks end when the set is dropped.
    pub fn start(self: &Arc<Self>, sessions: &Arc<Sessions>) -> JoinSet<()> {
        let runtime = tokio::runtime::Handle::current();
        let _ = self.starter.set(Starter { sessions: Arc::clone(sessions), runtime });
        let mut tasks = JoinSet::new();
        for server in &self.servers {
            let shared = || (Arc::clone(self), Arc::clone(server), Arc::clone(sessions));
            for link in &server.shared {
                let (up, server, sessions) = shared();
                let link = Arc::clone(link);
                match server.params.mode {
                    Mode::Http { .. } => tasks.spawn(lane::keep_lane(up, server, link, sessions)),
                    _ => tasks.spawn(tasks::keep_link(up, server, link, sessions)),
                };
            }
            if server.polls.is_some() {
                let (up, server, sessions) = shared();
                tasks.spawn(polls::poll(Arc::clone(&server), Arc::clone(&sessions)));
                tasks.spawn(introduce::reintroduce(up, server, sessions));
                let (up, server, sessions) = shared();
                tasks.spawn(probe::probe(up, server, sessions));
            }
            let (up, server, sessions) = shared();
            tasks.spawn(permits::grant_permits(up, server, sessions));
            let (up, server, sessions) = shared();
            tasks.spawn(tasks::watch(up, server, sessions));
        }
        tasks
    }

    /// The state of every server.
    pub fn status(&self) -> Vec<ServerStatus> {
        let of = |server: &Arc<Server>| ServerStatus {
            name: server.params.name.clone(),
            reachable: server.is_reachable(),
            available: server.is_available(),
            backlog: server.pace.waiting(),
        };
        self.servers.iter().map(of).collect()
    }

    /// Whether every shared link is up, or there is none to wait for: at the start, agents are let
    /// in when this is so, for what comes earlier has to be asked for again.
    pub fn is_settled(&self) -> bool {
        self.servers.iter().all(|server| server.shared.iter().all(|link| link.is_up()))
    }

    fn server(&self, id: ServerId) -> Option<&Arc<Server>> {
        self.servers.get(usize::from(id.0))
    }

    /// The server an agent belongs to: by weight among those in use; if none is, among all, so that
    /// everybody is where it will be when they return.
    fn place(&self, uid: InstanceUid) -> Option<&Arc<Server>> {
        if let [only] = self.servers.as_slice() {
            return Some(only);
        }
        let all = || self.servers.iter().map(|server| server.seed).enumerate();
        let index = placement::choose(uid, all().filter(|(i, _)| self.servers[*i].is_available()))
            .or_else(|| placement::choose(uid, all()))?;
        self.servers.get(index)
    }

    /// After a change of `server`'s availability: gives every session that is now elsewhere a turn
    /// there. Returns how many.
    fn move_agents(&self, server: &Server, sessions: &Sessions) -> usize {
        if self.servers.len() == 1 {
            return 0;
        }
        self.pass_backlog_on(server);
        sessions.enqueue_all(&|_| true)
    }

    /// Sessions that wait at `server` go to wherever they belong now.
    fn pass_backlog_on(&self, server: &Server) {
        if self.servers.len() == 1 {
            return;
        }
        for (uid, class) in server.pace.drain() {
            self.enqueue(uid, class);
        }
    }

    /// Sets the gauges of one server.
    fn measure(&self, server: &Server) {
        let shared: usize = server.shared.iter().map(|link| link.waiting_bytes()).sum();
        let owned: usize = server.owned.iter().map(|link| link.waiting_bytes()).sum();
        let pace = server.pace.measure(clock::now());
        events::ServerMeasured { queue_bytes: shared + owned, pace }.emit(&server.metrics);
    }

    /// An agent's own link, made and dialled when it is first needed.
    fn own_link(&self, server: &Arc<Server>, uid: InstanceUid) -> Arc<Link> {
        let mut made = false;
        let mut make = || {
            made = true;
            let id = LinkId { server: server.id, index: 0 };
            Arc::new(Link::new(id, Some(uid), Carries::Frames, server.bounds))
        };
        let link = match server.owned.entry(uid) {
            Entry::Vacant(place) => Arc::clone(&place.insert(make())),
            // The agent left and is back before its old link has ended.
            Entry::Occupied(mut place) if place.get().is_released() => {
                place.insert(make());
                Arc::clone(place.get())
            }
            Entry::Occupied(place) => Arc::clone(place.get()),
        };
        if made && let (Some(starter), Some(up)) = (self.starter.get(), self.weak.upgrade()) {
            let (server, sessions) = (Arc::clone(server), Arc::clone(&starter.sessions));
            starter.runtime.spawn(tasks::keep_link(up, server, Arc::clone(&link), sessions));
        }
        link
    }
}

impl Uplink for Upstream {
    fn route(&self, uid: InstanceUid) -> Option<Route> {
        let server = self.place(uid)?;
        let first =
            Route { link: LinkId { server: server.id, index: 0 }, incarnation: Incarnation(1) };
        Some(
            server
                .link_of(uid)
                .filter(|link| !link.is_released())
                .map_or(first, |link| link.route()),
        )
    }

    fn admit(&self, _: InstanceUid, route: Route) -> Permit {
        // Without a server nothing is burdened; sending will say so.
        self.server(route.link.server)
            .map_or(Permit::Granted, |server| server.pace.admit(clock::now()))
    }

    fn state_lost(&self, route: Route) -> bool {
        self.server(route.link.server).is_some_and(|server| server.pace.state_lost())
    }

    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let server = self.server(route.link.server).ok_or(NotSent::Stale)?;
        let sent = match (&server.params.mode, server.shared.get(usize::from(route.link.index))) {
            (Mode::PerAgent, _) => self.own_link(server, uid).send(uid, route.incarnation, write),
            (_, Some(link)) => link.send(uid, route.incarnation, write),
            (_, None) => Err(NotSent::Stale),
        };
        match sent {
            Ok(bytes) => {
                server.pace.sent(route.link.index, clock::now());
                events::ServerMessageSent { bytes }.emit(&server.metrics);
                if let Some(polls) = &server.polls {
                    polls.add(uid);
                }
            }
            Err(NotSent::Full) => {
                let server_name = &server.params.name;
                events::QueueRefused { server: server_name }.emit(&server.metrics);
            }
            Err(NotSent::Down | NotSent::Stale) => {}
        }
        sent.map(|_| ())
    }

    fn orphaned(&self, route: Route, messages: u32) {
        if let Some(server) = self.server(route.link.server) {
            server.pace.orphaned(route.link.index, messages, clock::now());
        }
    }

    fn announced(&self, uid: InstanceUid, server: ServerId) {
        if let Some(server) = self.server(server) {
            events::Announced { uid }.emit(&server.metrics);
        }
    }

    fn server_hello(&self, server: ServerId) -> Arc<ServerHello> {
        self.server(server).map_or_else(Arc::default, |server| server.server_hello())
    }

    fn enqueue(&self, uid: InstanceUid, class: Class) {
        if let Some(server) = self.place(uid) {
            server.pace.enqueue(uid, class);
        }
    }

    fn release(&self, uid: InstanceUid) {
        for server in &self.servers {
            if let Some(link) = server.owned.get(&uid) {
                link.release();
            }
            if let Some(polls) = &server.polls {
                polls.remove(uid);
            }
        }
    }
}
