//! Agents over plain HTTP, whose replies may be lost, and with them what they were asked.

use super::harness::{Gateway, route};
use super::message::{self, Status, bytes};
use crate::core::session::FullState;
use crate::core::session::questions::ASK_AGAIN;
use crate::ident::ConnectionId;
use crate::opamp::field_set::FieldSet;
use std::time::{Duration, Instant};

/// What an agent says whose description and health have changed: some of what it has.
const SOME: Status = Status { description: Some(1), health: Some(1), config: None, remote: None };

fn says(gateway: &mut Gateway, number: u64, status: Status) {
    let report = bytes(&message::report(number, status));
    match gateway.session.as_ref().map(|session| session.attendance.is_connected()) {
        Some(true) => gateway.agent_says(ConnectionId(1), &report),
        _ => {
            gateway.request(&report);
            gateway.server_says(route(1), &bytes(&message::ack()));
        }
    }
}

/// An agent that is unknown, has said something, and has been asked for everything.
fn asked(now: Instant, polls: bool) -> Gateway {
    let mut gateway = Gateway::new(now);
    if !polls {
        gateway.opens(ConnectionId(1));
    }
    says(&mut gateway, 5, Status::default());
    gateway.permits();
    assert_eq!(gateway.full_state(), FullState::Asked(now));
    gateway
}

#[test]
fn an_answer_that_may_be_none_is_taken_and_asked_for_once_more() {
    let now = crate::clock::now();
    let mut gateway = asked(now, true);
    says(&mut gateway, 6, SOME);
    assert_eq!(gateway.full_state(), FullState::Reported);
    let later = now + ASK_AGAIN;
    gateway.now = later - Duration::from_millis(1);
    says(&mut gateway, 7, Status::default());
    assert_eq!(gateway.full_state(), FullState::Reported);
    gateway.now = later;
    says(&mut gateway, 8, Status::default());
    gateway.permits();
    assert_eq!(gateway.full_state(), FullState::Asked(later));
    // It has no more than that.
    says(&mut gateway, 9, SOME);
    gateway.now = later + ASK_AGAIN * 2;
    says(&mut gateway, 10, Status::default());
    assert_eq!(gateway.full_state(), FullState::Reported);
    gateway.event(|session, moment, _| session.heard(moment.now));
    assert!(gateway.session.unwrap().cold.is_none());
}

#[test]
fn an_answer_that_carries_all_is_believed() {
    let now = crate::clock::now();
    let mut gateway = asked(now, true);
    says(&mut gateway, 6, Status::FIRST);
    gateway.now = now + ASK_AGAIN;
    says(&mut gateway, 7, Status::default());
    assert_eq!(gateway.full_state(), FullState::Reported);
    assert!(gateway.session.unwrap().cold.is_none());
}

/// A question that is lost on a WebSocket is lost with its connection.
#[test]
fn on_a_websocket_every_answer_is_believed() {
    let now = crate::clock::now();
    let mut gateway = asked(now, false);
    says(&mut gateway, 6, SOME);
    gateway.now = now + ASK_AGAIN;
    says(&mut gateway, 7, Status::default());
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn a_message_that_comes_again_has_not_answered_what_was_asked_in_its_reply() {
    let mut gateway = Gateway::new(crate::clock::now());
    says(&mut gateway, 5, SOME);
    gateway.permits();
    gateway.request(&bytes(&message::heartbeat(6)));
    let lost = gateway.effects.answers.pop_back().unwrap();
    assert!(lost.ends_with(&[0x30, 1]) || lost.len() > 18, "the question is in it: {lost:?}");
    gateway.request(&bytes(&message::heartbeat(6)));
    assert_eq!(gateway.full_state(), FullState::Wanted);
    // A lost question is asked again, and that is all that follows from it.
    assert_eq!(gateway.info().server_lacks, FieldSet::EMPTY);
}
