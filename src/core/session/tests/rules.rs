//! R3 to R9 for one session, in the rules' words.

use std::time::Duration;

use super::harness::{Gateway, POLICY, route};
use super::message::{self, Status, bytes};
use crate::core::session::{FullState, Note, OfferLoss, Presence, Session};
use crate::ident::{ConnectionId, ServerId};
use crate::opamp::field_set::agent_field;
use crate::opamp::proto::{AgentToServer, ServerToAgent, ServerToAgentCommand};
use prost::Message;

const HERE: ConnectionId = ConnectionId(1);

fn full(number: u64) -> Vec<u8> {
    bytes(&message::report(number, Status::FIRST))
}

fn health(number: u64) -> Vec<u8> {
    bytes(&message::report(number, Status { health: Some(health_of(number)), ..Status::default() }))
}

/// New with each message, so that it goes on.
fn health_of(number: u64) -> u32 {
    100 + u32::try_from(number).unwrap()
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &full(0));
    gateway
}

fn next_upstream(gateway: &mut Gateway) -> Option<AgentToServer> {
    let (_, bytes) = gateway.effects.to_server.pop_front()?;
    Some(AgentToServer::decode(&bytes[..]).unwrap())
}

fn replies(gateway: &mut Gateway) -> usize {
    gateway.effects.to_agent.drain(..).filter(|message| message.is_reply).count()
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
    assert_eq!(gateway.full_state(), FullState::Wanted);
    gateway.effects.to_agent.clear();
    gateway.permits();
    let asked = ServerToAgent::decode(&gateway.effects.to_agent[0].bytes[..]).unwrap();
    assert_eq!(asked.flags, 1);
    gateway.agent_says(HERE, &full(3));
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn r3_an_agent_that_miscounts_is_not_asked_for_more_than_it_has() {
    let mut gateway = gateway();
    let description = Status { description: Some(1), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&message::heartbeat(9)));
    gateway.permits();
    gateway.agent_says(HERE, &bytes(&message::report(19, description)));
    assert_eq!(gateway.full_state(), FullState::Reported);
}

/// Answers everything that has come, asking for full state each time; returns the full states.
fn asks_on_every_reply(gateway: &mut Gateway) -> usize {
    let mut full_states = 0;
    for _ in 0..50 {
        while let Some(message) = next_upstream(gateway) {
            full_states += usize::from(message::status(&message).is_complete());
            gateway.server_says(route(1), &bytes(&message::ask()));
        }
        gateway.permits();
        for sent in gateway.effects.to_agent.drain(..) {
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
    gateway.permits();
    gateway.effects.to_server.clear();
    gateway.server_says(route(2), &bytes(&message::ask()));
    gateway.permits();
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
    gateway.effects.to_server.clear();
    gateway.agent_says(HERE, &health(2));
    assert_eq!(next_upstream(&mut gateway), None, "said twice, for the reply was lost");
}

#[test]
fn r4_a_server_that_was_content_and_asks_again_is_answered_again() {
    let mut gateway = gateway();
    for _ in 0..3 {
        gateway.effects.to_server.clear();
        gateway.server_says(route(1), &bytes(&message::ack()));
        gateway.server_says(route(1), &bytes(&message::ask()));
        gateway.permits();
        assert!(message::status(&next_upstream(&mut gateway).unwrap()).is_complete());
    }
}

#[test]
fn r4_the_agent_is_asked_for_what_the_store_lacks() {
    let mut gateway = gateway();
    gateway.effects.to_server.clear();
    gateway.evict(agent_field::EFFECTIVE_CONFIG);
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_agent.clear();
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    assert_eq!(next_upstream(&mut gateway), None, "the agent will say all of it");
    assert_eq!(ServerToAgent::decode(&gateway.effects.to_agent[0].bytes[..]).unwrap().flags, 1);
    gateway.agent_says(HERE, &full(1));
    let sent = message::status(&next_upstream(&mut gateway).unwrap());
    assert_eq!(sent, Status::FIRST, "in one message, as the server wants it");
}

#[test]
fn r5_every_message_gets_exactly_one_reply() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &health(1));
    assert_eq!(gateway.info().owed, 2);
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.wait(POLICY.reply_wait);
    assert_eq!(replies(&mut gateway), 2, "one the server's, one the gateway's");
    // What the server says late: an empty acknowledgement is swallowed, an offer pushed.
    gateway.server_says(route(1), &bytes(&message::ack()));
    assert!(gateway.effects.to_agent.is_empty());
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    assert!(!gateway.effects.to_agent.pop_front().unwrap().is_reply);
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
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.request(&full(0));
    assert_eq!((gateway.info().owed, gateway.effects.answers.len()), (1, 0));
    let newer = gateway.request(&health(1));
    assert_eq!(gateway.effects.answers.len(), 1, "the older one is answered by the gateway");
    assert_eq!(gateway.info().owed, 1, "of the older's account nothing is left");
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let answer = gateway.effects.answers.pop_back().unwrap();
    assert_eq!(ServerToAgent::decode(&answer[..]).unwrap(), message::offer(1));
    gateway.request(&health(2));
    gateway.agent_says(HERE, &health(3));
    let answer = gateway.effects.answers.pop_back().unwrap();
    assert_eq!(ServerToAgent::decode(&answer[..]).unwrap(), message::ack(), "a WebSocket came");
    gateway.event(|session, _, _| session.request_closed(newer));
    assert!(gateway.info().presence == Presence::Connected { connection: HERE });
}

