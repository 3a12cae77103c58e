//! Agents on WebSockets.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::core::ownership::MapVersion;

#[test]
fn a_report_goes_to_the_home_and_its_answer_to_the_agent() {
    let bench = FrontBench::default();
    let mut agent = Agent::new(&bench.bench, 1, 1);
    assert_eq!(agent.says(full()), []);
    assert_eq!(bench.sent(), ["attach 1"]);
    assert!(matches!(agent.looks(), Outgoing::Nothing { reply_due: Some(_) }));
    bench.home_says(1, |handle| attached(handle, 1));
    bench.home_says(1, |handle| answer(handle, 1, &[0x1a, 0]));
    assert!(agent.woken.is_set());
    assert_eq!(agent.reads().len(), 1);
    assert_eq!(agent.says(health()), []);
    assert_eq!(bench.sent(), ["message 2"]);
    assert_eq!(bench.bench.sessions.count(), (1, 0), "no session is here");
    assert_eq!(bench.bench.sessions.table.len(), 0);
}

#[test]
fn heartbeats_are_answered_here_and_told_by_the_sweep() {
    let bench = FrontBench::default();
    let (mut one, mut two) = (bench.attached(1), bench.attached(2));
    for _ in 0..3 {
        assert_eq!(one.says(heartbeat()), [ack(1)]);
        assert_eq!(two.says(heartbeat()), [ack(2)]);
    }
    assert!(bench.sent().is_empty());
    bench.bench.sessions.sweep(clock::now());
    let sent = bench.sent();
    let batches = sent.iter().filter(|word| word.starts_with("heartbeats")).count();
    assert!((1..=2).contains(&batches), "{sent:?}: one for each stream");
}

