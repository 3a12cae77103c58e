//! One lane of mode `http`: a link that carries one message after the other, each a POST, over one
//! keep-alive connection. An agent always has the same lane, so its messages keep their order.
//!
//! ```text
//!          dial failed: incarnation + 1, queue emptied
//!   ┌──────────────────────────────────────────────────────┐
//!   ▼        dialled                   closed while idle   │
//!  Down ───────────────► Up, connected ─────────────────► Up, not connected
//!   │                     ▲                                │ a message waits, or a moment later
//!   │                     └────────────────────────────────┘
//!   └── released ──► the task ends
//! ```
//!
//! A connection that the server closes is nothing: servers do so with idle ones. Another incarnation is
//! what comes after a dial that failed, for then the server was away. What a broken connection took with
//! it concerns one agent, and so does a status: [`Sessions::not_taken`] says so to its session. A server
//! that has restarted in the blink of an eye hears of its agents by their polls. If it answers nobody
//! but with failures (`core::server`), all lanes are down until `probe` finds it better.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

use super::Upstream;
use super::incoming::{self, Origin};
use super::link::{Link, Post};
use super::params::UpstreamParams;
use super::post::{Connection, Exchanged, Limits};
use super::server::Server;
use super::stop::is_goodbye;
use super::tasks::rest;
use super::verdict::{Verdict, objection_text, result, verdict};
use crate::clock;
use crate::core::backoff::Backoff;
use crate::core::server::{Blame, ServerEffect, ServerEvent};
use crate::opamp::agent::AgentScan;
use crate::opamp::server::ServerScan;
use crate::opamp::splice;
use crate::sessions::Sessions;
use crate::telemetry::events::upstream as events;
use crate::telemetry::events::upstream::{LossReason, PostResult};

pub(super) struct Lane {
    up: Arc<Upstream>,
    server: Arc<Server>,
    link: Arc<Link>,
    sessions: Arc<Sessions>,
    backoff: Backoff,
    is_up: bool,
    usable: watch::Receiver<bool>,
}

/// Why a connection ended, and what is to be waited for before the next.
struct Ended {
    reason: LossReason,
    wait: Duration,
    /// Nothing went wrong: a message need not wait.
    idle: bool,
}

/// Bounds of each exchange.
pub(super) fn limits(params: &UpstreamParams) -> Limits {
    Limits {
        message_bytes_max: params.message_bytes_max,
        timeout: params.ping_interval.saturating_add(params.ping_timeout),
    }
}

/// Keeps a lane going until it is released.
pub(super) async fn keep_lane(
    up: Arc<Upstream>,
    server: Arc<Server>,
    link: Arc<Link>,
    sessions: Arc<Sessions>,
) {
    let (backoff, usable) = (Backoff::default(), server.usable.subscribe());
    let mut lane = Lane { up, server, link, sessions, backoff, is_up: false, usable };
    while let Some(mut connection) = lane.connect().await {
        let ended = lane.serve(&mut connection).await;
        let held = clock::now().saturating_duration_since(connection.since);
        drop(connection);
        let name = lane.server.name(&lane.link);
        events::LinkLost { name, reason: ended.reason, held }.emit(&lane.server.metrics);
        lane.wait_after(&ended).await;
    }
    lane.away();
}

impl Lane {
    /// `None`: the lane is released, and nothing is left to send.
    async fn connect(&mut self) -> Option<Connection> {
        while !self.is_done() {
            if !self.server.is_usable() {
                self.away();
                self.until_usable().await;
                continue;
            }
            let dialled = {
                // As many lanes as there may be need not all dial at one time.
                let _turn = self.server.dials.acquire().await.ok()?;
                Connection::open(&self.server.endpoint).await
            };
            let name = self.server.name(&self.link);
            match dialled {
                // What was under way on another lane has just decided otherwise.
                Ok(_) if !self.server.is_usable() => {}
                Ok(connection) => {
                    events::LinkUp { name }.emit(&self.server.metrics);
                    if !self.is_up && self.link.up() {
                        self.here();
                    }
                    return Some(connection);
                }
                Err(error) => {
                    self.away();
                    let wait =
                        self.backoff.failed(self.up.params.backoff_rule(), rand::random(), None);
                    let event = ServerEvent::DialFailed(error.failed_dial());
                    let first = self.server.is_first(event, clock::now());
                    let result = error.label();
                    let name = self.server.name(&self.link);
                    events::DialFailed { name, result, error: &error, first, retry_after: wait }
                        .emit(&self.server.metrics);
                    rest(&self.link, wait).await;
                }
            }
        }
        None
    }

