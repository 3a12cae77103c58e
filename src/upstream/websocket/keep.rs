//! The task of one WebSocket: dials it, announces its agents when it is up, serves it until it is
//! lost, and starts over until it is released. What comes next, `core::link::Redial` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::connection::{FromServer, Serve, run};
use crate::clock;
use crate::core::link::{KeepAlive, LossReason, Redial, RedialFacts, RedialStep};
use crate::core::node_link::LinkEnded;
use crate::core::placement;
use crate::core::server::ServerEvent;
use crate::core::suspects::{Sent, Suspect};
use crate::sessions::Sessions;
use crate::telemetry::events::suspects::SetApart;
use crate::telemetry::events::upstream as events;
use crate::upstream::dial::{DialError, OpenedSocket};
use crate::upstream::incoming::{self, Origin};
use crate::upstream::link::Link;
use crate::upstream::params::Mode;
use crate::upstream::servers::{HowEnded, Server, Servers};
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
                redial.at_once(clock::now());
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
            held: self.held(),
            jitter: rand::random(),
        }
    }

    /// How long dials are held back: at the server's wish, or because it denies this agent.
    fn held(&self) -> Option<Duration> {
        let now = clock::now();
        let denied = self.link.owner.and_then(|uid| self.server.suspects.paused(uid, now));
        self.server.held(now).max(denied)
    }

    /// The server has taken a connection: what the last one was lost with is judged. Returns whether this one may be used.
    fn judge_loss(&self) -> bool {
        let (Self { server, link, .. }, now) = (self, clock::now());
        let Some(uid) = link.owner else {
            let agents = server.suspects.shared_opens(link.id.index, now);
            SetApart { name: link.name(server.name()), agents }.emit(&server.metrics);
            return true;
        };
        server.suspects.own_opens(uid, server.params.mode == Mode::PerAgent, now)
    }

    /// A message has ended a link that many share, or another link stands: the server is well, and they need not wait.
    fn server_is_well(&self, end: HowEnded) -> bool {
        end.names_message() || end.accuses() && self.server.has_links_up()
    }

    /// Takes note of whose messages were under way when the link was lost.
    fn note_unanswered(&self, end: HowEnded, unanswered: Vec<(Suspect, Sent)>, now: Instant) {
        let (suspects, mut unanswered) = (&self.server.suspects, unanswered.into_iter());
        if let Some(uid) = self.link.owner {
            let sent = unanswered.find(|(of, _)| of.uid == uid).map(|(_, sent)| sent);
            return suspects.own_lost(uid, end, sent, now);
        }
        let of = unanswered.map(|(suspect, _)| suspect).collect();
        suspects.shared_lost(self.link.id.index, end, of, now);
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
            // It would be ended again.
            Ok(_) if !self.judge_loss() => {}
            Ok(opened) if self.link.up() => self.serve(opened, redial, right).await,
            // Released in the meantime.
            Ok(_) => {}
            Err(error) => self.failed(&error, redial),
        }
    }

    fn failed(&self, error: &DialError, redial: &mut Redial) {
        let now = clock::now();
        self.server.suspects.dial_failed(now);
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
        let take = |said: FromServer<'_>| match said {
            FromServer::Message(bytes) => {
                incoming::take(&origin, sessions, bytes);
            }
            FromServer::PassedOver(head, bytes) => {
                incoming::pass_over(&origin, sessions, head, bytes);
            }
        };
        let params = &servers.params;
        let (message_bytes_max, right) = (params.message_bytes_max, right.clone());
        let closed_with = AtomicU16::new(0);
        let serve = Serve { link, message_bytes_max, right, closed_with, take: &take };
        let alive = KeepAlive::new(params.ping_interval, params.ping_timeout, since);
        let ((), reason) = tokio::join!(self.announce(), run(&serve, opened, alive));
        let (unanswered, now) = (link.down(), clock::now());
        let code = Some(serve.closed_with.load(Ordering::Relaxed)).filter(|code| *code > 0);
        let end = HowEnded { reason, code };
        self.note_unanswered(end, unanswered, now);
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
        let name = link.name(server.name());
        events::LinkLost { name, reason, code, held }.emit(&server.metrics);
        let held_well = held >= params.stable_after && link.owner.is_none();
        if reason == LossReason::HoldsStill || held_well && self.server_is_well(end) {
            redial.at_once(now);
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