#[test]
fn the_home_hears_of_what_is_written_once_it_is() {
    let bench = FrontBench::default();
    let agent = bench.attached(1);
    bench.home_says(1, |handle| push(handle, 1));
    bench.home_says(1, |handle| push(handle, 1));
    let Outgoing::Bytes(bytes) = agent.looks() else { panic!("the push") };
    assert_eq!(agent.messages(bytes).len(), 1, "it came twice");
    assert!(bench.sent().is_empty(), "it is on its way");
    bench.home_says(1, |handle| push(handle, 2));
    let Outgoing::Bytes(_) = agent.looks() else { panic!("the next") };
    assert_eq!(bench.sent(), ["written 1"]);
    agent.looks();
    assert_eq!(bench.sent(), ["written 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_home_costs_the_agent_no_reply() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    agent.says(health());
    let Outgoing::Nothing { reply_due: Some(due) } = agent.looks() else { panic!() };
    tokio::time::sleep_until(due.into()).await;
    assert_eq!(agent.reads(), [ack(1)]);
    bench.home_says(1, |handle| answer(handle, 2, &[]));
    assert_eq!(agent.reads(), [], "it has its reply");
}

#[test]
fn without_a_home_agents_are_acknowledged_and_their_words_wait() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    bench.moves(None);
    assert_eq!(agent.says(health()), [ack(1)]);
    assert!(bench.sent().is_empty());
    bench.moves(Some((3, 2)));
    assert_eq!(bench.ways.sent_to(3), ["attach again 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_home_that_sends_a_connection_away_is_asked_again() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    agent.says(health());
    bench.home_says(1, |handle| ToFront::NotMine(handle, MapVersion(9)));
    assert_eq!(bench.ways.read(), [9]);
    assert_eq!(agent.reads(), [ack(1)]);
    assert_eq!(bench.sent(), ["message 2"]);
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(1)).await;
        bench.bench.sessions.sweep(clock::now());
    }
    let sent = bench.sent();
    assert!(sent.iter().all(|word| word == "attach again 2" || word == "all here"), "{sent:?}");
    assert!(sent.contains(&"attach again 2".to_owned()), "{sent:?}");
}

#[test]
fn an_unknown_connection_is_said_to_be_lost() {
    let bench = FrontBench::default();
    let handle = Handle { uid: uid(9), connection: ConnectionId(77) };
    bench.home_says_of(handle, |handle| attached(handle, 1));
    assert_eq!(bench.sent(), ["Lost"]);
    bench.home_says_of(handle, |handle| close(handle, CloseOrder::Left));
    assert!(bench.sent().is_empty());
}

#[test]
fn each_order_closes_in_its_way() {
    let bench = FrontBench::default();
    let agents = [1, 2, 3, 4].map(|n| bench.attached(n));
    let orders =
        [CloseOrder::Replaced, CloseOrder::Overflowed, CloseOrder::Left, CloseOrder::Draining];
    for (n, order) in (1..).zip(orders) {
        bench.home_says(n, |handle| push(handle, 1));
        bench.home_says(n, |handle| close(handle, order));
    }
    assert!(matches!(agents[0].looks(), Outgoing::Replaced));
    assert!(matches!(agents[1].looks(), Outgoing::Overflowed));
    for agent in &agents[2..] {
        assert!(matches!(agent.looks(), Outgoing::Bytes(_)), "what waits is written first");
    }
    assert!(matches!(agents[2].looks(), Outgoing::Left));
    assert!(matches!(agents[3].looks(), Outgoing::Stopping));
    drop(agents);
    let sent = bench.sent();
    let ends: Vec<_> = sent.iter().filter(|word| !word.starts_with("written")).collect();
    assert_eq!(ends, ["Drained", "Lost"], "of the drained one, and of the slow reader");
    assert_eq!(bench.bench.sessions.count(), (0, 0));
    assert_eq!(bench.bench.sessions.counters.agent_bytes(), 0);
}

#[test]
fn a_second_agent_of_a_uid_gets_another_and_goes_on_under_it() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    bench.home_says(1, |handle| close(handle, CloseOrder::Cloned));
    let told = agent.reads();
    let fresh = told[0].agent_identification.as_ref().unwrap().new_instance_uid.clone();
    let rejected = agent.tries_to_say(health()).unwrap_err();
    let Rejected::Cloned { fresh: again, .. } = rejected else { panic!("{rejected:?}") };
    assert_eq!(again.to_wire().to_vec(), fresh, "it is told so again");
    assert!(bench.sent().is_empty());
    let message = AgentToServer { instance_uid: fresh, sequence_num: 0, ..full() };
    let mut out = Vec::new();
    let sessions = &bench.bench.sessions;
    sessions
        .receive(&mut agent.attachment, agent.connection, &message.encode_to_vec(), &mut out)
        .unwrap();
    assert_eq!(bench.sent(), ["attach 1"]);
    assert!(matches!(agent.looks(), Outgoing::Nothing { .. }));
    assert_eq!(bench.bench.sessions.count(), (1, 0));
}

#[test]
fn a_ping_of_the_homes_is_answered_by_the_agent_alone() {
    let bench = FrontBench::default();
    let agent = bench.attached(1);
    bench.home_says(1, ToFront::AskOpen);
    assert_eq!(bench.sent(), ["open"]);
    bench.home_says(1, |handle| ToFront::Ping(handle, 515));
    let Outgoing::Bytes(mut ping) = agent.looks() else { panic!("the ping") };
    let (mut decoder, mut position) = (Decoder::new(Role::Client), 0);
    let Ok(Some(Incoming::Ping(payload))) = decoder.feed(&mut ping, &mut position, 100) else {
        panic!("{ping:?}")
    };
    let attachment = agent.attachment.as_ref().unwrap();
    attachment.ponged(&[]);
    assert!(bench.sent().is_empty(), "that answers a ping of the connection's own");
    attachment.ponged(payload);
    assert_eq!(bench.sent(), ["alive 515"]);
}

