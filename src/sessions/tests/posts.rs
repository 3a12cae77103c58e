//! What servers over plain HTTP bring about: messages that are lost, and polls.

use std::time::Duration;

use super::super::{Polled, Probe};
use super::*;
use crate::opamp::splice;

const ALWAYS: Duration = Duration::ZERO;

#[test]
pub(super) fn what_was_not_taken_is_sent_again_and_the_agent_has_its_reply() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    assert_eq!(agent.says(health()), []);
    let first = bench.sent().remove(0).1;
    assert!(bench.sessions.not_taken(uid(1), route(1), true).is_some());
    assert_eq!(agent.reads(), [ack(1)]);
    assert_eq!(bench.permits().into_iter().filter(|turn| *turn == PermitUse::Used).count(), 1);
    let again = bench.sent().remove(0).1;
    assert_eq!(again.health, first.health);
    assert_eq!(again.sequence_num, first.sequence_num + 1);
    bench.says(1, &ServerToAgent::default());
    assert_eq!(agent.reads(), [], "it has its reply");
    assert!(bench.sessions.not_taken(uid(1), route(1), true).is_none(), "nothing is awaited");
    assert!(bench.sessions.not_taken(uid(9), route(1), true).is_none(), "there is no session");
}

#[test]
pub(super) fn what_a_server_refused_is_not_repeated_but_not_taken_for_known_either() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.number = 7;
    agent.says(health());
    let refused = bench.sent().remove(0).1;
    assert!(bench.sessions.not_taken(uid(1), route(1), false).is_some());
    assert_eq!(agent.reads(), [ack(1)]);
    bench.permits();
    assert!(bench.sent().iter().all(|(_, message)| message.health.is_none()));
    // The very same report.
    agent.number = 7;
    agent.says(health());
    assert_eq!(bench.sent().remove(0).1.health, refused.health);
}

#[test]
pub(super) fn what_another_incarnation_lost_is_not_lost_twice() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(health());
    bench.relink();
    bench.permits();
    bench.sent();
    assert!(bench.sessions.not_taken(uid(1), route(1), true).is_none());
    assert_eq!(bench.permits(), []);
}

#[test]
pub(super) fn a_poll_waits_for_one_permit_and_says_who_asks() {
    let bench = Bench::default();
    let agent = Agent::first(&bench, 1, 1);
    let poll = |silence| bench.sessions.poll(uid(1), ServerId(0), silence);
    assert_eq!(poll(Duration::from_secs(60)), Polled::NotYet, "it has just been heard of");
    assert_eq!(poll(ALWAYS), Polled::Due);
    assert_eq!(poll(ALWAYS), Polled::NotYet, "it stands in the queue");
    assert_eq!(bench.permits(), [PermitUse::Used]);
    let touch = AgentToServer { instance_uid: vec![1; 16], sequence_num: 1, ..heartbeat() };
    assert_eq!(bench.sent(), [(uid(1), touch)]);
    bench.says(1, &offer(b"new"));
    assert_eq!(agent.reads(), [to(1, offer(b"new"))]);
    drop(agent);
    assert_eq!(poll(ALWAYS), Polled::Due, "it may come back");
}

#[test]
pub(super) fn no_poll_for_an_agent_that_is_elsewhere_or_gone() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    assert_eq!(bench.sessions.poll(uid(2), ServerId(0), ALWAYS), Polled::Away);
    assert_eq!(bench.sessions.poll(uid(1), ServerId(1), ALWAYS), Polled::Away);
    bench.refuse(NotSent::Down);
    agent.says(goodbye());
    assert_eq!(bench.sessions.poll(uid(1), ServerId(0), ALWAYS), Polled::Away);
}

/// A server's refusal, as it would say it in OpAMP.
fn refused(bench: &Bench, said_something: bool) -> bool {
    let mut refusal = Vec::new();
    splice::bad_request(Some(uid(1)), "no", &mut refusal);
    let scan = ServerScan::parse(&refusal).unwrap();
    bench.sessions.refused(uid(1), route(1), &scan, said_something).is_some()
}

#[test]
pub(super) fn a_refusal_is_the_reply_and_what_was_refused_is_not_repeated() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    for _ in 0..2 {
        agent.says(health());
        assert!(bench.sent().remove(0).1.health.is_some(), "the server does not have it");
        assert!(refused(&bench, true), "it is an answer");
        let told = agent.reads();
        assert!(told.iter().any(|message| message.error_response.is_some()), "{told:?}");
        bench.permits();
        assert_eq!(bench.sent(), [], "not the same again");
    }
}

#[test]
pub(super) fn of_a_refused_message_that_said_nothing_a_waiting_agent_alone_is_told() {
    let bench = Bench::default();
    let agent = Agent::first(&bench, 1, 1);
    bench.sessions.poll(uid(1), ServerId(0), ALWAYS);
    assert_eq!(bench.permits(), [PermitUse::Used]);
    assert!(refused(&bench, false), "the server has answered");
    assert_eq!(agent.reads(), []);
}

#[test]
pub(super) fn a_probe_introduces_or_takes_leave_and_says_nothing_else() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(health());
    bench.sent();
    bench.refuse(NotSent::Down);
    let probe = |server| bench.sessions.probe(uid(1), ServerId(server));
    let decode = |probe: Probe| AgentToServer::decode(&probe.body[..]).unwrap();
    let here = probe(0).unwrap();
    assert!(here.introduces);
    let touch = AgentToServer { instance_uid: vec![1; 16], sequence_num: 2, ..heartbeat() };
    assert_eq!(decode(here), touch);
    let elsewhere = probe(1).unwrap();
    assert!(!elsewhere.introduces);
    assert_eq!(decode(elsewhere).agent_disconnect, Some(AgentDisconnect::default()));
    assert!(bench.sessions.not_taken(uid(1), route(1), true).is_some(), "its answer is awaited");
    assert!(probe(0).is_some() && bench.sessions.probe(uid(2), ServerId(0)).is_none());
    bench.sessions.begin_drain();
    assert!(probe(0).is_none() && probe(1).is_none(), "it may be at another node by now");
}