    fn is_done(&self) -> bool {
        self.link.is_released() && self.link.waiting_bytes() == 0
    }

    /// The server is there: agents of this lane are introduced to it.
    fn here(&mut self) {
        self.is_up = true;
        let effects = self.server.handle(ServerEvent::LinkUp, clock::now());
        if effects.contains(&ServerEffect::FirstLink) {
            events::ServerReached { server: &self.server.params.name }.emit();
        }
        self.server.reintroduce.notify_one();
    }

    /// The server is away, and what was on its way to it may be lost.
    fn away(&mut self) {
        if std::mem::take(&mut self.is_up) {
            self.link.down();
            self.server.link_lost(&self.link, clock::now());
        }
    }

    /// Returns, too, when somebody calls.
    async fn until_usable(&mut self) {
        tokio::select! {
            _ = self.usable.wait_for(|usable| *usable) => {}
            () = self.link.wake.notified() => {}
        }
    }

    /// Rests, unless the server proves to be of no use: then there is no point in waiting for it here.
    async fn rest(&mut self, wait: Duration) {
        tokio::select! {
            () = rest(&self.link, wait) => {}
            _ = self.usable.wait_for(|usable| !usable) => {}
        }
    }

    async fn wait_after(&mut self, ended: &Ended) {
        if !ended.idle || self.link.is_released() {
            return self.rest(ended.wait).await;
        }
        let end = tokio::time::sleep(ended.wait);
        tokio::select! {
            () = end => {}
            () = self.link.wake.notified() => {}
        }
    }

    /// Sends what there is to send, until the connection ends.
    async fn serve(&mut self, connection: &mut Connection) -> Ended {
        loop {
            if !self.server.is_usable() {
                // All lanes at once: it is the server's loss, as if each had been lost.
                self.away();
                return Ended { reason: LossReason::Useless, wait: Duration::ZERO, idle: false };
            }
            let released = self.link.is_released();
            let pause = self.server.pace.paused(clock::now());
            if let Some(pause) = pause.filter(|_| self.link.waiting_bytes() > 0) {
                if released {
                    // Whoever released the lane has waited for as long as there was time.
                    self.link.give_up(|_| false);
                    continue;
                }
                // Those who wait for the same moment do not go at the same moment.
                let jitter = self.up.params.backoff_rule().initial.mul_f64(rand::random());
                self.rest(pause + jitter).await;
                continue;
            }
            if let Some(post) = self.link.take_post() {
                if self.sessions.is_drained_from(post.uid) && !is_goodbye(&post.body) {
                    // It could arrive after what the agent's new node has said.
                    let server = &self.server.params.name;
                    events::Undelivered { server, messages: 1 }.emit(&self.server.metrics);
                } else if let Some(ended) = self.post(connection, post).await {
                    return ended;
                }
                continue;
            }
            if released {
                return Ended { reason: LossReason::Released, wait: Duration::ZERO, idle: true };
            }
            let closed = tokio::select! {
                () = connection.closed() => true,
                () = self.link.wake.notified() => false,
                _ = self.usable.wait_for(|usable| !usable) => false,
            };
            if closed {
                return self.closed_idle(connection);
            }
        }
    }

    /// One message. Returns why the connection is of no more use, if it is not.
    async fn post(&mut self, connection: &mut Connection, post: Post) -> Option<Ended> {
        let limits = limits(&self.up.params);
        match connection.exchange(&self.server.template, &post, limits).await {
            Exchanged::Message(bytes) => {
                connection.served = true;
                self.backoff = Backoff::default();
                self.answered(&post, &bytes);
                None
            }
            Exchanged::Status { status, retry_after } => {
                connection.served = true;
                self.answered_by_status(post, status, retry_after).await;
                None
            }
            Exchanged::Unsent => {
                self.lost_unserved(connection, &post, &"closed before a request");
                self.link.requeue(post);
                Some(self.broken(connection, LossReason::Closed))
            }
            Exchanged::Lost(error) => {
                self.failed(PostResult::Lost, &error);
                self.not_taken(&post, true);
                self.lost_unserved(connection, &post, &error);
                Some(self.broken(connection, LossReason::Reset))
            }
            Exchanged::Timeout => {
                self.failed(PostResult::Timeout, &"no response in time");
                self.not_taken(&post, true);
                self.no_use(&post, Blame::Server, &"no response in time");
                // However well it served before: whoever is too slow is given time.
                connection.served = false;
                Some(self.broken(connection, LossReason::RequestTimeout))
            }
            Exchanged::TooBig => {
                self.failed(PostResult::TooBig, &"the response is over the limit");
                self.not_taken(&post, false);
                self.server.served(clock::now());
                connection.served = true;
                Some(self.broken(connection, LossReason::TooBig))
            }
        }
    }

