//! Mode `http`: asks a server that was of no use whether it is again. Its lanes are down meanwhile, and
//! come back together when it answers, as after the loss of a link.
//!
//! A connection proves nothing here, so a message has to go, and no agent's news may be risked for it:
//! what goes is a message that says nothing of an agent's state, on behalf of one of those by whom the
//! failure was seen. If that agent is still this server's, it is introduced, which is due anyway. If it
//! was moved to another server meanwhile, this one is told so, which it has not heard yet. Both go one
//! at a time, and wait for each other as dials do.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::incoming::{self, Origin};
use super::lane::limits;
use super::link::{Link, Post};
use super::post::{Connection, Exchanged};
use super::server::Server;
use super::verdict::{Verdict, verdict};
use crate::clock;
use crate::core::backoff::Backoff;
use crate::core::server::ServerEvent;
use crate::sessions::Sessions;

/// Why the server is no better.
struct Refusal {
    retry_after: Option<Duration>,
}

impl Refusal {
    const PLAIN: Self = Self { retry_after: None };
}

/// Probes a server whenever it is of no use, for ever.
pub(super) async fn probe(up: Arc<Upstream>, server: Arc<Server>, sessions: Arc<Sessions>) {
    let rule = up.params.backoff_rule();
    let mut backoff = Backoff::default();
    let mut usable = server.usable.subscribe();
    let (mut since, mut turn) = (clock::now(), 0_usize);
    while usable.wait_for(|usable| !usable).await.is_ok() {
        // One that answers probes and nothing else has not succeeded.
        let mut wait = backoff.lost(rule, rand::random(), since, clock::now());
        loop {
            let wait_all = wait.max(server.pace.paused(clock::now()).unwrap_or_default());
            // What was still under way may be answered well.
            let answered = usable.wait_for(|usable| *usable);
            if tokio::time::timeout(wait_all, answered).await.is_ok() {
                break;
            }
            turn = turn.wrapping_add(1);
            match attempt(&up, &server, &sessions, turn).await {
                Ok(()) => server.served(clock::now()),
                Err(refusal) => wait = backoff.failed(rule, rand::random(), refusal.retry_after),
            }
        }
        since = clock::now();
    }
}

async fn attempt(
    up: &Upstream,
    server: &Server,
    sessions: &Sessions,
    turn: usize,
) -> Result<(), Refusal> {
    let opened = {
        let _turn = server.dials.acquire().await.map_err(|_| Refusal::PLAIN)?;
        Connection::open(&server.endpoint).await
    };
    let mut connection = opened.map_err(|error| {
        let dial = error.failed_dial();
        server.handle(ServerEvent::ProbeFailed { dial, jitter: rand::random() }, clock::now());
        Refusal { retry_after: error.retry_after() }
    })?;
    let reporter = server.reporter(turn);
    let link = reporter.and_then(|uid| server.shared_link(uid));
    let (Some(uid), Some(link)) = (reporter, link) else { return Err(Refusal::PLAIN) };
    if link.is_up() {
        // Its last message is still under way: two of one agent would overtake each other.
        return Err(Refusal::PLAIN);
    }
    let Some(probe) = sessions.probe(uid, server.id) else {
        // Nobody is left to ask for: whoever comes next will find out.
        return Ok(());
    };
    let (introduces, route) = (probe.introduces, link.route());
    if introduces {
        server.pace.sent(link.id.index, clock::now());
    }
    let post = Post { uid, route, body: probe.body.into() };
    let exchanged = connection.exchange(&server.template, &post, limits(&up.params)).await;
    let own = introduces.then_some(&post);
    judge(&Probed { server, link, own }, sessions, exchanged)
}

struct Probed<'a> {
    server: &'a Server,
    link: &'a Link,
    /// The message, if it is its agent's session's, which is told what became of it.
    own: Option<&'a Post>,
}

/// What the answer to a probe says of the server.
fn judge(probed: &Probed<'_>, sessions: &Sessions, exchanged: Exchanged) -> Result<(), Refusal> {
    let Probed { server, link, own } = *probed;
    let (good, retry_after) = match exchanged {
        Exchanged::Message(bytes) => {
            if let Some(post) = own {
                let origin = Origin { server, link, route: post.route, agent: Some(post.uid) };
                if incoming::take(&origin, sessions, &bytes) {
                    return Ok(());
                }
            }
            (true, None)
        }
        Exchanged::TooBig => (true, None),
        Exchanged::Status { status, retry_after } => match verdict(status) {
            Verdict::Refused(_) => (true, None),
            Verdict::Peace | Verdict::Failed(_) => (false, retry_after),
        },
        Exchanged::Unsent | Exchanged::Lost(_) | Exchanged::Timeout => (false, None),
    };
    if let Some(post) = own {
        // Its answer will not come.
        server.not_taken(sessions, post, !good);
    }
    if good { Ok(()) } else { Err(Refusal { retry_after }) }
}