#[test]
fn r5_a_request_is_answered_when_it_has_waited_long_enough() {
    let mut gateway = Gateway::new(crate::clock::now());
    let request = gateway.request(&full(0));
    gateway.event(|session, moment, port| session.request_overdue(request + 1, moment, port));
    assert!(gateway.effects.answers.is_empty(), "another request's time is up");
    gateway.event(|session, moment, port| session.request_overdue(request, moment, port));
    assert_eq!((gateway.effects.answers.len(), gateway.info().owed), (1, 0));
    let given = gateway.request(&health(1));
    gateway.event(|session, _, _| session.request_closed(given));
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    assert_eq!(gateway.effects.answers.len(), 1, "the agent gave it up");
    gateway.request(&bytes(&message::heartbeat(2)));
    let answer = gateway.effects.answers.pop_back().unwrap();
    assert_eq!(ServerToAgent::decode(&answer[..]).unwrap(), message::offer(1));
}

#[test]
fn r6_what_was_lost_with_a_link_is_sent_again() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.agent_says(HERE, &health(1));
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    let lost = Status { health: Some(health_of(1)), ..Status::default() };
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), lost);
    // Answered messages have arrived: then the agent is only introduced.
    gateway.server_says(route(2), &bytes(&message::ack()));
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), Status::default());
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn r6_what_found_no_room_is_sent_with_a_permit_and_the_newest_state_wins() {
    let mut gateway = gateway();
    gateway.effects.to_server.clear();
    gateway.link.room = 0;
    gateway.agent_says(HERE, &health(1));
    gateway.agent_says(HERE, &health(2));
    assert_eq!(replies(&mut gateway), 2, "they are acknowledged all the same");
    gateway.link.room = 10;
    gateway.permits();
    let newest = Status { health: Some(health_of(2)), ..Status::default() };
    assert_eq!(message::status(&next_upstream(&mut gateway).unwrap()), newest);
    assert!(gateway.effects.to_server.is_empty());
}

#[test]
fn r6_what_an_overloaded_server_did_not_take_is_sent_again() {
    let mut gateway = gateway();
    gateway.effects.to_server.clear();
    gateway.server_says(route(1), &bytes(&message::unavailable()));
    assert_eq!(replies(&mut gateway), 1);
    gateway.permits();
    assert!(message::status(&next_upstream(&mut gateway).unwrap()).is_complete());
}

