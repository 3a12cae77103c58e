//! How often a server is dialled, and with what: backoff, `Retry-After`, the cap on links, TLS, headers.
//! The waits of the rule are in `core::backoff`.

use std::time::{Duration, Instant};

use seawall::clock;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::gateway::{Gateway, Mode};
use crate::support::message::custom;
use crate::support::mock::Mock;
use crate::support::mock::state::Accept;
use crate::{agents, assert_connected, before, refs};

/// How long dials are counted.
const WATCHED: Duration = Duration::from_secs(6);

/// Most dials within this time on one link: the shortest waits that the rule allows (0.5 s x1.5, less a
/// half), one after the other.
fn dials_max(watched: Duration) -> usize {
    let (mut wait, mut at, mut dials) = (0.5, 0.0, 1);
    while at + wait / 2.0 <= watched.as_secs_f64() {
        at += wait / 2.0;
        wait *= 1.5;
        dials += 1;
    }
    dials
}

/// How often the server was dialled, and the most that the rule allows in the time that it took to see
/// that: a loaded machine looks later than it was asked to.
async fn dials_of(server: Mock, accept: Accept, mode: Mode) -> (usize, usize) {
    server.behave(|behaviour| behaviour.accept = accept);
    let since = clock::now();
    let gateway = Gateway::builder().server(&server.url(), mode).start_unready().await;
    // What is measured is what happens in a length of time.
    tokio::time::sleep(WATCHED.saturating_sub(clock::now() - since)).await;
    let dials = server.with(|state| state.dials.len());
    let watched = clock::now() - since;
    drop(gateway);
    (dials, dials_max(watched))
}

/// How often a server that closes at once can be dialled in a sixth of the time, if all waits are left out.
async fn dials_without_backoff() -> usize {
    let server = Mock::start().await;
    server.behave(|behaviour| behaviour.accept = Accept::CutBeforeUpgrade);
    let dialling = async {
        loop {
            let mut socket = TcpStream::connect(server.address()).await.unwrap();
            // Until it closes.
            let _ = socket.read_u8().await;
        }
    };
    let _ = tokio::time::timeout(WATCHED / 6, dialling).await;
    server.with(|state| state.dials.len())
}

/// A server that closes each connection at once: issue 2, point 7. If the backoff left it out, it
/// would be dialled thousands of times (docs/FIELD-NOTES.md, section 3).
#[tokio::test]
async fn accept_and_close_is_dialled_no_more_than_the_backoff_allows() {
    const LINKS: u16 = 4;
    let links = Mode::Multiplexed(LINKS);
    let (before, after, plain) = tokio::join!(
        dials_of(Mock::start().await, Accept::CutBeforeUpgrade, links),
        dials_of(Mock::start().await, Accept::CutAfterUpgrade, links),
        dials_of(Mock::start_http().await, Accept::CutBeforeUpgrade, Mode::Http(LINKS)),
    );
    for (dials, each_link) in [before, after, plain] {
        let bound = usize::from(LINKS) * each_link;
        assert!(dials <= bound, "{dials} dials, the rule allows {bound}");
        assert!(dials >= 2 * usize::from(LINKS), "{dials} dials: it is tried again");
    }
    let otherwise = 6 * dials_without_backoff().await;
    let bound = usize::from(LINKS) * dials_max(WATCHED);
    assert!(otherwise > 5 * bound, "{otherwise} dials otherwise: the test proves nothing");
}

/// Links fail at different times, and wait for different times; when one of them is told to wait, all are.
#[tokio::test]
async fn retry_after_holds_for_every_link() {
    let mut server = Mock::absent();
    let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
    server.behave(|behaviour| behaviour.accept = Accept::Refuse(answer.to_owned()));
    let gateway = Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(8))
        .set("upstream", "backoff_max", "\"2s\"")
        .start_unready()
        .await;
    let failed = ("result", "failed");
    gateway.wait_metric("seawall_upstream_dials_total", &[failed], |dials| dials >= 24.0).await;
    server.listen().await;
    server.wait("a dial", |state| !state.dials.is_empty()).await;
    let first = server.with(|state| state.dials[0]);
    server.wait("a later dial", |state| later(&state.dials, first).is_some()).await;
    let waited = server.with(|state| later(&state.dials, first)).unwrap();
    assert!(waited >= Duration::from_millis(4_950), "dialled after {waited:?}");
    gateway
        .wait_metric("seawall_upstream_dials_total", &[("result", "refused")], |n| n >= 1.0)
        .await;
    // A server too busy for a link is too busy for messages.
    gateway.wait_metric("seawall_upstream_pauses_total", &[], |pauses| pauses >= 1.0).await;

    server.behave(|behaviour| behaviour.accept = Accept::Serve);
    server.wait("all links", |state| state.links() == 8).await;
}

/// How long after the first dial, and the dials under way at that moment, the next one came.
fn later(dials: &[Instant], first: Instant) -> Option<Duration> {
    // Shorter than most of the waits between failed dials by now, and long enough for a slow machine.
    const UNDER_WAY: Duration = Duration::from_millis(700);
    dials.iter().map(|dial| *dial - first).find(|after| *after > UNDER_WAY)
}

#[tokio::test]
async fn the_cap_on_links_holds_while_they_are_cut() {
    const LINKS: u16 = 3;
    let server = Mock::start().await;
    let gateway = Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(LINKS))
        .set("upstream", "backoff_initial", "\"50ms\"")
        .set("upstream", "backoff_max", "\"100ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 12).await;
    for round in 0..10 {
        server.wait("all links", |state| state.links() == usize::from(LINKS)).await;
        for agent in &agents {
            agent.set_health(&format!("round {round}")).await;
        }
        server.cut();
    }
    server.converged(&refs(&agents)).await;
    assert_eq!(server.with(|state| state.open_max), usize::from(LINKS));
    assert_connected(&agents);
}

/// RFC 6455, section 5.5.1.
#[tokio::test]
async fn a_servers_close_is_answered() {
    let server = Mock::start().await;
    let gateway = before(&server).start().await;
    server.close().await;
    server.wait("the answer", |state| state.closes == [1000]).await;
    let lost = "seawall_upstream_lost_links_total";
    gateway.wait_metric(lost, &[("reason", "closed")], |links| links == 1.0).await;
    server.wait("the link is back", |state| state.dials.len() == 2 && state.links() == 1).await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_passed_over_and_the_link_stays() {
    let server = Mock::start().await;
    let mut gateway = before(&server).set("upstream", "message_bytes_max", "4096").start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    server.push(&custom(agents[0].uid(), 5000)).await;
    let passed_over = "seawall_upstream_oversized_messages_total";
    gateway.wait_metric(passed_over, &[], |messages| messages == 1.0).await;
    assert_eq!(gateway.process().log().count("over upstream.message_bytes_max"), 1);
    agents[1].set_health("unmoved").await;
    server.converged(&refs(&agents)).await;
    assert_eq!(server.with(|state| state.dials.len()), 1);
    server.push(&custom(agents[0].uid(), 3000)).await;
    agents[0].wait(|seen| seen.messages.iter().any(|m| m.custom_message.is_some())).await;
    assert_connected(&agents);
}
