//! Mode `http`: a server that can be connected to and is of no use, as its lanes see it. `core::server`
//! decides, lanes and `probe` report to it.

use std::time::Instant;

use super::link::Post;
use super::server::Server;
use crate::clock;
use crate::core::server::{Blame, ServerEffect, ServerEvent};
use crate::ident::InstanceUid;
use crate::sessions::Sessions;
use crate::telemetry::events::upstream::{ServerUnusable, ServerUsable};

impl Server {
    pub(super) fn is_usable(&self) -> bool {
        *self.usable.borrow()
    }

    /// A message of this agent's came to nothing, and not through the agent's fault.
    pub(super) fn failed(
        &self,
        uid: InstanceUid,
        blame: Blame,
        reason: &dyn std::fmt::Display,
        now: Instant,
    ) {
        let agents = self.polls.as_ref().map_or(0, |polls| polls.len());
        let event = ServerEvent::MessageFailed { uid, agents };
        if self.handle(event, now).contains(&ServerEffect::Fails) {
            let server = &self.params.name;
            ServerUnusable { server, blame, reason }.emit(&self.metrics);
        }
    }

    /// The server has taken a message, or has said what is wrong with one.
    pub(super) fn served(&self, now: Instant) {
        if self.handle(ServerEvent::MessageServed, now).contains(&ServerEffect::Recovers) {
            ServerUsable { server: &self.params.name }.emit();
        }
    }

    /// The message's answer will not come. `again`: what it said is to be sent once more.
    pub(super) fn not_taken(&self, sessions: &Sessions, post: &Post, again: bool) {
        if let Some(answer) = sessions.not_taken(post.uid, post.route, again) {
            self.pace.answered(post.route.link.index, answer, clock::now());
        }
    }
}
