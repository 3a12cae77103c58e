//! R3 to R9 for one session, in the rules' words.

use std::time::Duration;

use super::harness::{Gateway, POLICY, UID, route};
use super::message::{self, Status, bytes};
use crate::core::pacing::Class;
use crate::core::session::{FromServer, FullState, Policy, Reply, Says, Session, Turn};
use crate::ident::{ConnectionId, SequenceNum};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::agent_field;
use crate::opamp::proto::{AgentToServer, ServerToAgent, ServerToAgentCommand};
use crate::opamp::server::ServerScan;
use prost::Message;

const HERE: ConnectionId = ConnectionId(1);

fn full(number: u64) -> Vec<u8> {
    bytes(&message::report(number, Status::FIRST))
}

fn health(number: u64) -> Vec<u8> {
    bytes(&message::report(number, Status { health: Some(health_of(number)), ..Status::default() }))
}

/// New with each message, or it would not go on.
fn health_of(number: u64) -> u32 {
    100 + u32::try_from(number).unwrap()
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &full(0));
    gateway
}

fn session(gateway: &Gateway) -> &Session {
    gateway.session.as_ref().unwrap()
}

fn next_upstream(gateway: &mut Gateway) -> Option<AgentToServer> {
    let (_, bytes) = gateway.to_server.pop_front()?;
    Some(AgentToServer::decode(&bytes[..]).unwrap())
}

fn replies(gateway: &mut Gateway) -> usize {
    gateway.to_agent.drain(..).filter(|message| message.is_reply).count()
}

#[test]
fn r3_the_number_rises_by_one_for_each_message_sent_on() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(1)));
    gateway.agent_says(HERE, &health(2));
    gateway.agent_says(HERE, &bytes(&message::heartbeat(3)));
    gateway.agent_says(HERE, &health(4));
    let numbers: Vec<u64> = std::iter::from_fn(|| next_upstream(&mut gateway))
        .map(|message| message.sequence_num)
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn r3_a_gap_on_the_agents_side_means_lost_messages_and_the_gateway_asks() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(2)));
    assert_eq!(session(&gateway).full_state(), FullState::Wanted);
    gateway.to_agent.clear();
    gateway.turn();
    let asked = ServerToAgent::decode(&gateway.to_agent[0].bytes[..]).unwrap();
    assert_eq!(asked.flags, 1);
    gateway.agent_says(HERE, &full(3));
    assert_eq!(session(&gateway).full_state(), FullState::Reported);
}

#[test]
fn r3_an_agent_that_miscounts_is_not_asked_for_more_than_it_has() {
    let mut gateway = gateway();
    let description = Status { description: Some(1), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&message::heartbeat(9)));
    gateway.turn();
    gateway.agent_says(HERE, &bytes(&message::report(19, description)));
    assert_eq!(session(&gateway).full_state(), FullState::Reported);
}

/// Answers everything that has come, asking for full state each time; returns the full states.
fn asks_on_every_reply(gateway: &mut Gateway) -> usize {
    let mut full_states = 0;
    for _ in 0..50 {
        while let Some(message) = next_upstream(gateway) {
            full_states += usize::from(message::status(&message).is_complete());
            gateway.server_says(route(1), &bytes(&message::ask()));
        }
        gateway.turn();
        for sent in gateway.to_agent.drain(..) {
            let flags = ServerToAgent::decode(&sent.bytes[..]).unwrap().flags;
            assert_eq!(flags, 0, "the agent is not asked for what is kept");
        }
    }
    full_states
}

#[test]
fn r4_a_server_that_always_asks_gets_each_state_once() {
    let mut gateway = gateway();
    assert_eq!(asks_on_every_reply(&mut gateway), 1, "the agent's own report was a full one");
    for number in 1..=5 {
        gateway.wait(Duration::from_secs(70));
        gateway.agent_says(HERE, &bytes(&message::heartbeat(number)));
    }
    assert_eq!(asks_on_every_reply(&mut gateway), 0, "nothing has changed");
    gateway.agent_says(HERE, &health(6));
    assert_eq!(asks_on_every_reply(&mut gateway), 1, "a new state");
    gateway.link_down();
    gateway.link_up();
    gateway.turn();
    gateway.to_server.clear();
    gateway.server_says(route(2), &bytes(&message::ask()));
    gateway.turn();
    assert!(message::status(&next_upstream(&mut gateway).unwrap()).is_complete(), "incarnation 2");
}

