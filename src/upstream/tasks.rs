//! The tasks of a server: one a link, which dials and serves; one that watches whether the server can
//! be reached. A third gives sessions their turns: `turns`.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::connection::Serve;
use super::dial::DialError;
use super::incoming::{self, Origin};
use super::link::Link;
use super::server::Server;
use crate::clock;
use crate::core::backoff::Backoff;
use crate::core::server::{ServerEffect, ServerEvent};
use crate::sessions::Sessions;
use crate::telemetry::events::upstream as events;

/// Keeps one link up until it is released.
pub(super) async fn keep_link(
    up: Arc<Upstream>,
    server: Arc<Server>,
    link: Arc<Link>,
    sessions: Arc<Sessions>,
) {
    let rule = up.params.backoff_rule();
    let mut backoff = Backoff::default();
    while !link.is_released() {
        if let Some(hold) = server.held(clock::now()) {
            // Those who wait for the same moment do not dial at the same moment.
            rest(&link, hold + rule.initial.mul_f64(rand::random())).await;
            continue;
        }
        let wait = match dial(&server, &link).await {
            // Told to wait while it waited for its turn.
            None => continue,
            Some(Ok(opened)) if link.up() => {
                let since = clock::now();
                server.handle(ServerEvent::LinkUp, since);
                events::LinkUp { name: server.name(&link) }.emit(&server.metrics);
                reintroduce(&up, &server, &link, &sessions);
                let route = link.route();
                let origin = Origin { server: &server, link: &link, route, agent: link.owner };
                let take = |bytes: &[u8]| {
                    incoming::take(&origin, &sessions, bytes);
                };
                let serve = Serve {
                    link: &link,
                    message_bytes_max: up.params.message_bytes_max,
                    ping_interval: up.params.ping_interval,
                    ping_timeout: up.params.ping_timeout,
                    take: &take,
                };
                let reason = serve.run(opened).await;
                link.down();
                let now = clock::now();
                server.link_lost(&link, now);
                let held = now.saturating_duration_since(since);
                events::LinkLost { name: server.name(&link), reason, held }.emit(&server.metrics);
                backoff.lost(rule, rand::random(), since, now)
            }
            Some(Ok(_)) => break,
            Some(Err(error)) => {
                let wait = backoff.failed(rule, rand::random(), error.retry_after());
                let (result, name) = (error.label(), server.name(&link));
                let event = ServerEvent::DialFailed(error.failed_dial());
                let first = server.is_first(event, clock::now());
                events::DialFailed { name, result, error: &error, first, retry_after: wait }
                    .emit(&server.metrics);
                wait
            }
        };
        rest(&link, wait).await;
    }
    if let Some(owner) = link.owner {
        server.owned.remove_if(&owner, |_, current| Arc::ptr_eq(current, &link));
    }
}

/// A released link ends at once; any other notification is a message that waits.
pub(super) async fn rest(link: &Link, wait: Duration) {
    let end = tokio::time::sleep(wait);
    tokio::pin!(end);
    while !link.is_released() {
        tokio::select! {
            () = &mut end => break,
            () = link.wake.notified() => {}
        }
    }
}

/// `None`: nobody may dial now.
async fn dial(server: &Server, link: &Link) -> Option<Result<super::dial::Opened, DialError>> {
    // Shared links are few; agents' own come in thousands and take turns.
    let _turn = match link.owner {
        Some(_) => server.dials.acquire().await.ok(),
        None => None,
    };
    if server.held(clock::now()).is_some() {
        return None;
    }
    // Boxed: the handshake's state is gone when the link is up.
    Some(Box::pin(server.endpoint.dial()).await)
}

/// A link is up: its agents are introduced to the server, each in its turn.
fn reintroduce(
    up: &Arc<Upstream>,
    server: &Arc<Server>,
    link: &Arc<Link>,
    sessions: &Arc<Sessions>,
) {
    if let Some(owner) = link.owner {
        sessions.enqueue_one(owner);
        return;
    }
    let (up, server, index) = (Arc::clone(up), server.id, link.id.index);
    let sessions = Arc::clone(sessions);
    // A walk over a million sessions takes a tenth of a second: not on a thread that serves.
    tokio::task::spawn_blocking(move || {
        sessions.enqueue_all(&|uid| {
            up.place(uid).is_some_and(|place| {
                place.id == server
                    && place.shared_link(uid).is_some_and(|link| link.id.index == index)
            })
        });
    });
}

/// Moves agents away from a server that has been out of reach for long, and back. `core::server` says
/// when, and when a server without links is dialled to see whether it is back.
pub(super) async fn watch(up: Arc<Upstream>, server: Arc<Server>, sessions: Arc<Sessions>) {
    const TICK: Duration = Duration::from_millis(250);
    loop {
        for effect in server.handle(ServerEvent::Tick, clock::now()) {
            match effect {
                ServerEffect::Probe => {
                    let event = match server.endpoint.dial().await {
                        Ok(_) => ServerEvent::ProbeAnswered,
                        Err(error) => ServerEvent::ProbeFailed {
                            dial: error.failed_dial(),
                            jitter: rand::random(),
                        },
                    };
                    server.handle(event, clock::now());
                }
                ServerEffect::InUse(healthy) => {
                    let sessions = up.move_agents(&server, &sessions);
                    let name = &server.params.name;
                    events::ServerHealth { server: name, healthy, sessions }.emit(&server.metrics);
                }
                ServerEffect::PassOn => up.pass_backlog_on(&server),
                _ => {}
            }
        }
        up.measure(&server);
        tokio::time::sleep(TICK).await;
    }
}