#[test]
fn r6_a_question_dies_with_its_connection() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(2)));
    gateway.permits();
    gateway.lost(HERE);
    // As opamp-go up to v0.22 comes back: everything but health, and not because it was asked.
    let status = Status { health: None, ..Status::FIRST };
    gateway.agent_says(ConnectionId(2), &bytes(&message::report(3, status)));
    assert_eq!(gateway.full_state(), FullState::Wanted);
}

#[test]
fn r6_a_report_numbered_1_may_be_the_second() {
    let mut gateway = Gateway::new(crate::clock::now());
    let status = Status { health: None, ..Status::FIRST };
    gateway.agent_says(HERE, &bytes(&message::report(1, status)));
    assert_eq!(gateway.full_state(), FullState::Wanted);
    gateway.restart();
    gateway.agent_says(HERE, &bytes(&message::report(0, status)));
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn r6_an_offer_that_may_have_died_with_its_connection_is_found_missing() {
    let mut gateway = gateway();
    // There is no room for a copy.
    gateway.free_for_copies = 0;
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.lost(HERE);
    gateway.effects.to_server.clear();
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    gateway.permits();
    let told = message::status(&next_upstream(&mut gateway).unwrap());
    assert!(told.is_complete(), "the server sees what the agent really has");
}

#[test]
fn r7_offers_wait_until_the_agent_is_there_and_then_go_in_order() {
    let mut gateway = gateway();
    gateway.lost(HERE);
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.server_says(route(1), &bytes(&message::offer(2)));
    // Its connection is there before its report: what waits goes before a push.
    gateway.opens(ConnectionId(2));
    gateway.server_says(route(1), &bytes(&message::offer(3)));
    assert!(gateway.effects.to_agent.is_empty());
    gateway.agent_says(ConnectionId(2), &full(1));
    let offers: Vec<_> = gateway
        .effects
        .to_agent
        .drain(..)
        .filter_map(|sent| ServerToAgent::decode(&sent.bytes[..]).unwrap().remote_config)
        .collect();
    assert_eq!(offers, [message::offer(3).remote_config.unwrap()]);
}

/// What is left of several stored messages waits for the connection after the one that they overflow.
#[test]
fn r7_what_waits_outlives_a_connection_that_overflows() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.lost(HERE);
    let command = Some(ServerToAgentCommand::default());
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.server_says(route(1), &bytes(&ServerToAgent { command, ..message::ack() }));
    gateway.overflows = true;
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    gateway.lost(ConnectionId(2));
    gateway.overflows = false;
    gateway.effects.to_server.clear();
    gateway.agent_says(ConnectionId(3), &bytes(&message::heartbeat(2)));
    assert_eq!(offers_of(&mut gateway), [1]);
    gateway.permits();
    assert!(next_upstream(&mut gateway).is_none_or(|told| !message::status(&told).is_complete()));
}

/// The configurations that the agent was given since the last look.
fn offers_of(gateway: &mut Gateway) -> Vec<u32> {
    let given = gateway.effects.to_agent.drain(..);
    let hash = |message: ServerToAgent| {
        let config = message.remote_config?;
        String::from_utf8(config.config_hash).unwrap().parse().ok()
    };
    given.filter_map(|m| hash(ServerToAgent::decode(&m.bytes[..]).unwrap())).collect()
}

/// The number of the last ping behind what was given, and what was given is forgotten.
fn ping_of(gateway: &mut Gateway) -> u16 {
    gateway.effects.to_agent.drain(..).filter_map(|message| message.ping).next_back().unwrap()
}

#[test]
fn r7_an_offer_goes_again_until_its_agent_has_confirmed_it() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_agent.clear();
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let first = ping_of(&mut gateway);
    gateway.server_says(route(1), &bytes(&message::offer(2)));
    assert_eq!(gateway.session.as_ref().unwrap().figures().agent_bytes, 0);
    // That answers the first ping alone.
    gateway.ponged(first);
    gateway.effects.to_agent.clear();
    gateway.lost(HERE);
    assert!(gateway.effects.notes.contains(&Note::OffersTakenBack));
    gateway.effects.to_server.clear();
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    assert!(gateway.effects.to_server.is_empty(), "the server hears nothing of it");
    let second = gateway.effects.to_agent.back().unwrap().ping.unwrap();
    assert_eq!(offers_of(&mut gateway), [2]);
    // Another connection takes the session before the pong.
    gateway.agent_says(ConnectionId(3), &bytes(&message::heartbeat(2)));
    let third = gateway.effects.to_agent.back().unwrap().ping.unwrap();
    assert!(second != third && offers_of(&mut gateway) == [2]);
    gateway.ponged(third);
    assert!(gateway.session.as_ref().unwrap().cold.is_none(), "nothing is left of it");
    gateway.agent_says(ConnectionId(4), &bytes(&message::heartbeat(3)));
    assert!(offers_of(&mut gateway).is_empty());
}

