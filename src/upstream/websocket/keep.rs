//! The task of one WebSocket: dials it, announces its agents when it is up, serves it until it is
//! lost, and starts over until it is released. What comes next, `core::link::Redial` says.

use std::sync::Arc;
use std::time::Instant;

use super::connection::{Serve, run};
use crate::clock;
use crate::core::link::{KeepAlive, LossReason, Redial, RedialFacts, RedialStep};
use crate::core::node_link::LinkEnded;
use crate::core::placement;
use crate::core::server::ServerEvent;
use crate::sessions::Sessions;
use crate::telemetry::events::upstream as events;
use crate::upstream::dial::{DialError, OpenedSocket};
use crate::upstream::incoming::{self, Origin};
use crate::upstream::link::Link;
use crate::upstream::servers::{Server, Servers};
use crate::upstream::voice::Right;
use crate::upstream::walk;

/// What the task of a link holds.
pub(in crate::upstream) struct LinkTask {
    pub(in crate::upstream) servers: Arc<Servers>,
    pub(in crate::upstream) server: Arc<Server>,
    pub(in crate::upstream) link: Arc<Link>,
    pub(in crate::upstream) sessions: Arc<Sessions>,
}

/// Keeps a link up until it is released. What is sent on the link from now on is dropped if the right to speak is
/// lost, also before the task has begun.
pub(in crate::upstream) fn keep_link(task: LinkTask) -> impl Future<Output = ()> {
    let mut right = task.servers.voice.listen();
    async move {
        let mut redial = Redial::new(task.servers.params.backoff_rule(), clock::now());
        loop {
            if right.renew() {
                task.link.down();
                redial.held_still(clock::now());
            }
            match redial.next(task.facts(), clock::now()) {
                RedialStep::End => return,
                RedialStep::Wait(until) => task.wait(until, &mut right).await,
                RedialStep::HoldStill => task.hold_still(&mut right).await,
                RedialStep::Dial => task.dial(&mut redial, &mut right).await,
            }
        }
    }
}

impl LinkTask {
    fn facts(&self) -> RedialFacts {
        RedialFacts {
            released: self.link.is_released(),
            holds_still: !self.servers.voice.may_speak(),
            held: self.server.held(clock::now()),
            jitter: rand::random(),
        }
    }

    /// A release ends the wait; any other call is a message that waits for the link.
    async fn wait(&self, until: Instant, right: &mut Right) {
        tokio::select! {
            () = tokio::time::sleep(until.saturating_duration_since(clock::now())) => {}
            () = self.link.wake.notified() => {}
            () = right.lost() => {}
        }
    }

    /// Waits until the node may speak. A release ends the wait.
    async fn hold_still(&self, right: &mut Right) {
        tokio::select! {
            () = right.may_speak() => {}
            () = self.link.wake.notified() => {}
        }
    }

    /// Dials, and serves what was opened.
    async fn dial(&self, redial: &mut Redial, right: &mut Right) {
        // Shared links are few; agents' own come in thousands and dial some at a time.
        let permit = match self.link.owner {
            Some(_) => self.server.dials.acquire().await.ok(),
            None => None,
        };
        // The server may have asked for patience meanwhile.
        if redial.next(self.facts(), clock::now()) != RedialStep::Dial {
            return;
        }
        // Boxed: the handshake's state is gone when the link is up.
        let dialled = tokio::select! {
            dialled = Box::pin(self.server.endpoint.dial()) => dialled,
            () = right.lost() => return,
        };
        drop(permit);
        match dialled {
            // What waits on the link is older than the right: it is dropped first.
            _ if right.is_lost() => {}
            Ok(opened) if self.link.up() => self.serve(opened, redial, right).await,
            // Released in the meantime.
            Ok(_) => {}
            Err(error) => self.failed(&error, redial),
        }
    }

    fn failed(&self, error: &DialError, redial: &mut Redial) {
        let now = clock::now();
        let retry_after = redial.failed(rand::random(), error.retry_after(), now);
        let first = self.server.is_first(ServerEvent::DialFailed(error.failed_dial()), now);
        let (name, result) = (self.link.name(self.server.name()), error.label());
        events::DialFailed { name, result, error, first, retry_after }.emit(&self.server.metrics);
    }

    async fn serve(&self, opened: OpenedSocket, redial: &mut Redial, right: &Right) {
        let Self { servers, server, link, sessions } = self;
        let since = clock::now();
        server.handle(ServerEvent::LinkUp, since);
        events::LinkUp { name: link.name(server.name()) }.emit(&server.metrics);
        let origin = Origin { server, link, route: link.route(), agent: link.owner };
        let take = |bytes: &[u8]| {
            incoming::take(&origin, sessions, bytes);
        };
        let params = &servers.params;
        let (message_bytes_max, right) = (params.message_bytes_max, right.clone());
        let serve = Serve { link, message_bytes_max, right, take: &take };
        let alive = KeepAlive::new(params.ping_interval, params.ping_timeout, since);
        let ((), reason) = tokio::join!(self.announce(), run(&serve, opened, alive));
        link.down();
        let now = clock::now();
        if link.owner.is_none() {
            server.shared_link_lost(link.id.index, now);
        } else {
            // What it took with it is forgotten in time: agents' own links are counted as one.
            server.handle(ServerEvent::LinkLost, now);
        }
        if let Some(fleet) = sessions.in_fleet().filter(|_| link.owner.is_none()) {
            // What the server remembers by this link is past, also for agents that are at other homes by now.
            let links = server.params.mode.shared_links();
            let up_to = origin.route.incarnation;
            fleet.server_link_ended(LinkEnded { link: link.id, links, up_to }, None);
        }
        let held = now.saturating_duration_since(since);
        events::LinkLost { name: link.name(server.name()), reason, held }.emit(&server.metrics);
        if reason == LossReason::HoldsStill {
            redial.held_still(now);
        } else {
            redial.lost(rand::random(), since, now);
        }
    }

    /// The link is up: its agents wait for permits to be announced to the server.
    async fn announce(&self) {
        if let Some(owner) = self.link.owner {
            self.sessions.enqueue_one(owner);
            return;
        }
        let servers = Arc::clone(&self.servers);
        let (id, links) = (self.link.id, self.server.params.mode.shared_links());
        let of_this_link = move |uid| {
            placement::link_of(uid, links) == id.index
                && servers.place(uid).is_some_and(|place| place.id == id.server)
        };
        walk::enqueue_all(&self.sessions, of_this_link).await;
    }
}
