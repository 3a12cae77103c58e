//! What a session does for an agent whose connection ends at a front.

use std::time::Duration;

use super::harness::{Gateway, POLICY, UID, route};
use super::message::{self, bytes};
use super::settled::{HERE, full, gateway, sent};
use crate::core::session::{EndReason, FullState, Note, Presence, told_parts};
use crate::ident::{ConnectionId, SequenceNum};
use crate::opamp::field_set::{FieldSet, agent_field};

const HEALTH: FieldSet = FieldSet::of(&[agent_field::HEALTH]);

#[test]
fn numbers_of_answered_heartbeats_are_no_gap() {
    let mut gateway = gateway();
    gateway.front_answered(5);
    gateway.front_answered(4);
    gateway.agent_says(HERE, &bytes(&message::heartbeat(6)));
    assert_eq!(gateway.full_state(), FullState::Reported);
    assert!(!gateway.effects.notes.iter().any(|note| matches!(note, Note::Gap { .. })));
    let replies = gateway.effects.to_agent.iter().filter(|message| message.is_reply).count();
    assert_eq!(replies, 1, "the front has answered the others");
}

#[test]
fn r9_one_heartbeat_in_each_interval_goes_on() {
    let mut gateway = gateway();
    gateway.front_answered(1);
    assert_eq!(sent(&mut gateway), []);
    gateway.wait(POLICY.heartbeat_forward_interval);
    gateway.front_answered(3);
    gateway.front_answered(4);
    let sent = sent(&mut gateway);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].sequence_num, sent[0].health.is_some()), (1, false));
    let forwarded =
        gateway.effects.notes.iter().filter(|note| **note == Note::Heartbeat { forwarded: true });
    assert_eq!(forwarded.count(), 1);
}

#[test]
fn a_heartbeat_introduces_the_agent_to_a_new_incarnation_or_waits_for_a_permit() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.link.is_up = true;
    gateway.front_answered(1);
    assert_eq!(sent(&mut gateway).len(), 1);
    gateway.link_down();
    gateway.link.is_up = true;
    gateway.has_time = false;
    gateway.front_answered(2);
    assert_eq!(sent(&mut gateway), []);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 1);
}

#[test]
fn an_agent_of_which_heartbeats_alone_are_known_is_asked_and_not_introduced() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.opens(HERE);
    gateway.front_answered(40);
    assert_eq!((sent(&mut gateway), gateway.full_state()), (vec![], FullState::Wanted));
    gateway.permits();
    assert_eq!(gateway.effects.to_agent.len(), 1);
    gateway.agent_says(HERE, &full(41));
    let sent = sent(&mut gateway);
    assert!(message::status(&sent[0]).is_complete() && sent[0].sequence_num == 40);
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn what_waits_for_the_agent_goes_when_its_heartbeats_come() {
    let mut gateway = gateway();
    gateway.lost(HERE);
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.opens(ConnectionId(2));
    gateway.front_answered(1);
    assert_eq!(gateway.effects.to_agent.len(), 1);
}

#[test]
fn r6_a_loss_makes_the_agent_be_asked() {
    let mut gateway = gateway();
    gateway.front_missed();
    assert_eq!(gateway.full_state(), FullState::Wanted);
    assert!(gateway.effects.notes.contains(&Note::Missed));
    gateway.lost(HERE);
    gateway.permits();
    assert_eq!(gateway.effects.to_agent.len(), 0, "it is away");
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    gateway.permits();
    gateway.agent_says(ConnectionId(2), &full(2));
    assert_eq!(gateway.full_state(), FullState::Reported);
}

#[test]
fn what_is_in_doubt_is_told_again() {
    let mut gateway = gateway();
    gateway.event(|session, moment, port| session.at_front().tell_again(HEALTH, moment, port));
    gateway.permits();
    let told = sent(&mut gateway);
    assert_eq!(told.len(), 1);
    let status = message::status(&told[0]);
    assert!(status.health.is_some() && status.description.is_none());
    gateway.event(|session, moment, port| {
        session.at_front().tell_again(FieldSet::of(&agent_field::STATE_PARTS), moment, port);
    });
    gateway.permits();
    assert!(message::status(&sent(&mut gateway)[0]).is_complete());
}

#[test]
fn a_session_that_goes_to_another_home_says_nothing_here() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::custom(1, 1)));
    gateway.effects = Default::default();
    gateway.lost(HERE);
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    gateway.effects = Default::default();
    let mut session = gateway.session.take().unwrap();
    session.at_front().released(&mut gateway);
    assert_eq!(session.figures().presence, Presence::Gone);
    assert_eq!((session.figures().agent_bytes, session.figures().server_bytes), (0, 0));
    assert_eq!(gateway.effects.notes, [Note::Ended(EndReason::Moved)]);
    assert!(gateway.effects.to_server.is_empty() && gateway.effects.to_agent.is_empty());
    gateway.wait(Duration::from_secs(1));
    assert_eq!(session.uid(), UID);
}

#[test]
fn the_bytes_of_what_the_server_has_are_not_needed_but_for_a_new_process() {
    let gateway = gateway();
    let session = gateway.session.as_ref().unwrap();
    let told =
        |number, incarnation| told_parts(session, SequenceNum(number), Some(route(incarnation)));
    assert!(told(1, 1).contains(agent_field::HEALTH) && told(9, 1).contains(agent_field::HEALTH));
    assert_eq!((told(0, 1), told(1, 2)), (FieldSet::EMPTY, FieldSet::EMPTY));
}
