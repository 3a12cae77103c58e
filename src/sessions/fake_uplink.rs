//! The servers' side as tests have it: one server with one link, and a record of what was sent there.

use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;

use super::{SharedLink, Uplink};
use crate::core::pacing::{Class, Permit};
use crate::core::session::{NotSent, Route, ServerHello};
use crate::ident::{Incarnation, InstanceUid, LinkId, ServerId};
use crate::opamp::proto::AgentToServer;

/// One server with one link, whose state the test decides.
#[derive(Debug)]
pub(crate) struct FakeUplink {
    pub(super) state: Mutex<FakeState>,
}

#[derive(Debug)]
pub(super) struct FakeState {
    pub(super) route: Route,
    /// Why messages are refused, while they are.
    pub(super) refuses: Option<NotSent>,
    pub(super) sent: Vec<(InstanceUid, AgentToServer)>,
    /// Everything has to wait for a permit.
    pub(super) is_busy: bool,
    pub(super) enqueued: Vec<(InstanceUid, Class)>,
    pub(super) released: Vec<InstanceUid>,
    pub(super) orphaned: Vec<(Route, u32)>,
    pub(super) server_hello: Arc<ServerHello>,
}

pub(super) const fn route(incarnation: u32) -> Route {
    let link = LinkId { server: ServerId(0), index: 0 };
    Route::of_link(link, Incarnation(incarnation))
}

impl FakeUplink {
    /// The link is up.
    pub(crate) fn up() -> Self {
        let state = FakeState {
            route: route(1),
            refuses: None,
            sent: Vec::new(),
            is_busy: false,
            enqueued: Vec::new(),
            released: Vec::new(),
            orphaned: Vec::new(),
            server_hello: Arc::default(),
        };
        Self { state: Mutex::new(state) }
    }

    /// The link is down.
    pub(crate) fn down() -> Self {
        let fake = Self::up();
        fake.state.lock().refuses = Some(NotSent::Down);
        fake
    }
}

impl Uplink for FakeUplink {
    fn route(&self, _: InstanceUid) -> Option<Route> {
        Some(self.state.lock().route)
    }

    fn admit(&self, _: InstanceUid, _: Route) -> Permit {
        if self.state.lock().is_busy { Permit::Wait { soon: false } } else { Permit::Granted }
    }

    fn state_lost(&self, _: Route) -> bool {
        false
    }

    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let mut state = self.state.lock();
        if let Some(why) = state.refuses {
            return Err(why);
        }
        if route.wire() != state.route.wire() {
            return Err(NotSent::Stale);
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        let message = AgentToServer::decode(&bytes[..]).unwrap();
        assert_eq!(message.instance_uid, &*uid.to_wire());
        state.sent.push((uid, message));
        Ok(())
    }

    fn orphaned(&self, route: Route, messages: u32) {
        self.state.lock().orphaned.push((route, messages));
    }

    fn announced(&self, _: InstanceUid, _: ServerId) {}

    fn server_hello(&self, _: ServerId) -> Arc<ServerHello> {
        Arc::clone(&self.state.lock().server_hello)
    }

    fn is_up(&self, _: InstanceUid, _: Route) -> bool {
        self.state.lock().refuses.is_none()
    }

    fn shared_links(&self) -> Vec<SharedLink> {
        vec![SharedLink { route: self.state.lock().route, links: 1 }]
    }

    fn enqueue(&self, uid: InstanceUid, class: Class) {
        self.state.lock().enqueued.push((uid, class));
    }

    fn release(&self, uid: InstanceUid) {
        self.state.lock().released.push(uid);
    }
}
