//! Agents on WebSockets: what they get, and what is left of them when they go.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::opamp::proto::{AgentIdentification, CustomCapabilities};

#[test]
pub(super) fn a_message_goes_to_its_agent_only() {
    let bench = Bench::default();
    let agents: Vec<Agent<'_>> = (1..=3).map(|n| Agent::first(&bench, n, u64::from(n))).collect();
    bench.says(2, &offer(b"two"));
    bench.says(9, &offer(b"for another"));
    let got: Vec<_> = agents.iter().map(Agent::reads).collect();
    assert_eq!(got, [vec![], vec![to(2, offer(b"two"))], vec![]]);
    assert_eq!(bench.says(9, &offer(b"for another")), Delivered::Unknown);
}

#[test]
pub(super) fn what_comes_wakes_the_task() {
    let bench = Bench::default();
    let agent = Agent::first(&bench, 1, 1);
    assert!(matches!(agent.looks(), Outgoing::Nothing { .. }));
    bench.says(1, &offer(b"x"));
    assert!(agent.woken.is_set());
    agent.reads();
    bench.sessions.stop();
    assert!(agent.woken.is_set());
    assert!(matches!(agent.looks(), Outgoing::Stopping));
}

#[tokio::test(start_paused = true)]
pub(super) async fn the_servers_own_reply_if_it_comes_soon_else_the_gateways() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(health());
    let Outgoing::Nothing { reply_due: Some(due) } = agent.looks() else { panic!() };
    tokio::time::sleep_until(due.into()).await;
    assert_eq!(agent.reads(), [ack(1)]);
    bench.says(1, &ServerToAgent::default());
    assert_eq!(agent.reads(), [], "swallowed");
    bench.says(1, &offer(b"late"));
    assert_eq!(agent.reads(), [to(1, offer(b"late"))]);
}

#[test]
pub(super) fn every_agent_hears_what_the_server_can() {
    let bench = Bench::default();
    let custom = CustomCapabilities { capabilities: vec!["x".to_owned()] };
    let server_hello =
        ServerHello { capabilities: Some(7), custom_capabilities: Some(custom.encode_to_vec()) };
    bench.uplink.state.lock().server_hello = Arc::new(server_hello);
    bench.refuse(NotSent::Down);
    let mut agent = Agent::new(&bench, 1, 1);
    let told = ServerToAgent { custom_capabilities: Some(custom), ..ack(1) };
    assert_eq!(agent.says(full()), [told], "also while nothing can be sent");
    assert_eq!(agent.says(heartbeat()), [ack(1)], "once");
}

#[test]
pub(super) fn offers_wait_and_are_delivered_to_the_new_connection_only() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.attachment = None;
    assert_eq!(bench.sessions.count(), (0, 1));
    for data in [b"1", b"2"] {
        let message = CustomMessage { data: data.to_vec(), ..CustomMessage::default() };
        let message = ServerToAgent { custom_message: Some(message), ..offer(data) };
        bench.says(1, &message);
    }
    assert!(bench.sessions.counters.agent_bytes() > 0, "counted while they wait");
    let mut back = agent.returns(2);
    back.says(heartbeat());
    let got = back.reads();
    let order: Vec<_> = got.iter().filter_map(|m| m.custom_message.as_ref()).collect();
    assert_eq!(order.iter().map(|m| &m.data[..]).collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(got[0].remote_config, offer(b"2").remote_config, "the latest");
    assert_eq!(bench.sessions.counters.agent_bytes(), 0);
}

#[test]
pub(super) fn the_newest_connection_wins() {
    let bench = Bench::default();
    let old = Agent::first(&bench, 1, 1);
    assert!(matches!(old.looks(), Outgoing::Nothing { .. }));
    bench.says(1, &offer(b"unread"));
    let mut new = old.returns(2);
    new.says(heartbeat());
    assert!(old.woken.is_set());
    assert!(matches!(old.looks(), Outgoing::Replaced));
    assert_eq!(new.reads(), [to(1, offer(b"unread"))]);
    bench.permits();
    assert!(bench.sent().is_empty(), "the server hears nothing of it");
    drop(old);
    assert_eq!(bench.sessions.count(), (1, 0));
    bench.says(1, &offer(b"x"));
    assert_eq!(new.reads(), [to(1, offer(b"x"))]);
}

