//! R6, R7 and R11: what happens when there is no room for what waits, towards servers and towards agents.

use super::harness::{Gateway, POLICY, route};
use super::message::{self, Status, bytes};
use crate::core::session::{
    CustomLoss, EndReason, Note, OfferLoss, Presence, evict_offers, give_way, keeps_message,
};
use crate::ident::ConnectionId;
use crate::opamp::agent::AgentScan;
use crate::opamp::proto::{AgentToServer, ServerErrorResponseType, ServerToAgent};
use prost::Message;

const HERE: ConnectionId = ConnectionId(1);
const THERE: ConnectionId = ConnectionId(2);

/// An agent whose server has all of it.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &bytes(&message::report(0, Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_server.clear();
    gateway.effects.to_agent.clear();
    gateway
}

fn upstream(gateway: &mut Gateway) -> Vec<AgentToServer> {
    let sent = gateway.effects.to_server.drain(..);
    sent.map(|(_, bytes)| AgentToServer::decode(&bytes[..]).unwrap()).collect()
}

fn to_agent(gateway: &mut Gateway) -> Vec<ServerToAgent> {
    let sent = gateway.effects.to_agent.drain(..);
    sent.map(|sent| ServerToAgent::decode(&sent.bytes[..]).unwrap()).collect()
}

fn custom_data(messages: &[AgentToServer]) -> Vec<Vec<u8>> {
    let custom = messages.iter().filter_map(|message| message.custom_message.as_ref());
    custom.map(|custom| custom.data.clone()).collect()
}

fn says_custom(gateway: &mut Gateway, number: u64) {
    let data = u32::try_from(number).unwrap();
    gateway.agent_says(HERE, &bytes(&message::custom(number, data)));
}

fn one_shots(gateway: &Gateway) -> usize {
    let cold = gateway.session.as_ref().unwrap().cold.as_ref();
    cold.map_or(0, |cold| cold.one_shots.len())
}

#[test]
fn one_shot_fields_keep_their_order_and_their_bound() {
    let mut gateway = gateway();
    gateway.link_down();
    for number in 1..=10 {
        says_custom(&mut gateway, number);
    }
    assert_eq!(one_shots(&gateway), 2 * POLICY.one_shots_max);
    gateway.link_up();
    gateway.session.as_mut().unwrap().cold_mut().one_shots = Default::default();
    for data in 0..3 {
        gateway.has_time = data > 0;
        // The server has time again, but what waited goes first all the same.
        gateway.agent_says(HERE, &bytes(&message::custom(u64::from(data) + 11, data)));
    }
    gateway.permits();
    assert_eq!(custom_data(&upstream(&mut gateway)), [b"0", b"1", b"2"]);
    assert_eq!((one_shots(&gateway), gateway.session.unwrap().figures().server_bytes), (0, 0));
}

#[test]
fn r6_an_agent_is_read_no_further_while_its_custom_messages_wait_and_none_is_lost() {
    let mut gateway = gateway();
    gateway.has_time = false;
    let max = POLICY.one_shots_max as u64;
    for number in 1..=max {
        assert!(!gateway.effects.held_back, "{number}");
        says_custom(&mut gateway, number);
    }
    assert!(gateway.effects.held_back);
    let scan = bytes(&message::custom(9, 9));
    let scan = AgentScan::parse(&scan).unwrap();
    assert!(keeps_message(gateway.session.as_ref().unwrap(), &scan), "over plain HTTP");
    // What its front had under way.
    for number in max + 1..=2 * max {
        says_custom(&mut gateway, number);
    }
    let replies = to_agent(&mut gateway);
    assert!(replies.iter().all(|reply| reply.error_response.is_none()), "{replies:?}");
    gateway.permits();
    assert!(!gateway.effects.held_back);
    let sent = custom_data(&upstream(&mut gateway));
    assert_eq!(sent.len() as u64, 2 * max, "and in their order");
    assert!(sent.is_sorted());
    let session = gateway.session.as_ref().unwrap();
    assert!(!keeps_message(session, &scan));
}

