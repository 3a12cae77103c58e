//! Agents that poll over plain HTTP.

use std::task::Poll;
use std::time::Duration;

use super::*;

fn post(bench: &FrontBench, n: u8, number: u64, message: AgentToServer) -> Waiting {
    bench.bench.sessions.receive_http(&addressed(message, n, number)).unwrap()
}

fn poll(waiting: &Waiting, expired: bool) -> Option<(ServerToAgent, bool)> {
    match waiting.poll_answer(&Context::from_waker(Waker::noop()), expired) {
        Poll::Ready(answer) => {
            Some((ServerToAgent::decode(&answer.message[..]).unwrap(), answer.settled))
        }
        Poll::Pending => None,
    }
}

#[test]
fn the_homes_answer_is_the_requests() {
    let bench = FrontBench::default();
    let waiting = post(&bench, 1, 0, full());
    assert_eq!(bench.sent(), ["attach 1"]);
    assert!(waiting.reply_due().is_some() && poll(&waiting, false).is_none());
    bench.home_says(1, |handle| attached(handle, 1));
    bench.home_says(1, |handle| answer(handle, 1, &[0x1a, 0]));
    let (message, settled) = poll(&waiting, false).unwrap();
    assert!(message.remote_config.is_some() && settled);
    drop(waiting);
    assert_eq!(bench.sent(), ["Answered"]);
    assert_eq!(bench.bench.sessions.count(), (0, 0));
}

/// Else it would owe an entry for each of its polls.
#[test]
fn an_agent_that_polls_here_is_known_between_its_requests() {
    let bench = FrontBench::default();
    let known = || bench.bench.sessions.has(uid(1));
    assert!(!known());
    let waiting = post(&bench, 1, 0, full());
    bench.home_says(1, |handle| attached(handle, 1));
    bench.home_says(1, |handle| answer(handle, 1, &[]));
    assert!(poll(&waiting, false).is_some());
    drop(waiting);
    assert!(bench.fleet().joined.fronts.holds_nothing());
    assert!(known(), "its session is at another node");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_waited_long_enough_is_acknowledged() {
    let bench = FrontBench::default();
    let waiting = post(&bench, 1, 0, full());
    tokio::time::advance(Duration::from_secs(5)).await;
    let (message, settled) = poll(&waiting, true).unwrap();
    assert_eq!((message, settled), (ack(1), false));
    bench.home_says(1, |handle| attached(handle, 1));
    bench.home_says(1, |handle| push(handle, 1));
    drop(waiting);
    let sent = bench.sent();
    assert_eq!(sent.last().unwrap(), "Answered");
    assert!(sent.iter().all(|word| !word.starts_with("written")), "{sent:?}");
    assert_eq!(bench.bench.sessions.counters.agent_bytes(), 0);
}

#[test]
fn a_request_without_a_home_is_acknowledged_at_once() {
    let bench = FrontBench::default();
    bench.moves(None);
    let waiting = post(&bench, 1, 0, full());
    assert_eq!(waiting.reply_due(), None);
    assert_eq!(poll(&waiting, false), Some((ack(1), false)));
    drop(waiting);
    bench.moves(Some((3, 2)));
    assert_eq!(bench.ways.sent_to(3), ["attach 1"], "what it said waits");
}

#[test]
fn a_request_that_another_replaces_is_acknowledged() {
    let bench = FrontBench::default();
    let older = post(&bench, 1, 0, full());
    let former = bench.handle(1);
    let newer = post(&bench, 1, 1, heartbeat());
    bench.home_says_of(former, |handle| close(handle, CloseOrder::Replaced));
    assert_eq!(poll(&older, false), Some((ack(1), false)));
    assert!(poll(&newer, false).is_none());
}

#[test]
fn an_agent_that_gives_up_is_lost() {
    let bench = FrontBench::default();
    let waiting = post(&bench, 1, 0, full());
    bench.home_says(1, |handle| attached(handle, 1));
    drop(waiting);
    assert_eq!(bench.sent(), ["attach 1", "Lost"]);
}