#[test]
pub(super) fn a_clean_disconnect_leaves_nothing_behind() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(health());
    bench.says(1, &offer(b"unread"));
    agent.says(health());
    let farewell = agent.says(goodbye());
    assert_eq!(farewell.len(), 3, "a reply to each message: {farewell:?}");
    assert!(matches!(agent.looks(), Outgoing::Left));
    bench.assert_empty();
    assert_eq!(bench.uplink.state.lock().released, [uid(1)]);
    drop(agent);
    bench.assert_empty();
}

#[test]
pub(super) fn a_slow_reader_is_closed_at_its_bound() {
    let bench = Bench::new(SessionsParams { outbox_bytes_max: 1000, ..SessionsParams::default() });
    let slow = Agent::first(&bench, 1, 1);
    let other = Agent::first(&bench, 2, 2);
    bench.says(1, &offer(&[0; 5000]));
    assert!(bench.sessions.counters.agent_bytes() > 5000, "one message is always allowed");
    bench.says(1, &offer(b"one too many"));
    assert!(matches!(slow.looks(), Outgoing::Overflowed));
    assert_eq!(bench.sessions.counters.agent_bytes(), 0);
    bench.says(2, &offer(b"x"));
    assert_eq!(other.reads().len(), 1);
    let mut back = slow.returns(3);
    drop(slow);
    back.says(heartbeat());
    assert_eq!(back.reads(), [to(1, offer(b"one too many"))]);
    assert!(bench.sent().is_empty(), "the server hears nothing of it");
}

#[test]
pub(super) fn bytes_for_all_agents_have_a_bound_stored_offers_included() {
    let params = SessionsParams { outbox_total_bytes_max: 3000, ..SessionsParams::default() };
    let bench = Bench::new(params);
    for n in 1..=5 {
        Agent::first(&bench, n, u64::from(n)).attachment = None;
        bench.says(n, &offer(&[0; 1000]));
    }
    let waiting = bench.sessions.counters.agent_bytes();
    assert!((1000..=3300).contains(&waiting), "{waiting}");
}

/// What waited is counted already: to move it to the connection takes no room.
#[test]
pub(super) fn an_agent_that_comes_back_when_all_room_is_used_up_gets_what_waited() {
    let params = SessionsParams { outbox_total_bytes_max: 3000, ..SessionsParams::default() };
    let bench = Bench::new(params);
    let absent = Agent::first(&bench, 1, 1);
    let mut back = absent.returns(3);
    drop(absent);
    let custom_message = Some(CustomMessage { data: vec![0; 300], ..CustomMessage::default() });
    let custom = ServerToAgent { custom_message, ..Default::default() };
    for _ in 0..3 {
        bench.says(1, &custom);
    }
    drop(Agent::first(&bench, 2, 2));
    let room = 3000 - bench.sessions.counters.agent_bytes();
    bench.says(2, &offer(&vec![0; room - 100]));
    back.says(heartbeat());
    let waited = back.reads();
    assert_eq!(waited.iter().filter(|m| m.custom_message.is_some()).count(), 3, "{waited:?}");
    assert!(bench.sessions.counters.agent_bytes() < 2100, "its bytes are given back");
}

#[test]
pub(super) fn a_full_table_refuses_newcomers_and_knows_the_others() {
    let bench = Bench::new(SessionsParams { sessions_max: 2, ..SessionsParams::default() });
    let mut one = Agent::first(&bench, 1, 1);
    let mut two = Agent::first(&bench, 2, 2);
    let mut three = Agent::new(&bench, 3, 3);
    assert!(matches!(three.tries_to_say(full()), Err(Rejected::Full)));
    assert!(one.tries_to_say(heartbeat()).is_ok());
    two.says(goodbye());
    assert!(three.tries_to_say(full()).is_ok());
}

