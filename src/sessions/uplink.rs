//! What the sessions need of the servers' side. `upstream` implements it; a test may too.

use std::sync::Arc;
use std::time::Duration;

use crate::core::pacing::{Class, Liveness, Permit};
use crate::core::server::Keying;
use crate::core::session::{NotSent, Route, ServerHello};
use crate::ident::{InstanceUid, ServerId};

/// A link that a server's agents share, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedLink {
    /// The link, and its present establishment or the coming one.
    pub route: Route,
    /// How many links the server's agents share.
    pub links: u16,
}

/// The way to the servers. Called with a session locked: returns at once, and leaves sessions alone.
pub trait Uplink: Send + Sync + 'static {
    /// The link that an agent's messages take now; `None` if no server is configured.
    fn route(&self, uid: InstanceUid) -> Option<Route>;

    /// Asked before a message that has just come is sent on `route`; what has waited goes with the permit that
    /// was granted to it.
    fn admit(&self, uid: InstanceUid, route: Route) -> Permit;

    /// A sign of life of an agent whose server on `route` wants one in each `asked`: whether it fits the server's budget.
    fn liveness(&self, _route: Route, _asked: Duration) -> Liveness {
        Liveness::Fits
    }

    /// The server has asked for the full state of all agents that were introduced to this incarnation lately:
    /// introducing the next one by its full state spares a question.
    fn state_lost(&self, route: Route) -> bool;

    /// Takes one message: `write` appends the `AgentToServer` to the link's own buffer.
    ///
    /// # Errors
    /// Says why the message was refused; `write` is left alone then.
    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent>;

    /// The sessions of this many messages, the last on `route`, are over: the pacer stops waiting for their answers.
    fn orphaned(&self, route: Route, messages: u32);

    /// An agent has been introduced to the server by a message of the gateway's own: for the count.
    fn announced(&self, uid: InstanceUid, server: ServerId);

    /// Whether the server speaks only when it is asked, and answers each message (mode `http`).
    fn is_polled(&self, _server: ServerId) -> bool {
        false
    }

    /// What the server says of itself.
    fn server_hello(&self, server: ServerId) -> Arc<ServerHello>;

    /// How the server knows its agents: what a session does that came from another home.
    fn keying(&self, _server: ServerId) -> Keying {
        Keying::Uid
    }

    /// A session has come from another home, and this server knows its agent: what there is for it alone begins.
    fn adopt(&self, _uid: InstanceUid, _server: ServerId) {}

    /// Whether a message would go now that takes this route of the agent's.
    fn is_up(&self, _uid: InstanceUid, _route: Route) -> bool {
        true
    }

    /// The links that agents share.
    fn shared_links(&self) -> Vec<SharedLink> {
        Vec::new()
    }

    /// The session wants a permit of its server: [`super::Sessions::permit_granted`] follows, paced. It stands
    /// in each class once.
    fn enqueue(&self, uid: InstanceUid, class: Class);

    /// The session is over: what was there for it alone can go.
    fn release(&self, uid: InstanceUid);
}