    fn answered(&self, post: &Post, bytes: &[u8]) {
        let (server, link) = (self.server.as_ref(), self.link.as_ref());
        let origin = Origin { server, link, route: post.route, agent: Some(post.uid) };
        if incoming::take(&origin, &self.sessions, bytes) {
            server.served(clock::now());
        } else {
            // It is no answer to this agent, and there will be no other.
            self.not_taken(post, false);
        }
    }

    async fn answered_by_status(
        &mut self,
        post: Post,
        status: StatusCode,
        retry_after: Option<Duration>,
    ) {
        let rule = self.up.params.backoff_rule();
        match verdict(status) {
            Verdict::Peace => {
                self.failed(PostResult::Unavailable, &status);
                // The server has not taken it: the very same message goes again, and none before it.
                self.link.requeue(post);
                incoming::pause(&self.server, retry_after.map(|asked| asked.max(rule.initial)));
            }
            Verdict::Failed(blame) => {
                self.failed(result(blame), &status);
                self.not_taken(&post, true);
                self.no_use(&post, blame, &status);
                let wait = self.backoff.failed(rule, rand::random(), None);
                self.rest(wait).await;
            }
            Verdict::Refused(objection) => {
                let event = ServerEvent::MessageRefused(status.as_u16());
                let first = self.server.is_first(event, clock::now());
                let (server, metrics) = (&self.server.params.name, &self.server.metrics);
                events::PostRefused { server, status, first }.emit(metrics);
                self.refused(&post, &objection_text(objection, status, post.body.len()));
                self.server.served(clock::now());
            }
        }
    }

    /// The server does not want this message, for a reason that concerns its agent.
    fn refused(&self, post: &Post, text: &str) {
        let mut refusal = Vec::new();
        splice::bad_request(Some(post.uid), text, &mut refusal);
        // What has just been built, and what the gateway has sent, can be read.
        let Ok(refusal) = ServerScan::parse(&refusal) else { return };
        let said_something = AgentScan::parse(&post.body).is_ok_and(|scan| !scan.is_heartbeat());
        let answer = self.sessions.refused(post.uid, post.route, &refusal, said_something);
        if let Some(answer) = answer {
            self.server.pace.answered(self.link.id.index, answer, clock::now());
        }
    }

    /// A message came to nothing, and its agent cannot help it.
    fn no_use(&self, post: &Post, blame: Blame, reason: &dyn std::fmt::Display) {
        self.server.failed(post.uid, blame, reason, clock::now());
    }

    fn failed(&self, result: PostResult, reason: &dyn std::fmt::Display) {
        let server = &self.server.params.name;
        events::PostFailed { server, result, reason }.emit(&self.server.metrics);
    }

    /// The message's answer will not come. `again`: what it said is to be sent once more.
    fn not_taken(&self, post: &Post, again: bool) {
        self.server.not_taken(&self.sessions, post, again);
    }

    /// Connections are closed at any time, and many at once when a server restarts. One that ends at its
    /// first request is no better than a failure: so ends each, where a balancer has no server behind it.
    fn lost_unserved(&self, connection: &Connection, post: &Post, reason: &dyn std::fmt::Display) {
        if !connection.served {
            self.no_use(post, Blame::Server, reason);
        }
    }

    /// A connection that has served may end at any time. One that has not is a failure, lest a server
    /// that accepts and closes be dialled without end.
    fn broken(&mut self, connection: &Connection, reason: LossReason) -> Ended {
        let wait = if connection.served {
            Duration::ZERO
        } else {
            self.backoff.failed(self.up.params.backoff_rule(), rand::random(), None)
        };
        Ended { reason, wait, idle: false }
    }

    fn closed_idle(&mut self, connection: &Connection) -> Ended {
        let (rule, now) = (self.up.params.backoff_rule(), clock::now());
        let wait = self.backoff.lost(rule, rand::random(), connection.since, now);
        Ended { reason: LossReason::Closed, wait, idle: true }
    }
}