#[test]
fn r6_a_custom_message_that_finds_no_room_is_not_acknowledged() {
    let mut gateway = gateway();
    gateway.has_time = false;
    let max = 2 * POLICY.one_shots_max as u64;
    for number in 1..=max {
        says_custom(&mut gateway, number);
    }
    gateway.effects.to_agent.clear();
    gateway.effects.notes.clear();
    says_custom(&mut gateway, max + 1);
    let told = to_agent(&mut gateway);
    let error = told[0].error_response.as_ref().unwrap();
    assert_eq!((told.len(), error.r#type), (1, ServerErrorResponseType::Unavailable as i32));
    assert!(error.error_message.contains("dropped") && error.details.is_some(), "{error:?}");
    assert!(gateway.effects.notes.contains(&Note::CustomDropped(CustomLoss::OverBudget)));
    gateway.request(&bytes(&message::custom(max + 2, 1)));
    let answer = ServerToAgent::decode(&gateway.effects.answers.pop_back().unwrap()[..]).unwrap();
    assert!(answer.error_response.is_some(), "the same over plain HTTP");
    assert!(gateway.effects.answers.is_empty(), "one answer");
}

/// Its state, which shows what the agent lacks.
fn is_told_all(gateway: &mut Gateway) -> bool {
    gateway.permits();
    let told = upstream(gateway).iter().any(|message| message::status(message).is_complete());
    gateway.server_says(route(1), &bytes(&message::ack()));
    told
}

#[test]
fn r7_offers_that_gave_way_are_offered_again_once_their_agent_is_back() {
    for restores in [false, true] {
        let mut gateway = gateway();
        gateway.lost(HERE);
        gateway.server_says(route(1), &bytes(&message::offer(1)));
        gateway.event(evict_offers);
        gateway.event(evict_offers);
        let evicted = Note::OfferDropped(OfferLoss::Evicted);
        let times = gateway.effects.notes.iter().filter(|note| **note == evicted).count();
        assert_eq!((times, gateway.info().waiting_bytes), (1, 0));
        assert!(!is_told_all(&mut gateway), "the server would offer the same at once");
        gateway.restores = restores;
        gateway.agent_says(THERE, &bytes(&message::heartbeat(1)));
        assert!(is_told_all(&mut gateway));
        gateway.agent_says(THERE, &bytes(&message::heartbeat(2)));
        assert!(!is_told_all(&mut gateway), "once");
    }
}

#[test]
fn r7_an_agent_that_is_there_keeps_its_offers() {
    let mut gateway = gateway();
    gateway.request(&bytes(&message::heartbeat(1)));
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.event(evict_offers);
    assert!(gateway.info().waiting_bytes > 0);
}

#[test]
fn r11_a_message_without_room_closes_nothing_and_is_offered_again_once_there_is_room() {
    let mut gateway = gateway();
    gateway.free_for_agents = 10;
    gateway.agent_says(
        HERE,
        &bytes(&message::report(1, Status { health: Some(7), ..Status::default() })),
    );
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let told = to_agent(&mut gateway);
    assert_eq!(told.len(), 1, "the reply");
    assert_eq!(told[0].remote_config, None);
    gateway.server_says(route(1), &bytes(&message::offer(2)));
    assert!(to_agent(&mut gateway).is_empty());
    let no_room = Note::OfferDropped(OfferLoss::NoRoom);
    assert_eq!(gateway.effects.notes.iter().filter(|note| **note == no_room).count(), 2);
    gateway.agent_says(HERE, &bytes(&message::heartbeat(2)));
    assert!(!is_told_all(&mut gateway), "there is no room yet");
    gateway.free_for_agents = usize::MAX;
    gateway.agent_says(HERE, &bytes(&message::heartbeat(3)));
    assert!(is_told_all(&mut gateway));
    assert!(matches!(gateway.info().presence, Presence::Connected { .. }));
}

#[test]
fn r11_an_absent_agent_gives_its_place_to_a_newcomer_if_its_server_can_be_told() {
    let gives = |gateway: &mut Gateway| gateway.event(give_way);
    let mut there = gateway();
    assert!(!gives(&mut there), "it is there");
    let mut gateway = gateway();
    gateway.lost(HERE);
    gateway.link.is_up = false;
    assert!(!gives(&mut gateway), "the server could not be told");
    gateway.link.is_up = true;
    assert!(gives(&mut gateway));
    let told = upstream(&mut gateway);
    assert!(told.len() == 1 && told[0].agent_disconnect.is_some(), "{told:?}");
    assert!(gateway.session.is_none() && gateway.effects.farewell.is_some());
    assert!(gateway.effects.notes.contains(&Note::Ended(EndReason::GaveWay)));
}