#[test]
fn r1_what_an_old_process_was_given_casts_no_doubt_on_what_the_new_one_says() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    // The process ends, and the next one begins from 0.
    for report in [full(0), health(1), health(2)] {
        gateway.agent_says(HERE, &report);
        gateway.server_says(route(1), &bytes(&message::ack()));
    }
    gateway.to_server.clear();
    gateway.agent_says(HERE, &health(2));
    assert_eq!(next_upstream(&mut gateway), None, "said twice, for the reply was lost");
}

#[test]
fn r4_a_server_that_was_content_and_asks_again_is_answered_again() {
    let mut gateway = gateway();
    for _ in 0..3 {
        gateway.to_server.clear();
        gateway.server_says(route(1), &bytes(&message::ack()));
        gateway.server_says(route(1), &bytes(&message::ask()));
        gateway.turn();
        assert!(message::status(&next_upstream(&mut gateway).unwrap()).is_complete());
    }
}

#[test]
fn r4_the_agent_is_asked_for_what_the_store_lacks() {
    let mut gateway = gateway();
    gateway.to_server.clear();
    gateway.evict(agent_field::EFFECTIVE_CONFIG);
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.to_agent.clear();
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.turn();
    assert_eq!(next_upstream(&mut gateway), None, "the agent will say all of it");
    assert_eq!(ServerToAgent::decode(&gateway.to_agent[0].bytes[..]).unwrap().flags, 1);
    gateway.agent_says(HERE, &full(1));
    let sent = message::status(&next_upstream(&mut gateway).unwrap());
    assert_eq!(sent, Status::FIRST, "in one message, as the server wants it");
}

#[test]
fn r5_every_message_gets_exactly_one_reply() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &health(1));
    assert_eq!(session(&gateway).owed(), 2);
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.wait(POLICY.reply_wait);
    assert_eq!(replies(&mut gateway), 2, "one the server's, one the gateway's");
    // What the server says late: an empty acknowledgement is swallowed, an offer pushed.
    gateway.server_says(route(1), &bytes(&message::ack()));
    assert!(gateway.to_agent.is_empty());
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    assert!(!gateway.to_agent.pop_front().unwrap().is_reply);
}

#[test]
fn r5_an_agent_that_leaves_has_its_replies() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &health(1));
    gateway.agent_says(HERE, &bytes(&message::disconnect(2)));
    assert_eq!(replies(&mut gateway), 3);
    assert!(gateway.session.is_none());
}

#[test]
fn r5_the_newest_request_over_plain_http_gets_what_the_server_says() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.poll(now);
    let older = session.request();
    assert_eq!(session.owe_reply(true, now, &POLICY), Reply::Wait);
    session.poll(now);
    let newer = session.request();
    assert!(!session.is_answered_by(older) && session.is_answered_by(newer));
    assert_eq!(session.owed(), 0, "of the older's account nothing is left");
    session.arrive(HERE, now);
    assert!(!session.is_answered_by(newer), "a WebSocket has taken its place");
}

#[test]
fn r6_what_was_lost_with_a_link_is_sent_again() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.agent_says(HERE, &health(1));
    gateway.link_down();
    gateway.link_up();
    gateway.turn();
    let lost = Status { health: Some(health_of(1)), ..Status::default() };
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), lost);
    // Answered messages have arrived: then the agent is only introduced.
    gateway.server_says(route(2), &bytes(&message::ack()));
    gateway.link_down();
    gateway.link_up();
    gateway.turn();
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), Status::default());
    assert_eq!(session(&gateway).full_state(), FullState::Reported);
}

#[test]
fn r6_what_found_no_room_is_sent_in_its_turn_and_the_newest_state_wins() {
    let mut gateway = gateway();
    gateway.to_server.clear();
    gateway.link.room = 0;
    gateway.agent_says(HERE, &health(1));
    gateway.agent_says(HERE, &health(2));
    assert_eq!(replies(&mut gateway), 2, "they are acknowledged all the same");
    gateway.link.room = 10;
    gateway.turn();
    let newest = Status { health: Some(health_of(2)), ..Status::default() };
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), newest);
    assert!(gateway.to_server.is_empty());
}