#[test]
fn r7_an_agent_that_answers_no_ping_has_what_was_written_long_before_it_was_heard() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_agent.clear();
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    for (wait, again) in [(30, &[1][..]), (31, &[])] {
        let (here, next) = (ConnectionId(wait), ConnectionId(wait * 10));
        gateway.agent_says(here, &bytes(&message::heartbeat(wait)));
        gateway.effects.to_agent.clear();
        gateway.wait(Duration::from_secs(wait));
        gateway.agent_says(here, &bytes(&message::heartbeat(wait + 1)));
        gateway.effects.to_agent.clear();
        gateway.lost(here);
        gateway.agent_says(next, &bytes(&message::heartbeat(wait + 2)));
        assert_eq!(offers_of(&mut gateway), again, "after {wait} s");
    }
}

/// Over plain HTTP the agent's next number tells.
#[test]
fn r7_an_answer_that_was_lost_is_given_again() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.request(&full(1));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let offered = |gateway: &mut Gateway| {
        let answer = gateway.effects.answers.pop_back().unwrap();
        ServerToAgent::decode(&answer[..]).unwrap().remote_config.is_some()
    };
    gateway.request(&bytes(&message::heartbeat(2)));
    assert!(offered(&mut gateway));
    gateway.request(&bytes(&message::heartbeat(2)));
    assert!(offered(&mut gateway), "it is asked for the same once more");
    gateway.request(&bytes(&message::heartbeat(3)));
    assert!(!offered(&mut gateway));
    gateway.opens(HERE);
    gateway.agent_says(HERE, &bytes(&message::heartbeat(4)));
    assert!(offers_of(&mut gateway).is_empty());
}

/// Of a request whose front is another node, the message may come after its opening. What was given to it before would
/// count as read by that very message.
#[test]
fn r7_a_request_is_answered_once_its_message_is_here() {
    let mut gateway = gateway();
    gateway.request(&bytes(&message::heartbeat(1)));
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let offers = |gateway: &mut Gateway| -> Vec<bool> {
        let answers = gateway.effects.answers.drain(..);
        let answers = answers.map(|answer| ServerToAgent::decode(&answer[..]).unwrap());
        answers.map(|answer| answer.remote_config.is_some()).collect()
    };
    offers(&mut gateway);
    gateway.request_opens();
    gateway.front_missed();
    gateway.server_says(route(1), &bytes(&message::offer(2)));
    assert!(offers(&mut gateway).is_empty());
    gateway.request_says(&bytes(&message::heartbeat(2)));
    assert_eq!(offers(&mut gateway), [true]);
    gateway.request(&bytes(&message::heartbeat(2)));
    assert_eq!(offers(&mut gateway), [true], "the answer was lost");
}

#[test]
fn r7_a_restart_for_a_process_that_is_gone_is_dropped() {
    let mut gateway = gateway();
    gateway.lost(HERE);
    let command = Some(ServerToAgentCommand::default());
    gateway.server_says(route(1), &bytes(&ServerToAgent { command, ..message::ack() }));
    gateway.effects.notes.clear();
    gateway.agent_says(ConnectionId(2), &full(0));
    assert!(gateway.effects.notes.contains(&Note::OfferDropped(OfferLoss::NewProcess)));
    let given = gateway.effects.to_agent.iter();
    let given: Vec<_> = given.map(|m| ServerToAgent::decode(&m.bytes[..]).unwrap()).collect();
    assert!(given.iter().all(|message| message.command.is_none()), "{given:?}");
}

