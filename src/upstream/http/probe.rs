//! The task that asks a failing server of mode `http` whether it takes messages again. When, and what
//! the answer says, `core::http_mode::HttpProbe` decides.

use std::sync::Arc;

use super::exchange::{Exchanged, HttpConnection};
use super::pool::HttpPool;
use crate::clock;
use crate::core::http_mode::{HttpProbe, ProbeEvent, ProbeFacts, ProbeOutcome, ProbeStep};
use crate::core::server::ServerEvent;
use crate::sessions::Sessions;
use crate::upstream::incoming::{self, Origin};
use crate::upstream::queue::Post;
use crate::upstream::servers::Servers;
use crate::upstream::voice::Right;

/// Probes the server whenever it fails, as long as the node lives.
pub(super) async fn probe(pool: Arc<HttpPool>, servers: Arc<Servers>, sessions: Arc<Sessions>) {
    let mut probe = HttpProbe::new(servers.params.backoff_rule(), clock::now());
    let mut health = pool.server.health();
    let mut right = servers.voice.listen();
    let mut event = ProbeEvent::Wake;
    loop {
        right.renew();
        let holds_still = !servers.voice.may_speak();
        let facts = ProbeFacts {
            healthy: *health.borrow_and_update(),
            holds_still,
            pause: pool.server.pacer.paused(clock::now()),
            jitter: rand::random(),
        };
        let step = probe.handle(event, facts, clock::now());
        event = ProbeEvent::Wake;
        match step {
            // What was still under way may be answered well, which ends the wait.
            ProbeStep::Wait(None) => tokio::select! {
                () = right.may_speak(), if holds_still => {}
                changed = health.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            },
            ProbeStep::Wait(Some(until)) => {
                let wait = until.saturating_duration_since(clock::now());
                let _ = tokio::time::timeout(wait, health.changed()).await;
            }
            ProbeStep::Try(number) => {
                event = ProbeEvent::Tried(attempt(&pool, &sessions, &mut right, number).await);
            }
            ProbeStep::Served => pool.server.message_served(clock::now()),
        }
    }
}

async fn attempt(
    pool: &HttpPool,
    sessions: &Sessions,
    right: &mut Right,
    number: usize,
) -> ProbeOutcome {
    let server = &pool.server;
    let opened = {
        let _permit = server.dials.acquire().await;
        HttpConnection::open(&server.endpoint, &pool.template).await
    };
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => {
            let (dial, jitter) = (error.failed_dial(), rand::random());
            server.handle(ServerEvent::ProbeFailed { dial, jitter }, clock::now());
            return ProbeOutcome::Bad { retry_after: error.retry_after() };
        }
    };
    let reporter = server.reporter(number);
    let link = reporter.and_then(|uid| pool.channels.of(uid));
    let (Some(uid), Some(link)) = (reporter, link) else { return ProbeOutcome::BAD };
    if link.is_up() || link.is_busy(uid) {
        // Its last message is still under way: two of one agent would overtake each other.
        return ProbeOutcome::BAD;
    }
    let Some(probe) = sessions.probe(uid, server.id) else {
        // All agents have left by whom to ask: the next one will find out.
        return ProbeOutcome::Good;
    };
    let route = link.route();
    if probe.introduces {
        server.pacer.sent(link.id.index, clock::now());
    }
    let post = Post { uid, route, body: probe.body.into() };
    let exchanged = tokio::select! {
        exchanged = connection.exchange(&server.endpoint, &post, pool.limits) => exchanged,
        // It may have arrived, or not.
        () = right.lost() => Exchanged::Timeout,
    };
    let outcome = ProbeOutcome::of(exchanged.answered());
    if probe.introduces {
        // It is the message of its agent's session, which is told what became of it.
        let origin = Origin { server, link, route, agent: Some(uid) };
        let taken = exchanged.message().is_some_and(|m| incoming::take(&origin, sessions, m));
        if !taken {
            pool.not_taken(sessions, &post, outcome != ProbeOutcome::Good);
        }
    }
    outcome
}