#[tokio::test(start_paused = true)]
pub(super) async fn the_end_of_the_grace_period_is_told_and_the_session_goes() {
    let bench = Bench::default();
    let agent = Agent::first(&bench, 1, 1);
    let grace_period = bench.sessions.params.grace_period;
    drop(agent);
    tokio::time::advance(grace_period / 2).await;
    bench.sessions.sweep(clock::now());
    assert!(bench.sent().is_empty());
    tokio::time::advance(grace_period).await;
    bench.sessions.sweep(clock::now());
    assert_eq!(bench.permits(), [PermitUse::Used]);
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1.agent_disconnect.is_some());
    bench.assert_empty();
}

/// The gate has told agents to come later than that.
#[tokio::test(start_paused = true)]
pub(super) async fn an_agent_that_waits_for_admission_is_not_given_up() {
    let bench = Bench::default();
    let grace_period = bench.sessions.params.grace_period;
    drop(Agent::first(&bench, 1, 1));
    bench.sessions.excuse_absence(clock::now() + grace_period * 3);
    bench.sessions.excuse_absence(clock::now() + grace_period);
    for _ in 0..5 {
        tokio::time::advance(grace_period / 2).await;
        bench.sessions.sweep(clock::now());
        assert_eq!(bench.sessions.count(), (0, 1));
    }
    tokio::time::advance(grace_period).await;
    bench.sessions.sweep(clock::now());
    bench.permits();
    assert!(bench.sent()[0].1.agent_disconnect.is_some());
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
pub(super) async fn an_earlier_sessions_deadline_is_not_the_next_ones() {
    let bench = Bench::default();
    for connection in (1..20).step_by(2) {
        let mut agent = Agent::first(&bench, 1, connection);
        agent.attachment = None;
        let mut back = agent.returns(connection + 1);
        back.says(goodbye());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let agent = Agent::first(&bench, 1, 100);
    drop(agent);
    tokio::time::advance(Duration::from_secs(55)).await;
    bench.sessions.sweep(clock::now());
    assert_eq!(bench.sessions.count(), (0, 1));
    assert_eq!(bench.sessions.deadlines.len(), 1 + 4, "those not due, and its own");
}

#[test]
pub(super) fn a_uid_in_two_hands_is_given_to_one() {
    let bench = Bench::default();
    let mut agents = vec![Agent::first(&bench, 1, 1)];
    for connection in 2..=3 {
        let mut next = Agent::new(&bench, 1, connection);
        next.says(full());
        agents.last().unwrap().attachment.as_ref().unwrap().replaced_was_alive();
        agents.push(next);
    }
    let rejected = Agent::new(&bench, 1, 4).tries_to_say(full()).unwrap_err();
    let Rejected::Cloned { uid: old, fresh } = rejected else { panic!("{rejected:?}") };
    assert_eq!(old, uid(1));
    assert_ne!(fresh, uid(1));
    assert!(matches!(agents[2].looks(), Outgoing::Nothing { .. } | Outgoing::Bytes(_)));
}

#[test]
pub(super) fn a_renamed_agents_old_session_ends_when_it_speaks_under_its_new_uid() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    let identification = AgentIdentification { new_instance_uid: vec![2; 16] };
    let rename =
        ServerToAgent { agent_identification: Some(identification), ..ServerToAgent::default() };
    bench.says(1, &rename);
    assert_eq!(agent.reads().len(), 1);
    agent.says(health());
    agent.n = 2;
    let answers = agent.says(heartbeat());
    assert_eq!(answers, [ack(1)], "what it was owed under the old one");
    assert_eq!(bench.sessions.info(uid(1)).unwrap().presence, Presence::Disconnecting);
    bench.permits();
    assert!(bench.sessions.info(uid(1)).is_none());
    let left = bench.sent().into_iter().find(|(_, m)| m.agent_disconnect.is_some()).unwrap();
    assert_eq!(left.0, uid(1));
    assert_eq!(bench.sessions.count(), (1, 0));
}

#[test]
pub(super) fn an_entry_of_the_table_is_small() {
    let bytes = size_of::<SessionEntry>()
        + 2 * size_of::<usize>()
        + size_of::<(InstanceUid, Arc<SessionEntry>)>();
    println!(
        "an agent in the table: {bytes} bytes, {} of them its entry",
        size_of::<SessionEntry>()
    );
    assert!(bytes <= 280, "{bytes} bytes");
}
