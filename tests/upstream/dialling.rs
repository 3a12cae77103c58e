//! How often a server is dialled, and with what: backoff, `Retry-After`, the cap on links, TLS, headers.
//! The waits of the rule are those of `core::backoff`.

use std::time::Duration;

use seawall::clock;

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, Mode};
use crate::support::message::uid;
use crate::support::mock::{Accept, Mock};

/// How long dials are counted.
const WATCHED: Duration = Duration::from_secs(6);

/// Most dials in [`WATCHED`] on one link: the shortest waits that the rule allows (0.5 s x1.5, less a
/// half), one after the other.
fn dials_max() -> usize {
    let (mut wait, mut at, mut dials) = (0.5, 0.0, 1);
    while at + wait / 2.0 <= WATCHED.as_secs_f64() {
        at += wait / 2.0;
        wait *= 1.5;
        dials += 1;
    }
    dials
}

async fn dials_of(accept: Accept, links: u16) -> usize {
    let server = Mock::start().await;
    server.behave(|behaviour| behaviour.accept = accept);
    let since = clock::now();
    let gateway =
        Gateway::builder().server(&server.url(), Mode::Multiplexed(links)).start_unready().await;
    // What is measured is what happens in a length of time.
    tokio::time::sleep(WATCHED.saturating_sub(clock::now() - since)).await;
    let dials = server.with(|state| state.dials.len());
    drop(gateway);
    dials
}

/// A server that closes each connection at once: issue 2, point 7. Without a backoff that covers it, it
/// would be dialled thousands of times (field-notes.md, section 3).
#[tokio::test]
async fn accept_and_close_is_dialled_no_more_than_the_backoff_allows() {
    const LINKS: u16 = 4;
    let bound = usize::from(LINKS) * dials_max();
    let (before, after) = tokio::join!(
        dials_of(Accept::CutBeforeUpgrade, LINKS),
        dials_of(Accept::CutAfterUpgrade, LINKS),
    );
    for dials in [before, after] {
        assert!(dials <= bound, "{dials} dials, the rule allows {bound}");
        assert!(dials >= 2 * usize::from(LINKS), "{dials} dials: it is tried again");
    }
}

#[tokio::test]
async fn smoke() {
    let server = Mock::start().await;
    let gateway = Gateway::builder().server(&server.url(), Mode::Multiplexed(2)).start().await;
    let agent = Agent::connect(gateway.edge(), uid(1)).await;
    server.converged(&[&agent]).await;
}
