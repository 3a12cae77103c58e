//! The task of one channel of mode `http`: carries out what `core::http_mode::HttpChannel` decides, with a
//! pooled connection. Its diagram is there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::exchange::{Exchanged, HttpConnection};
use super::pool::HttpPool;
use crate::clock;
use crate::core::backoff::Rule;
use crate::core::http_mode::{
    ASIDE_AFTER, ASIDE_AGAIN_AFTER, ASIDES_MAX, Answered, ChannelEffect, ChannelEvent,
    ChannelFacts, HttpChannel, Objection, PostResult, after_delivery, is_withheld, settle_aside,
};
use crate::core::link::LossReason;
use crate::core::server::{ServerEffect, ServerEvent};
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;
use crate::opamp::server::ServerScan;
use crate::opamp::splice;
use crate::sessions::Sessions;
use crate::telemetry::events::upstream as events;
use crate::upstream::dial::DialError;
use crate::upstream::incoming::{self, Origin};
use crate::upstream::link::Link;
use crate::upstream::queue::Post;
use crate::upstream::servers::{MessageFailure, Servers};
use crate::upstream::voice::Right;

/// How often is looked whether others wait behind an exchange that takes long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the task of a channel holds.
pub(super) struct ChannelTask {
    pub(super) pool: Arc<HttpPool>,
    pub(super) servers: Arc<Servers>,
    pub(super) rule: Rule,
    pub(super) link: Arc<Link>,
    pub(super) sessions: Arc<Sessions>,
}

/// What the channel has in hand.
struct InHand {
    health: watch::Receiver<bool>,
    connection: Option<HttpConnection>,
    /// The message under way, and what came of it.
    post: Option<Post>,
    exchanged: Exchanged,
    /// Why the last dial failed.
    error: Option<DialError>,
    /// The server's state was told that this channel is up.
    counted: bool,
    /// What is in hand belongs to this right to speak.
    right: Right,
    /// Exchanges that go on beside the channel.
    asides: JoinSet<()>,
}

/// Keeps a channel going until it is released.
pub(super) async fn keep_channel(task: ChannelTask) {
    let task = Arc::new(task);
    let mut channel = HttpChannel::new(task.rule, clock::now());
    let mut hand = InHand {
        health: task.pool.server.health(),
        connection: None,
        post: None,
        exchanged: Exchanged::Unsent,
        error: None,
        counted: false,
        right: task.servers.voice.listen(),
        asides: JoinSet::new(),
    };
    let mut event = ChannelEvent::Wake;
    loop {
        if hand.right.renew() || event == ChannelEvent::Silenced {
            event = ChannelEvent::Silenced;
            (hand.connection, hand.post) = (None, None);
            hand.asides.abort_all();
        }
        let facts = task.facts(&mut hand);
        let effects = channel.handle(event, facts, clock::now());
        event = ChannelEvent::Wake;
        for effect in effects {
            match task.step(effect, &mut hand).await {
                ControlFlow::Break(()) => return,
                ControlFlow::Continue(Some(next)) => event = next,
                ControlFlow::Continue(None) => task.carry_out(effect, &mut hand),
            }
        }
    }
}

impl ChannelTask {
    fn facts(&self, hand: &mut InHand) -> ChannelFacts {
        ChannelFacts {
            healthy: *hand.health.borrow_and_update(),
            released: self.link.is_released(),
            holds_still: !self.servers.voice.may_speak(),
            waiting: self.link.has_post(None),
            pause: self.pool.server.pacer.paused(clock::now()),
            jitter: rand::random(),
        }
    }

