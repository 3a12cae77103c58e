//! What the sessions need of the servers' side. `upstream` implements it; a test may too.

use std::sync::Arc;

use crate::core::pacing::{Class, Permit};
use crate::core::session::Route;
use crate::ident::{InstanceUid, ServerId};

/// Why a message was not taken for sending. Nothing is lost by it: the session wants its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The link is down.
    Down,
    /// As many messages or bytes wait on the link as may.
    Full,
    /// The route was of an earlier incarnation.
    Stale,
}

/// What a server says of itself in the first reply of a connection. Every agent is to hear it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// `ServerToAgent.capabilities`; `None` before the server has spoken.
    pub capabilities: Option<u64>,
    /// The encoded `ServerToAgent.custom_capabilities`.
    pub custom_capabilities: Option<Vec<u8>>,
}

/// The way to the servers. Called with a session locked: must not block, and must not call back
/// into the sessions.
pub trait Uplink: Send + Sync + 'static {
    /// The link that an agent's messages take now; `None` if no server is configured.
    fn route(&self, uid: InstanceUid) -> Option<Route>;

    /// Asked before a message that has just come is sent on `route`; what waits for its turn has been
    /// admitted by the turn.
    fn admit(&self, uid: InstanceUid, route: Route) -> Permit;

    /// The server has asked for the full state of all agents that were introduced to this
    /// incarnation lately: introducing the next one by its full state spares everybody a question.
    fn state_lost(&self, route: Route) -> bool;

    /// Takes one message: `write` appends the `AgentToServer` to the link's own buffer.
    ///
    /// # Errors
    /// Says why the message was not taken; `write` has not been called then.
    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent>;

    /// So many of the messages that went out last on `route` are no session's any more: whoever awaits
    /// their answers need not count on them.
    fn orphaned(&self, route: Route, messages: u32);

    /// An agent has been introduced to the server without a message of its own: for the count.
    fn announced(&self, uid: InstanceUid, server: ServerId);

    /// What the server says of itself.
    fn server_hello(&self, server: ServerId) -> Arc<ServerHello>;

    /// The session wants its turn at its server: [`super::Sessions::turn`] follows, paced. Stands in
    /// each class once at most.
    fn enqueue(&self, uid: InstanceUid, class: Class);

    /// The session is over: what was kept for it alone can go.
    fn release(&self, uid: InstanceUid);
}
