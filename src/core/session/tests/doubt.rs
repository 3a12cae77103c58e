//! Agents over plain HTTP, whose replies may be lost, and with them what they were asked.

use std::time::{Duration, Instant};

use super::harness::{POLICY, UID, route};
use super::message::{self, Status, bytes};
use crate::core::pacing::Class;
use crate::core::session::full_state::ASK_AGAIN;
use crate::core::session::{FullState, Session, Turn};
use crate::ident::ConnectionId;
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::FieldSet;
use crate::opamp::offers::OffersLimits;
use crate::opamp::server::ServerScan;
use crate::opamp::splice::Additions;

/// What an agent says whose description and health have changed: not all that it has.
const SOME: Status = Status { description: Some(1), health: Some(1), config: None, remote: None };

fn says(session: &mut Session, number: u64, status: Status, now: Instant) {
    let report = bytes(&message::report(number, status));
    session.report(&AgentScan::parse(&report).unwrap(), Some(route(1)), now, &POLICY);
}

/// An agent that is not known, has said something, and has been asked for everything.
fn asked(now: Instant, polls: bool) -> Session {
    let mut session = Session::new(UID, now);
    if polls {
        session.poll(now)
    } else {
        session.arrive(ConnectionId(1), now)
    };
    says(&mut session, 5, Status::default(), now);
    assert_eq!(session.turn(Class::Ask, route(1), false, now), Turn::AskAgent(1));
    session
}

#[test]
fn an_answer_that_may_be_none_is_taken_and_asked_for_once_more() {
    let now = crate::clock::now();
    let mut session = asked(now, true);
    says(&mut session, 6, SOME, now);
    assert_eq!(session.full_state(), FullState::Reported);
    let later = now + ASK_AGAIN;
    says(&mut session, 7, Status::default(), later - Duration::from_millis(1));
    assert_eq!(session.full_state(), FullState::Reported);
    session.tidy(later);
    says(&mut session, 8, Status::default(), later);
    assert_eq!(session.turn(Class::Ask, route(1), false, later), Turn::AskAgent(1));
    // It has no more than that.
    says(&mut session, 9, SOME, later);
    says(&mut session, 10, Status::default(), later + ASK_AGAIN * 2);
    assert_eq!(session.full_state(), FullState::Reported);
    session.tidy(later);
    assert!(session.rare.is_none());
}

#[test]
fn an_answer_that_carries_all_is_believed() {
    let now = crate::clock::now();
    let mut session = asked(now, true);
    says(&mut session, 6, Status::FIRST, now);
    says(&mut session, 7, Status::default(), now + ASK_AGAIN);
    assert_eq!(session.full_state(), FullState::Reported);
    assert!(session.rare.is_none());
}

/// Whoever is on a WebSocket and has lost the question has lost its connection.
#[test]
fn on_a_websocket_every_answer_is_believed() {
    let now = crate::clock::now();
    let mut session = asked(now, false);
    says(&mut session, 6, SOME, now);
    says(&mut session, 7, Status::default(), now + ASK_AGAIN);
    assert_eq!(session.full_state(), FullState::Reported);
}

#[test]
fn a_message_that_comes_again_has_not_answered_what_was_asked_in_its_reply() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.poll(now);
    says(&mut session, 5, SOME, now);
    assert_eq!(session.turn(Class::Ask, route(1), false, now), Turn::AskAgent(1));
    let ask = bytes(&message::ask());
    let limits = OffersLimits { bytes_max: 100, custom_messages_max: 1 };
    session.keep_offer(&ServerScan::parse(&ask).unwrap(), limits);
    session.take_offer(&Additions::default(), now, &mut Vec::new());
    says(&mut session, 5, SOME, now);
    assert_eq!(session.full_state(), FullState::Wanted);
    // A lost question is asked again, and nothing else has to be said because of it.
    assert_eq!(session.owed_parts(), FieldSet::EMPTY);
}