fn customs_sent(gateway: &mut Gateway) -> usize {
    std::iter::from_fn(|| next_upstream(gateway))
        .filter(|sent| sent.custom_message.is_some())
        .count()
}

#[test]
fn a_custom_message_that_is_said_again_reaches_its_server_once() {
    let said = bytes(&message::custom(1, 7));
    // While the server is away, while it has no time, and at once, to a server that has yet to hear of the agent.
    for (is_up, has_time) in [(false, true), (true, false), (true, true)] {
        let mut gateway = gateway();
        if is_up {
            gateway.link_up();
        } else {
            gateway.link_down();
        }
        gateway.has_time = has_time;
        gateway.request(&said);
        gateway.request(&said);
        let mut customs = customs_sent(&mut gateway);
        gateway.link_down();
        gateway.link_up();
        gateway.request(&said);
        gateway.has_time = true;
        gateway.permits();
        customs += customs_sent(&mut gateway);
        assert_eq!(customs, 1, "is up: {is_up}, has time: {has_time}");
    }
}

#[test]
fn a_wish_for_a_uid_waits_for_the_server() {
    let mut gateway = gateway();
    gateway.link_down();
    let wish = AgentToServer { flags: 1, ..message::heartbeat(1) };
    gateway.agent_says(HERE, &bytes(&wish));
    gateway.link_up();
    gateway.permits();
    assert_eq!(next_upstream(&mut gateway).unwrap().flags, 1);
}

#[test]
fn what_waited_goes_before_a_disconnect() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(HERE, &bytes(&message::custom(1, 1)));
    gateway.agent_says(HERE, &bytes(&message::disconnect(2)));
    gateway.link_up();
    gateway.permits();
    assert!(next_upstream(&mut gateway).unwrap().custom_message.is_some());
    assert!(next_upstream(&mut gateway).unwrap().agent_disconnect.is_some());
    assert!(gateway.session.is_none());
}

#[test]
fn a_question_that_waits_for_a_poll_is_put_once() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.request(&bytes(&message::heartbeat(5)));
    gateway.permits();
    assert_eq!(gateway.full_state(), FullState::Asked(gateway.now));
    gateway.now += Duration::from_secs(40);
    gateway.request(&bytes(&message::heartbeat(6)));
    assert_eq!(gateway.full_state(), FullState::Asked(gateway.now));
    let asked = gateway.effects.answers.iter();
    let asked = asked.map(|bytes| ServerToAgent::decode(&bytes[..]).unwrap().flags);
    assert_eq!(asked.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_server_is_left_once_and_with_a_number_of_its_own() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &bytes(&message::ack()));
    // The agent moves to another server, which has no room yet.
    gateway.link.server = ServerId(1);
    gateway.link.room = 2;
    gateway.link_up();
    gateway.permits();
    gateway.permits();
    gateway.effects.to_server.pop_front();
    let goodbye = next_upstream(&mut gateway).unwrap();
    assert_eq!((goodbye.agent_disconnect.is_some(), goodbye.sequence_num), (true, 1));
    assert_eq!(gateway.effects.to_server.len(), 0, "it is left once");
    // Back before anything went to the other: the server has forgotten the agent.
    gateway.link.server = ServerId(0);
    gateway.link.room = usize::MAX;
    gateway.link_up();
    gateway.permits();
    let back = next_upstream(&mut gateway).unwrap();
    assert_eq!((back.sequence_num, message::status(&back).is_complete()), (2, true));
}

#[test]
fn what_comes_for_an_agent_that_left_is_dropped() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(HERE, &bytes(&message::disconnect(1)));
    gateway.effects.notes.clear();
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    assert_eq!(gateway.effects.notes, [Note::OfferDropped(OfferLoss::SessionEnded)]);
}

#[test]
fn an_idle_session_is_small() {
    let bytes = size_of::<Session>();
    assert!(bytes <= 184, "{bytes} bytes");
}
