//! A node that drains: what its agents still get, and what servers hear of them.

use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::clock;
use crate::core::drain::AgentDrain;

/// The server is left in peace about agents that went.
fn assert_silence(bench: &Bench) {
    bench.permits();
    assert_eq!(bench.sent(), []);
    bench.assert_empty();
}

#[test]
fn an_agent_goes_once_its_server_has_answered() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.sessions.begin_drain();
    agent.says(health());
    bench.sent();
    assert_eq!(bench.sessions.drain_agent(uid(1), true), AgentDrain::Pending);
    bench.says(1, &offer(b"with the answer"));
    agent.looks();
    assert_eq!(bench.sessions.drain_agent(uid(1), true), AgentDrain::Closing);
    assert!(agent.woken.is_set());
    bench.says(1, &offer(b"a little later"));
    let Outgoing::Bytes(bytes) = agent.looks() else { panic!("what waits goes first") };
    assert_eq!(agent.messages(bytes), [to(1, offer(b"a little later"))]);
    assert!(matches!(agent.looks(), Outgoing::Stopping));
    assert_eq!(bench.uplink.state.lock().released, [uid(1)]);
    assert_eq!(bench.sessions.drain_agent(uid(1), true), AgentDrain::Absent);
    drop(agent);
    assert_silence(&bench);
}

#[test]
fn an_unheard_agent_stays_and_goes_in_the_end() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.sessions.begin_drain();
    bench.busy(true);
    agent.says(health());
    assert_eq!(bench.sessions.drain_agent(uid(1), true), AgentDrain::Pending);
    assert_eq!(bench.sessions.drain_agent(uid(1), false), AgentDrain::Closing);
    while !matches!(agent.looks(), Outgoing::Stopping) {}
    assert_eq!(bench.sessions.count(), (0, 0));
    // What it owed would now be out of date: its next node asks for everything.
    assert_silence(&bench);
}

#[test]
fn no_server_hears_of_absent_agents() {
    let bench = Bench::default();
    let before = Agent::first(&bench, 1, 1);
    let meanwhile = Agent::first(&bench, 2, 2);
    let away = Agent::first(&bench, 3, 3);
    drop((before, away));
    assert_eq!(bench.sessions.count(), (1, 2));
    bench.sessions.begin_drain();
    drop(meanwhile);
    assert_eq!(bench.sessions.count(), (0, 2), "it is elsewhere at once");
    bench.sessions.sweep(clock::now() + Duration::from_secs(61));
    assert_silence(&bench);
    drop(Agent::first(&bench, 4, 4));
    assert_silence(&bench);
}

#[test]
fn what_is_left_in_the_end_is_forgotten_but_goodbyes_are_not() {
    let bench = Bench::default();
    let (_here, mut leaver) = (Agent::first(&bench, 1, 1), Agent::first(&bench, 2, 2));
    bench.sessions.receive_http(&addressed(full(), 3, 0)).unwrap();
    bench.sent();
    bench.sessions.begin_drain();
    bench.refuse(NotSent::Down);
    leaver.says(goodbye());
    bench.sessions.forget_absent();
    assert_eq!(bench.sessions.count(), (2, 1));
    bench.sessions.forget_drained();
    assert_eq!(bench.sessions.count(), (0, 1));
    bench.relink();
    bench.permits();
    let sent = bench.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].0 == uid(2) && sent[0].1.agent_disconnect.is_some());
    bench.assert_empty();
}

/// It says goodbye after the order to close and before its connection closed: it goes to no other node, so
/// what it said before its goodbye is sent, too.
#[test]
fn an_agent_that_leaves_of_its_own_accord_is_no_other_nodes() {
    let bench = Bench::default();
    let mut leaver = Agent::first(&bench, 1, 1);
    bench.sent();
    bench.sessions.begin_drain();
    bench.refuse(NotSent::Down);
    leaver.says(custom(b"before it leaves"));
    assert_eq!(bench.sessions.drain_agent(uid(1), false), AgentDrain::Closing);
    assert!(bench.sessions.is_drained_from(uid(1)));
    leaver.says(goodbye());
    assert!(!bench.sessions.is_drained_from(uid(1)));
    drop(leaver);
    bench.relink();
    bench.permits();
    bench.permits();
    let sent = bench.sent();
    assert!(sent.iter().any(|(_, m)| m.custom_message.is_some()), "{sent:?}");
    assert!(sent.last().unwrap().1.agent_disconnect.is_some());
    bench.assert_empty();
}

#[test]
fn a_plain_http_agent_departs_with_its_answer() {
    let bench = Bench::default();
    let waiting = bench.sessions.receive_http(&addressed(full(), 1, 0)).unwrap();
    bench.sent();
    bench.sessions.begin_drain();
    let context = Context::from_waker(Waker::noop());
    assert!(waiting.poll_answer(&context, false).is_pending());
    bench.says(1, &ServerToAgent::default());
    let Poll::Ready(answer) = waiting.poll_answer(&context, false) else { panic!("it is there") };
    assert!(answer.settled);
    waiting.release_drained();
    drop(waiting);
    assert_silence(&bench);
}
