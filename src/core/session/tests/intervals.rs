//! R8 and R9 by the intervals that agent and server have agreed upon, and R4: a server that asks in calm.

use std::time::Duration;

use prost::Message;

use super::harness::{Gateway, POLICY, route};
use super::message::{self, Status, bytes};
use super::settled::{HERE, full, gateway, sent};
use crate::core::session::{EndReason, FullState, Note, succeed};
use crate::opamp::proto::{ConnectionSettingsOffers, OpAmpConnectionSettings, ServerToAgent};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn offers_interval(seconds: u64) -> Vec<u8> {
    let opamp =
        OpAmpConnectionSettings { heartbeat_interval_seconds: seconds, ..Default::default() };
    let settings = ConnectionSettingsOffers { opamp: Some(opamp), ..Default::default() };
    bytes(&ServerToAgent { connection_settings: Some(settings), ..message::ack() })
}

fn polls(gateway: &mut Gateway, number: u64) {
    gateway.request(&bytes(&message::heartbeat(number)));
}

fn is_gone(gateway: &Gateway) -> bool {
    gateway.effects.notes.contains(&Note::Ended(EndReason::PollExpired))
}

fn polling() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.request(&full(0));
    gateway
}

#[test]
fn r8_an_agent_that_polls_as_it_was_told_is_there() {
    let mut gateway = polling();
    gateway.server_says(route(1), &offers_interval(150));
    for number in 1..4 {
        gateway.wait(seconds(150));
        assert!(!is_gone(&gateway));
        polls(&mut gateway, number);
        gateway.server_says(route(1), &bytes(&message::ack()));
    }
    gateway.wait(seconds(449));
    assert!(!is_gone(&gateway));
    gateway.wait(seconds(1));
    assert!(is_gone(&gateway), "it has missed three");
}

#[test]
fn r8_an_agent_that_polls_seldom_is_known_by_its_own_interval() {
    let mut gateway = polling();
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.wait(seconds(80));
    polls(&mut gateway, 1);
    // A report between two polls says nothing of the interval.
    gateway.request(&bytes(&message::report(2, Status { health: Some(5), ..Status::default() })));
    gateway.wait(POLICY.poll_timeout);
    assert!(!is_gone(&gateway));
    gateway.wait(seconds(60));
    assert!(is_gone(&gateway));
    // Its next session begins with what this one has found out.
    gateway.permits();
    let farewell = gateway.effects.farewell.unwrap();
    assert_eq!(farewell.rhythm.observed_s, 150);
    gateway.effects.notes.clear();
    gateway.now += seconds(20);
    gateway.request_opens();
    gateway.event(|session, moment, _| succeed(session, farewell, moment.now));
    gateway.request_says(&full(3));
    gateway.wait(seconds(339));
    assert!(!is_gone(&gateway));
    gateway.wait(seconds(1));
    assert!(is_gone(&gateway));
}

#[test]
fn r9_a_server_hears_of_an_agent_as_often_as_it_has_asked_for() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &offers_interval(20));
    let mut heard = 0;
    for number in 1..=10 {
        // A little early, as timers are.
        gateway.wait(Duration::from_millis(19_900));
        gateway.agent_says(HERE, &bytes(&message::heartbeat(number)));
        gateway.server_says(route(1), &bytes(&message::ack()));
        heard += sent(&mut gateway).len();
    }
    assert_eq!(heard, 10);
}

#[test]
fn an_interval_outlives_the_move_to_another_home() {
    use super::harness::moved_from;
    use crate::core::ownership::NodeIncarnation;
    use crate::core::server::Keying;
    use crate::core::session::{Peer, silence_max};
    let mut gateway = polling();
    gateway.server_says(route(1), &offers_interval(150));
    let from = Peer::of(NodeIncarnation::new(9).unwrap());
    gateway.moves(&moved_from(from, Keying::Uid));
    assert_eq!(silence_max(gateway.session.as_ref().unwrap(), &POLICY), seconds(450));
}

/// Questions to the agent since the last look, and whole states to the server.
fn asked_and_told(gateway: &mut Gateway) -> (usize, usize) {
    gateway.permits();
    let flags = gateway
        .effects
        .to_agent
        .drain(..)
        .map(|message| ServerToAgent::decode(&message.bytes[..]).unwrap().flags);
    let asked = flags.filter(|flags| *flags == 1).count();
    let told = sent(gateway).iter().filter(|it| message::status(it).is_complete()).count();
    (asked, told)
}

fn asks(gateway: &mut Gateway) -> (usize, usize) {
    gateway.server_says(route(1), &bytes(&message::ask()));
    asked_and_told(gateway)
}

fn acknowledges(gateway: &mut Gateway) {
    gateway.server_says(route(1), &bytes(&message::ack()));
}

#[test]
fn r4_a_question_of_a_server_that_was_content_goes_to_the_agent_once_in_a_while() {
    let mut gateway = gateway();
    assert_eq!(asks(&mut gateway), (1, 1), "the store answers, and the agent is asked");
    acknowledges(&mut gateway);
    let changed = Status { config: Some(2), ..Status::FIRST };
    gateway.agent_says(HERE, &bytes(&message::report(1, changed)));
    let news = message::status(&sent(&mut gateway)[0]);
    assert_eq!(news, Status { config: Some(2), ..Status::default() }, "what is true");
    assert_eq!(gateway.full_state(), FullState::Reported);
    acknowledges(&mut gateway);
    for _ in 0..3 {
        assert_eq!(asks(&mut gateway), (0, 1), "it was asked just now");
        acknowledges(&mut gateway);
    }
    gateway.wait(seconds(300));
    assert_eq!(asks(&mut gateway), (1, 1));
}

#[test]
fn r4_in_a_storm_the_store_answers_alone() {
    let mut gateway = gateway();
    gateway.passes_questions = false;
    assert_eq!(asks(&mut gateway), (0, 1));
    gateway.passes_questions = true;
    acknowledges(&mut gateway);
    assert_eq!(asks(&mut gateway), (1, 1));
}

#[test]
fn r4_a_server_that_has_lost_its_link_or_was_never_content_gets_what_is_stored() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    sent(&mut gateway);
    gateway.server_says(route(2), &bytes(&message::ask()));
    assert_eq!(asked_and_told(&mut gateway), (0, 1));
    gateway.server_says(route(2), &bytes(&message::ask()));
    let health = Status { health: Some(9), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&message::report(1, health)));
    sent(&mut gateway);
    gateway.server_says(route(2), &bytes(&message::ask()));
    assert_eq!(asked_and_told(&mut gateway).0, 0, "it asks on every reply");
}
