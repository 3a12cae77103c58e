//! What the sessions ask of the servers' side. Called with a session locked, for each message: it looks
//! up, counts and appends, and leaves the rest to tasks.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::link_set::LinkSet;
use super::params::Mode;
use super::transport::Target;
use crate::clock;
use crate::core::pacing::{Class, Liveness, Permit};
use crate::core::server::Keying;
use crate::core::session::Route;
use crate::core::suspects::Passage;
use crate::ident::{InstanceUid, ServerId};
use crate::sessions::{NotSent, ServerHello, SharedLink, Uplink};
use crate::telemetry::events::upstream as events;

impl Uplink for Upstream {
    fn route(&self, uid: InstanceUid) -> Option<Route> {
        let server = self.servers().place(uid)?;
        Some(self.target(server.id)?.transport.route(uid, server))
    }

    fn admit(&self, _: InstanceUid, route: Route) -> Permit {
        // A server that is unknown here is spared by `send`, which refuses the message.
        self.servers()
            .get(route.link.server)
            .map_or(Permit::Granted, |server| server.admit(clock::now()))
    }

    fn liveness(&self, route: Route, asked: Duration) -> Liveness {
        self.servers()
            .get(route.link.server)
            .map_or(Liveness::Never, |server| server.pacer.liveness(asked, clock::now()))
    }

    fn state_lost(&self, route: Route) -> bool {
        self.servers().get(route.link.server).is_some_and(|server| server.pacer.state_lost())
    }

    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let target = self.target(route.link.server).ok_or(NotSent::Stale)?;
        let server = &target.server;
        if server.holds_still() {
            return Err(NotSent::Down);
        }
        let sent = if server.suspects.is_active() {
            send_watched(target, uid, route, write)
        } else {
            target.transport.send(uid, route, write)
        };
        match sent {
            Ok(bytes) => {
                server.pacer.sent(route.link.index, clock::now());
                events::ServerMessageSent { bytes }.emit(&server.metrics);
            }
            Err(NotSent::Full) => {
                events::QueueRefused { server: server.name() }.emit(&server.metrics);
            }
            Err(NotSent::Down | NotSent::Stale) => {}
        }
        sent.map(|_| ())
    }

    fn orphaned(&self, route: Route, messages: u32) {
        if let Some(server) = self.servers().get(route.link.server) {
            server.pacer.orphaned(route.link.index, messages, clock::now());
        }
    }

    fn announced(&self, uid: InstanceUid, server: ServerId) {
        if let Some(server) = self.servers().get(server) {
            events::Announced { uid }.emit(&server.metrics);
        }
    }

    fn is_polled(&self, server: ServerId) -> bool {
        let server = self.servers().get(server);
        server.is_some_and(|server| matches!(server.params.mode, Mode::Http { .. }))
    }

    fn server_hello(&self, server: ServerId) -> Arc<ServerHello> {
        self.servers().get(server).map_or_else(Arc::default, |server| server.hello())
    }

    fn keying(&self, server: ServerId) -> Keying {
        self.servers().get(server).map_or(Keying::Link, |server| server.keying())
    }

    fn adopt(&self, uid: InstanceUid, server: ServerId) {
        if let Some(target) = self.target(server) {
            target.transport.adopt(uid);
        }
    }

    fn is_up(&self, uid: InstanceUid, route: Route) -> bool {
        let link = self.target(route.server()).and_then(|target| target.transport.link_of(uid));
        link.is_some_and(|link| link.is_up() && link.route().wire() == route.wire())
    }

    fn shared_links(&self) -> Vec<SharedLink> {
        let mut all = Vec::new();
        // Those of a server that is polled mean nothing to it.
        let all_kept = |target: &&Arc<Target>| !self.is_polled(target.server.id);
        for target in self.targets().iter().filter(all_kept) {
            let links = target.server.params.mode.shared_links();
            let shared = target.transport.shared().into_iter().flat_map(LinkSet::iter);
            all.extend(shared.map(|link| SharedLink { route: link.route(), links }));
        }
        all
    }

    fn enqueue(&self, uid: InstanceUid, class: Class) {
        self.servers().enqueue(uid, class);
    }

    fn release(&self, uid: InstanceUid) {
        self.targets().iter().for_each(|target| target.transport.release(uid));
    }
}

/// The same as [`Transport::send`], where parts of messages are held back, or the server is known to refuse some.
///
/// [`Transport::send`]: super::transport::Transport::send
fn send_watched(
    target: &Target,
    uid: InstanceUid,
    route: Route,
    write: &mut dyn FnMut(&mut Vec<u8>),
) -> Result<usize, NotSent> {
    let mut message = Vec::new();
    write(&mut message);
    let way = target.transport.way(route);
    match target.server.suspects.passage(uid, way, &message, clock::now()) {
        Passage::Whole => {}
        Passage::Cut(rest) => message = rest,
        // The session waits for a permit; it is granted once the agent's own link is up.
        Passage::Apart => return Err(NotSent::Stale),
    }
    target.transport.send(uid, route, &mut |out| out.extend_from_slice(&message))
}