#[test]
fn r6_what_an_overloaded_server_did_not_take_is_sent_again() {
    let mut gateway = gateway();
    gateway.to_server.clear();
    gateway.server_says(route(1), &bytes(&message::unavailable()));
    assert_eq!(replies(&mut gateway), 1);
    gateway.turn();
    assert!(message::status(&next_upstream(&mut gateway).unwrap()).is_complete());
}

#[test]
fn r6_a_question_dies_with_its_connection() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(2)));
    gateway.turn();
    gateway.lost(HERE);
    // As opamp-go up to v0.22 comes back: everything but health, and not because it was asked.
    let status = Status { health: None, ..Status::FIRST };
    gateway.agent_says(ConnectionId(2), &bytes(&message::report(3, status)));
    assert_eq!(session(&gateway).full_state(), FullState::Wanted);
}

#[test]
fn r6_a_report_numbered_1_may_be_the_second() {
    let mut gateway = Gateway::new(crate::clock::now());
    let status = Status { health: None, ..Status::FIRST };
    gateway.agent_says(HERE, &bytes(&message::report(1, status)));
    assert_eq!(session(&gateway).full_state(), FullState::Wanted);
    gateway.restart();
    gateway.agent_says(HERE, &bytes(&message::report(0, status)));
    assert_eq!(session(&gateway).full_state(), FullState::Reported);
}

#[test]
fn r6_an_offer_that_may_have_died_with_its_connection_is_found_missing() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.lost(HERE);
    gateway.to_server.clear();
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    gateway.turn();
    let told = message::status(&next_upstream(&mut gateway).unwrap());
    assert!(told.is_complete(), "the server sees what the agent really has");
}

#[test]
fn r7_offers_are_kept_until_the_agent_is_there_and_then_in_order() {
    let mut gateway = gateway();
    gateway.lost(HERE);
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.server_says(route(1), &bytes(&message::offer(2)));
    // Its connection is there, its report not yet: a push must not overtake what waits.
    let now = gateway.now;
    gateway.session.as_mut().unwrap().arrive(ConnectionId(2), now);
    gateway.server_says(route(1), &bytes(&message::offer(3)));
    assert!(gateway.to_agent.is_empty());
    gateway.agent_says(ConnectionId(2), &full(1));
    let offers: Vec<_> = gateway
        .to_agent
        .drain(..)
        .filter_map(|sent| ServerToAgent::decode(&sent.bytes[..]).unwrap().remote_config)
        .collect();
    assert_eq!(offers, [message::offer(3).remote_config.unwrap()]);
}

#[test]
fn r7_a_restart_for_a_process_that_is_gone_is_dropped() {
    let mut gateway = gateway();
    gateway.lost(HERE);
    let command = Some(ServerToAgentCommand::default());
    gateway.server_says(route(1), &bytes(&ServerToAgent { command, ..message::ack() }));
    let mut session = gateway.session.take().unwrap();
    session.arrive(ConnectionId(2), gateway.now);
    let report = full(0);
    let scan = AgentScan::parse(&report).unwrap();
    assert!(session.report(&scan, Some(route(1)), gateway.now, &POLICY).restart_dropped);
    assert!(!session.has_offers());
}

#[test]
fn r9_one_heartbeat_in_each_interval_goes_on() {
    let mut gateway = gateway();
    gateway.to_server.clear();
    for number in 1..=13 {
        gateway.wait(Duration::from_secs(10));
        gateway.agent_says(HERE, &bytes(&message::heartbeat(number)));
    }
    assert_eq!(gateway.to_server.len(), 2, "in 130 seconds");
    // One that introduces the agent, or says something new, goes on at once.
    gateway.link_down();
    gateway.link_up();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(14)));
    assert_eq!(gateway.to_server.len(), 1);
    let capabilities = message::CAPABILITIES | 0x2000;
    let changed = AgentToServer { capabilities, ..message::heartbeat(15) };
    gateway.agent_says(HERE, &bytes(&changed));
    assert_eq!(gateway.to_server.len(), 2);
}

#[test]
fn r9_an_interval_of_zero_forwards_all() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.arrive(HERE, now);
    let policy = Policy { heartbeat_forward_interval: Duration::ZERO, ..POLICY };
    for number in 0..5 {
        let heartbeat = bytes(&message::heartbeat(number));
        let scan = AgentScan::parse(&heartbeat).unwrap();
        let says = session.report(&scan, Some(route(1)), now, &policy).says;
        assert_eq!(says, Says::Alive { goes_on: true });
        session.sent(route(1), now);
    }
}