#[test]
fn an_agent_is_read_only_while_there_is_room_for_what_it_says() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    let may_read = |agent: &Agent<'_>| agent.attachment.as_ref().unwrap().may_read();
    let mut said = 1;
    while may_read(&agent) {
        agent.says(custom(b"x"));
        said += 1;
        assert!(said < 1_000, "what is held has a bound");
    }
    while !matches!(agent.looks(), Outgoing::Nothing { .. }) {}
    agent.woken.is_set();
    bench.home_says(1, |handle| ToFront::Confirmed(handle, 2));
    assert!(may_read(&agent) && agent.woken.is_set());
    let held = bench.fleet().joined.fronts.held_bytes();
    assert!(held > 0);
    bench.home_says(1, move |handle| ToFront::Confirmed(handle, said));
    assert_eq!(bench.fleet().joined.fronts.held_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_said_is_brought_home_or_said_to_be_lost() {
    let bench = FrontBench::default();
    let (mut one, mut two) = (bench.attached(1), bench.attached(2));
    one.says(health());
    two.says(health());
    let of_one = bench.handle(1);
    drop((one, two));
    assert_eq!(bench.sent(), ["message 2"; 4], "what is unconfirmed goes once more");
    assert_eq!(bench.bench.sessions.count(), (0, 0));
    bench.home_says_of(of_one, |handle| ToFront::Confirmed(handle, 2));
    assert_eq!(bench.sent(), ["Lost"]);
    tokio::time::advance(Duration::from_secs(31)).await;
    bench.bench.sessions.sweep(clock::now());
    let sent = bench.sent();
    assert!(sent.contains(&"Lost, missed".to_owned()), "{sent:?}");
    // That word may be lost with the link: it is kept for a while.
    assert!(!bench.bench.sessions.has(uid(1)) && bench.bench.sessions.has(uid(2)));
    tokio::time::advance(Duration::from_secs(31)).await;
    bench.bench.sessions.sweep(clock::now());
    assert!(!bench.bench.sessions.has(uid(2)));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_and_goes_without_a_home_leaves_one_word() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    bench.moves(None);
    for connection in 2..6 {
        agent.says(health());
        agent = agent.returns(connection);
        tokio::time::advance(Duration::from_secs(31)).await;
        bench.bench.sessions.sweep(clock::now());
    }
    bench.moves(Some((3, 2)));
    assert_eq!(bench.ways.sent_to(3), ["Lost, missed"]);
    tokio::time::advance(Duration::from_secs(31)).await;
    bench.bench.sessions.sweep(clock::now());
    assert!(!bench.bench.sessions.has(uid(1)));
}

#[test]
fn a_renamed_agent_leaves_its_former_uid_with_its_replies() {
    let bench = FrontBench::default();
    let mut agent = bench.attached(1);
    agent.says(health());
    assert_eq!(bench.sent(), ["message 2"]);
    let former = bench.handle(1);
    agent.n = 2;
    assert_eq!(agent.says(full()), [ack(1)], "what it was owed under the old one");
    assert_eq!(bench.sent(), ["message 2", "attach 1"]);
    bench.home_says_of(former, |handle| ToFront::Confirmed(handle, 2));
    assert_eq!(bench.sent(), ["Renamed"]);
    assert_eq!(bench.bench.sessions.count(), (1, 0));
}

#[test]
fn a_full_front_refuses_newcomers_and_knows_the_others() {
    let bench = FrontBench::new(SessionsParams { sessions_max: 2, ..SessionsParams::default() });
    let (mut one, two) = (bench.attached(1), bench.attached(2));
    assert!(bench.bench.sessions.is_full_of_connected());
    let mut three = Agent::new(&bench.bench, 3, 3);
    assert!(matches!(three.tries_to_say(full()), Err(Rejected::Full)));
    assert!(one.tries_to_say(heartbeat()).is_ok());
    assert!(two.returns(9).tries_to_say(full()).is_ok(), "it has a place");
    drop(two);
}
