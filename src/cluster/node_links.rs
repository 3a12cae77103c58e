//! All node links of this node: one socket, and a task for each member. Lets nodes in, and hands each
//! connection to the task of the member that has proven to be at its other end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{Endpoint, EndpointConfig, Incoming};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::accept;
use super::driver::{LinkRuntime, NodeConnection};
use super::error::{self, CloseCode, NodeLinksError, NotLinked};
use super::events::NodeLinkEvents;
use super::identity::NodeIdentity;
use super::members::{KnownMembers, Member, Members};
use super::peer::{PeerSurroundings, PeerTask};
use super::socket::NodeSocket;
use super::tls::Tls;
use super::transport::{self, HANDSHAKES_MAX};
use crate::core::ownership::NodeIncarnation;
use crate::core::peer_link::FrameBounds;
use crate::telemetry::events::cluster as telemetry;

/// What node links are made of.
pub struct NodeLinksParams {
    /// Which life of the node this is.
    pub incarnation: NodeIncarnation,
    /// The key that this node's lease names.
    pub identity: NodeIdentity,
    /// Where to listen, and where to dial from.
    pub listen: SocketAddr,
    /// The leases as they are now, and as they change.
    pub members: watch::Receiver<Members>,
    /// How much may wait on each stream of each link.
    pub bounds: FrameBounds,
}

/// Links to every member, made and kept up for as long as this value lives.
pub struct NodeLinks {
    endpoint: Endpoint,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Connections that a member's task has yet to look at: it looks at once, and a peer dials one at a time.
const ACCEPTED_MAX: usize = 4;

impl NodeLinks {
    /// Begins to listen, and to dial the members. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the address is taken, or the TLS library refuses the set-up.
    pub fn start(
        params: NodeLinksParams,
        events: Arc<dyn NodeLinkEvents>,
    ) -> Result<Self, NodeLinksError> {
        let NodeLinksParams { incarnation, identity, listen, members, bounds } = params;
        let members = KnownMembers(members);
        let (server, client) = transport::quic(Tls::new(&identity, &members)?)?;
        let failed = |said| NodeLinksError::Socket { listen, said };
        let socket = transport::socket(listen).and_then(NodeSocket::new).map_err(failed)?;
        let runtime = Arc::new(LinkRuntime);
        let config = EndpointConfig::default();
        let mut endpoint =
            Endpoint::new_with_abstract_socket(config, Some(server), Arc::new(socket), runtime)
                .map_err(failed)?;
        endpoint.set_default_client_config(client);
        let (stop, stopped) = watch::channel(false);
        let around = PeerSurroundings {
            endpoint: endpoint.clone(),
            incarnation,
            members,
            bounds,
            events,
            stopped,
        };
        let keeper = Keeper { around, peers: HashMap::new(), tasks: JoinSet::new() };
        let task = Mutex::new(Some(tokio::spawn(keeper.run())));
        Ok(Self { endpoint, stop, task })
    }

    /// Where others reach this node, if `listen` named no port.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Says goodbye to all peers: what waits is written and read, within two seconds.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
        self.endpoint.close(CloseCode::Goodbye.into(), b"");
        // The peers are told even if a packet is lost.
        let _ = tokio::time::timeout(transport::GOODBYE_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

impl Drop for NodeLinks {
    /// Without a goodbye: as if the node had crashed, but the peers are told.
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
        self.endpoint.close(CloseCode::Goodbye.into(), b"");
    }
}

/// The task of all node links.
struct Keeper {
    around: PeerSurroundings,
    peers: HashMap<NodeIncarnation, mpsc::Sender<NodeConnection>>,
    tasks: JoinSet<()>,
}

/// How a handshake that another node began has ended.
type NodeHandshake = (SocketAddr, Result<(Member, NodeConnection), NotLinked>);

impl Keeper {
    async fn run(mut self) {
        let mut handshakes: JoinSet<NodeHandshake> = JoinSet::new();
        let (mut members, mut stopped) = (self.around.members.clone(), self.around.stopped.clone());
        self.follow_leases();
        loop {
            tokio::select! {
                incoming = self.around.endpoint.accept() => match incoming {
                    Some(incoming) => self.accept(incoming, &mut handshakes),
                    None => break,
                },
                Some(Ok(done)) = handshakes.join_next() => self.accepted(done),
                Some(ended) = self.tasks.join_next() => self.ended(&ended),
                () = members.changed() => self.follow_leases(),
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        // Each task sees the stop, and takes its time for a goodbye.
        while self.tasks.join_next().await.is_some() {}
    }

    /// A task that has panicked is followed by another one, a little later, if its member has its lease still.
    fn ended(&mut self, ended: &Result<(), JoinError>) {
        const BREATH: Duration = Duration::from_secs(1);
        match ended {
            Err(_) => drop(self.tasks.spawn(tokio::time::sleep(BREATH))),
            Ok(()) => self.follow_leases(),
        }
    }

    /// A task for each member that has none. A task whose member has no lease any more ends by itself.
    fn follow_leases(&mut self) {
        self.peers.retain(|_, peer| !peer.is_closed());
        let members = self.around.members.0.borrow().clone();
        for member in members.iter().filter(|member| member.incarnation != self.around.incarnation)
        {
            let (around, tasks) = (&self.around, &mut self.tasks);
            self.peers.entry(member.incarnation).or_insert_with(|| {
                let (accepted, inbox) = mpsc::channel(ACCEPTED_MAX);
                tasks.spawn(PeerTask::new(around.clone(), member.clone(), inbox).run());
                accepted
            });
        }
    }

    fn accept(&self, incoming: Incoming, handshakes: &mut JoinSet<NodeHandshake>) {
        if handshakes.len() >= HANDSHAKES_MAX {
            telemetry::NodeTurnedAway { address: incoming.remote_address() }.emit();
            incoming.refuse();
            return;
        }
        let members = self.around.members.clone();
        let address = incoming.remote_address();
        handshakes.spawn(async move { (address, accept::accept(incoming, members).await) });
    }

    fn accepted(&mut self, (address, accepted): NodeHandshake) {
        match accepted {
            Ok((member, connection)) => {
                // The lease may be so new that its task is yet to be made.
                self.follow_leases();
                let Some(peer) = self.peers.get(&member.incarnation) else { return };
                if let Err(refused) = peer.try_send(connection) {
                    refused.into_inner().close(CloseCode::Surplus.into(), b"");
                    error::report_not_accepted(address, &NotLinked::Surplus);
                }
            }
            Err(error) => error::report_not_accepted(address, &error),
        }
    }
}