#[test]
fn one_shot_fields_keep_their_order_and_their_bound() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.link_down();
    for data in 0..6 {
        gateway.agent_says(HERE, &bytes(&message::custom(u64::from(data) + 1, data)));
    }
    assert_eq!(session(&gateway).pending().0, POLICY.pending_max);
    gateway.link_up();
    gateway.session.as_mut().unwrap().drop_pending();
    for data in 0..3 {
        gateway.has_time = data > 0;
        // The server has time again, but what waited goes first all the same.
        gateway.agent_says(HERE, &bytes(&message::custom(u64::from(data) + 7, data)));
    }
    gateway.turn();
    let data: Vec<_> = std::iter::from_fn(|| next_upstream(&mut gateway))
        .map(|sent| String::from_utf8(sent.custom_message.unwrap().data.clone()).unwrap())
        .collect();
    assert_eq!(data, ["0", "1", "2"]);
    assert_eq!(session(&gateway).pending(), (0, 0));
}

#[test]
fn a_wish_for_a_uid_waits_for_the_server() {
    let mut gateway = gateway();
    gateway.link_down();
    let wish = AgentToServer { flags: 1, ..message::heartbeat(1) };
    gateway.agent_says(HERE, &bytes(&wish));
    gateway.link_up();
    gateway.turn();
    assert_eq!(next_upstream(&mut gateway).unwrap().flags, 1);
}

#[test]
fn what_waited_goes_before_a_disconnect() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(HERE, &bytes(&message::custom(1, 1)));
    gateway.agent_says(HERE, &bytes(&message::disconnect(2)));
    gateway.link_up();
    gateway.turn();
    assert!(next_upstream(&mut gateway).unwrap().custom_message.is_some());
    assert!(next_upstream(&mut gateway).unwrap().agent_disconnect.is_some());
    assert!(gateway.session.is_none());
}

#[test]
fn a_question_that_waits_for_a_poll_is_not_asked_again() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    let poll = |session: &mut Session, number, now| {
        session.poll(now);
        let heartbeat = bytes(&message::heartbeat(number));
        session.report(&AgentScan::parse(&heartbeat).unwrap(), Some(route(1)), now, &POLICY);
    };
    poll(&mut session, 5, now);
    assert_eq!(session.turn(Class::Ask, route(1), false, now), Turn::AskAgent(1));
    let ask = bytes(&message::ask());
    let limits = crate::opamp::offers::OffersLimits { bytes_max: 100, custom_messages_max: 1 };
    session.keep_offer(&ServerScan::parse(&ask).unwrap(), limits);
    let later = now + Duration::from_secs(40);
    poll(&mut session, 6, later);
    assert_eq!(session.full_state(), FullState::Asked(later));
}

#[test]
fn a_server_is_left_once_and_with_a_number_of_its_own() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.arrive(HERE, now);
    let report = full(0);
    let scan = AgentScan::parse(&report).unwrap();
    session.report(&scan, Some(route(1)), now, &POLICY);
    session.sent(route(1), now);
    let mut other = route(1);
    other.link.server = crate::ident::ServerId(1);
    assert_eq!(session.leave_server(route(2)), None, "the same server");
    assert_eq!(session.leave_server(other), Some(route(1)));
    session.told_old_server();
    assert_eq!(session.leave_server(other), None);
    assert_eq!(session.next_number(), SequenceNum(2));
    // Back before anything went to the other: the server has forgotten the agent.
    assert!(!session.is_introduced(Some(route(1))));
    assert_eq!(session.turn(Class::Announce, route(1), false, now), Turn::Announce);
}

#[test]
fn what_comes_for_an_agent_that_left_is_dropped() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.leave();
    let offer = bytes(&message::offer(1));
    let verdict = session.from_server(&ServerScan::parse(&offer).unwrap(), route(1), now);
    assert_eq!(verdict.then, FromServer::TooLate);
}

#[test]
fn an_idle_session_is_small() {
    let bytes = size_of::<Session>();
    println!("a session: {bytes} bytes");
    assert!(bytes <= 184, "{bytes} bytes");
}