    /// Carries out an effect that takes time, and says what it ended in; `None` for the other effects.
    async fn step(
        self: &Arc<Self>,
        effect: ChannelEffect,
        hand: &mut InHand,
    ) -> ControlFlow<(), Option<ChannelEvent>> {
        ControlFlow::Continue(Some(match effect {
            ChannelEffect::Wait { until, closable } => self.wait(until, closable, hand).await,
            ChannelEffect::Dial => self.dial(hand).await,
            ChannelEffect::Post => self.post(hand).await,
            ChannelEffect::Deliver => {
                let post = hand.post.as_ref();
                let taken = post.is_some_and(|post| self.deliver(post, &hand.exchanged));
                ChannelEvent::Delivered { taken }
            }
            ChannelEffect::End => {
                // What is still under way ends in time.
                while hand.asides.join_next().await.is_some() {}
                return ControlFlow::Break(());
            }
            _ => return ControlFlow::Continue(None),
        }))
    }

    async fn wait(
        &self,
        until: Option<Instant>,
        closable: bool,
        hand: &mut InHand,
    ) -> ChannelEvent {
        let timer = async {
            match until {
                Some(at) => tokio::time::sleep(at.saturating_duration_since(clock::now())).await,
                None => std::future::pending().await,
            }
        };
        let InHand { health, connection, right, .. } = hand;
        let mut again = right.clone();
        let holds_still = !self.servers.voice.may_speak();
        let closed = async {
            match connection {
                Some(connection) if closable => connection.closed().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closed => ChannelEvent::ConnectionClosed,
            () = timer => ChannelEvent::Wake,
            () = self.link.wake.notified() => ChannelEvent::Wake,
            _ = health.changed() => ChannelEvent::Wake,
            () = again.may_speak(), if holds_still => ChannelEvent::Wake,
            () = right.lost() => ChannelEvent::Silenced,
        }
    }

    async fn dial(&self, hand: &mut InHand) -> ChannelEvent {
        let server = &self.pool.server;
        let dial = async {
            // There may be many channels: they dial some at a time.
            let _permit = server.dials.acquire().await;
            HttpConnection::open(&server.endpoint, &self.pool.template).await
        };
        let opened = tokio::select! {
            opened = dial => opened,
            () = hand.right.lost() => return ChannelEvent::Silenced,
        };
        match opened {
            Ok(connection) => {
                hand.connection = Some(connection);
                ChannelEvent::Dialled { accepted: !self.link.is_released() }
            }
            Err(error) => {
                hand.error = Some(error);
                ChannelEvent::DialFailed
            }
        }
    }

    async fn post(self: &Arc<Self>, hand: &mut InHand) -> ChannelEvent {
        let server = &self.pool.server;
        let Some(post) = self.link.take_post() else { return ChannelEvent::NotPosted };
        let goodbye = AgentScan::parse(&post.body).is_ok_and(|scan| scan.disconnects());
        if is_withheld(self.sessions.is_drained_from(post.uid), goodbye) {
            events::Undelivered { server: server.name(), messages: 1 }.emit(&server.metrics);
            return ChannelEvent::NotPosted;
        }
        let Some(mut connection) = hand.connection.take() else {
            (hand.post, hand.exchanged) = (Some(post), Exchanged::Unsent);
            return ChannelEvent::Answered(Answered::Unsent);
        };
        let (pool, uid) = (Arc::clone(&self.pool), post.uid);
        let mut exchange = Box::pin(async move {
            let exchanged = connection.exchange(&pool.server.endpoint, &post, pool.limits).await;
            (connection, post, exchanged)
        });
        let ended = tokio::select! {
            ended = &mut exchange => ended,
            () = hand.right.lost() => return ChannelEvent::Silenced,
            aside = self.aside(uid, &mut hand.asides) => {
                hand.asides.spawn(aside.run(exchange));
                return ChannelEvent::WentAside;
            }
        };
        let (connection, post, exchanged) = ended;
        (hand.connection, hand.exchanged) = (Some(connection), exchanged);
        if !hand.right.may_write() && !matches!(hand.exchanged, Exchanged::Message(_)) {
            // It broke off because the gate was shut.
            return ChannelEvent::Silenced;
        }
        hand.post = Some(post);
        ChannelEvent::Answered(hand.exchanged.answered())
    }

    /// Returns once the exchange under way may go on beside the channel: it takes long, and others wait. Cancel-safe.
    async fn aside(self: &Arc<Self>, uid: InstanceUid, asides: &mut JoinSet<()>) -> SlowExchange {
        let after = if self.link.is_slow(uid) { ASIDE_AGAIN_AFTER } else { ASIDE_AFTER };
        tokio::time::sleep(after).await;
        loop {
            while asides.try_join_next().is_some() {}
            let permit = Arc::clone(&self.pool.asides).try_acquire_owned();
            if let Ok(permit) = permit
                && asides.len() < ASIDES_MAX
                && self.link.has_post(Some(uid))
            {
                return SlowExchange::new(self, uid, permit);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Gives the answer to its agent. Returns whether it was one for this agent.
    pub(super) fn deliver(&self, post: &Post, exchanged: &Exchanged) -> bool {
        let Some(bytes) = exchanged.message() else { return false };
        let (server, link) = (self.pool.server.as_ref(), self.link.as_ref());
        let origin = Origin { server, link, route: post.route, agent: Some(post.uid) };
        let taken = incoming::take(&origin, &self.sessions, bytes);
        if taken {
            server.suspects.post_answered(post.uid, post.body.len());
        }
        taken
    }

    fn carry_out(&self, effect: ChannelEffect, hand: &mut InHand) {
        let server = &self.pool.server;
        let name = || self.link.name(server.name());
        match effect {
            ChannelEffect::Opened => events::LinkUp { name: name() }.emit(&server.metrics),
            ChannelEffect::Discard => hand.connection = None,
            ChannelEffect::Closed { reason, held } => {
                hand.connection = None;
                events::LinkLost { name: name(), reason, code: None, held }.emit(&server.metrics);
            }
            ChannelEffect::Up => hand.counted = self.up(),
            ChannelEffect::Down => {
                self.link.down();
                if std::mem::take(&mut hand.counted) {
                    server.shared_link_lost(self.link.id.index, clock::now());
                }
            }
            ChannelEffect::DialFailed { wait } => {
                let Some(error) = hand.error.take() else { return };
                server.suspects.dial_failed(clock::now());
                let event = ServerEvent::DialFailed(error.failed_dial());
                let first = server.is_first(event, clock::now());
                let (name, result, error) = (name(), error.label(), &error);
                events::DialFailed { name, result, error, first, retry_after: wait }
                    .emit(&server.metrics);
            }
            ChannelEffect::GiveUp => {
                self.link.give_up(|_| false);
            }
            ChannelEffect::Requeue => {
                if let Some(post) = hand.post.take() {
                    self.link.requeue(post);
                }
            }
            // The message may stand in the queue again by now: a pause concerns its server alone.
            ChannelEffect::PauseServer(asked) => self.pause(asked),
            ChannelEffect::ServerServed => server.message_served(clock::now()),
            _ => {
                if let Some(post) = &hand.post {
                    self.settle(effect, post, &hand.exchanged);
                }
            }
        }
    }

    fn pause(&self, asked: Option<Duration>) {
        self.pool.server.handle(ServerEvent::PauseAsked(asked), clock::now());
    }

    /// What follows from an answer for the message, its agent and its server.
    pub(super) fn settle(&self, effect: ChannelEffect, post: &Post, exchanged: &Exchanged) {
        let (server, reason) = (&self.pool.server, exchanged.reason());
        match effect {
            ChannelEffect::PostFailed(result) => {
                if result == PostResult::Lost {
                    server.suspects.post_lost(post.uid, &post.body, clock::now());
                }
                events::PostFailed { server: server.name(), result, reason }.emit(&server.metrics);
            }
            ChannelEffect::ServerServed => server.message_served(clock::now()),
            ChannelEffect::PauseServer(asked) => self.pause(asked),
            ChannelEffect::NotTaken { again } => self.pool.not_taken(&self.sessions, post, again),
            ChannelEffect::ServerFailed(blame) => {
                let (uid, agents) = (post.uid, self.pool.agents());
                let failure = MessageFailure { uid, agents, blame, reason };
                server.message_failed(&failure, clock::now());
            }
            ChannelEffect::Refuse { objection, .. } => self.refuse(post, objection, exchanged),
            _ => {}
        }
    }

    /// The server is there: the agents of this channel are announced to it. `false`: the channel has
    /// been released at this very moment.
    fn up(&self) -> bool {
        if !self.link.up() {
            return false;
        }
        let effects = self.pool.server.handle(ServerEvent::LinkUp, clock::now());
        if effects.contains(&ServerEffect::FirstLink) {
            events::ServerReached { server: self.pool.server.name() }.emit();
        }
        self.pool.returned.notify_one();
        true
    }

    /// The server refuses this message for a reason that concerns its agent, which is told.
    fn refuse(&self, post: &Post, objection: Objection, exchanged: &Exchanged) {
        let Exchanged::Status { status, .. } = *exchanged else { return };
        let (server, now) = (&self.pool.server, clock::now());
        if objection == Objection::Size {
            server.suspects.too_large(post.uid, &post.body, now);
        }
        let first = server.is_first(ServerEvent::MessageRefused(status.as_u16()), now);
        events::PostRefused { server: server.name(), status, first }.emit(&server.metrics);
        let mut refusal = Vec::new();
        let text = objection.text(&status, post.body.len());
        splice::bad_request(Some(post.uid), &text, &mut refusal);
        // What has just been built, and what the gateway has sent, can be read.
        let Ok(refusal) = ServerScan::parse(&refusal) else { return };
        let said_something = AgentScan::parse(&post.body).is_ok_and(|scan| !scan.is_heartbeat());
        let answer = self.sessions.refused(post.uid, post.route, &refusal, said_something);
        if let Some(answer) = answer {
            server.pacer.answered(self.link.id.index, answer, now);
        }
    }
}

/// What comes of an exchange: the connection, and the message with its answer.
type Ended = (HttpConnection, Post, Exchanged);

/// An exchange that goes on beside its channel, because its answer takes long and other agents' messages wait. Its
/// agent's further messages wait for it: they must not overtake it. What it comes to, `core::http_mode` decides.
///
/// This is what the exchange takes with it. While it lives, other messages of its agent stay where they are.
struct SlowExchange {
    task: Arc<ChannelTask>,
    uid: InstanceUid,
    since: Instant,
    /// Why the connection ends.
    reason: LossReason,
    /// A permit of the server for this.
    _permit: OwnedSemaphorePermit,
}

impl Drop for SlowExchange {
    fn drop(&mut self) {
        let Self { task, uid, since, reason, .. } = self;
        task.link.set_busy(*uid, false);
        let server = &task.pool.server;
        let (name, held) = (task.link.name(server.name()), clock::now() - *since);
        events::LinkLost { name, reason: *reason, code: None, held }.emit(&server.metrics);
    }
}

impl SlowExchange {
    fn new(task: &Arc<ChannelTask>, uid: InstanceUid, permit: OwnedSemaphorePermit) -> Self {
        task.link.set_busy(uid, true);
        let (task, since) = (Arc::clone(task), clock::now());
        Self { task, uid, since, reason: LossReason::HoldsStill, _permit: permit }
    }

    /// Waits for the answer, and sees to it.
    async fn run(mut self, exchange: impl Future<Output = Ended>) {
        let (connection, post, exchanged) = exchange.await;
        drop(connection);
        self.task.link.set_slow(self.uid, exchanged.message().is_none());
        self.reason = match exchanged {
            Exchanged::Timeout => LossReason::RequestTimeout,
            Exchanged::Lost(_) => LossReason::Reset,
            Exchanged::TooBig => LossReason::TooBig,
            _ => LossReason::Closed,
        };
        for effect in settle_aside(exchanged.answered()) {
            match effect {
                ChannelEffect::Deliver => {
                    let taken = self.task.deliver(&post, &exchanged);
                    self.task.settle(after_delivery(taken), &post, &exchanged);
                }
                ChannelEffect::Requeue => self.task.link.requeue(post.clone()),
                other => self.task.settle(other, &post, &exchanged),
            }
        }
    }
}
