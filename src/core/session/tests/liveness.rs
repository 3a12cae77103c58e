//! R9: signs of life within a server's budget.

use std::time::Duration;

use super::harness::{Gateway, POLICY, route};
use super::message::{self, Status, bytes};
use super::settled::{HERE, gateway, sent};
use crate::core::pacing::{Class, Liveness};
use crate::core::session::Polled;
use crate::ident::ServerId;
use crate::opamp::agent::AgentScan;
use crate::opamp::proto::AgentToServer;

/// An agent whose server knows it, and has not heard of it for an interval.
fn silent(liveness: Liveness) -> Gateway {
    let mut gateway = gateway();
    gateway.wait(POLICY.heartbeat_forward_interval);
    gateway.effects.enqueued.clear();
    gateway.liveness = liveness;
    gateway
}

fn heartbeat(gateway: &mut Gateway, number: u64) -> usize {
    gateway.agent_says(HERE, &bytes(&message::heartbeat(number)));
    sent(gateway).len()
}

#[test]
fn r9_what_does_not_fit_the_budget_waits_once() {
    let mut gateway = silent(Liveness::Waits);
    assert_eq!(heartbeat(&mut gateway, 1), 0);
    assert_eq!(heartbeat(&mut gateway, 2), 0);
    assert_eq!(gateway.effects.enqueued, [Class::Liveness]);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 1);
    assert_eq!(heartbeat(&mut gateway, 3), 0);
    assert_eq!(gateway.effects.enqueued, [Class::Liveness], "the server has just heard of it");
}

#[test]
fn r9_a_sign_of_life_is_not_sent_for_who_has_gone_or_was_heard_of() {
    let mut gateway = silent(Liveness::Waits);
    heartbeat(&mut gateway, 1);
    gateway.lost(HERE);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 0);
    let mut gateway = silent(Liveness::Waits);
    heartbeat(&mut gateway, 1);
    let changed = Status { health: Some(7), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&message::report(2, changed)));
    assert_eq!(sent(&mut gateway).len(), 1);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 0);
}

#[test]
fn r9_never_is_never_but_for_an_introduction() {
    let mut gateway = silent(Liveness::Never);
    assert_eq!(heartbeat(&mut gateway, 1), 0);
    assert!(gateway.effects.enqueued.is_empty());
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 1, "the agent is introduced");
    gateway.server_says(route(2), &bytes(&message::ack()));
    gateway.wait(POLICY.heartbeat_forward_interval);
    assert_eq!(heartbeat(&mut gateway, 2), 0);
}

#[test]
fn r9_polls_are_signs_of_life() {
    let mut gateway = silent(Liveness::Waits);
    gateway.link.is_polled = true;
    let poll = |gateway: &mut Gateway| {
        gateway.event(|session, moment, port| {
            session.poll_due(ServerId(0), Duration::from_secs(15), moment, port)
        })
    };
    assert_eq!(poll(&mut gateway), Polled::Due);
    assert_eq!(poll(&mut gateway), Polled::NotYet, "it waits already");
    assert_eq!(gateway.effects.enqueued, [Class::Liveness]);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 1);
    gateway.liveness = Liveness::Never;
    gateway.wait(Duration::from_secs(30));
    assert_eq!(poll(&mut gateway), Polled::NotYet);
}

#[test]
fn r9_an_agent_that_repeats_itself_is_alive() {
    let mut gateway = silent(Liveness::Fits);
    let again = |gateway: &mut Gateway, number| {
        gateway.agent_says(HERE, &bytes(&message::report(number, Status::FIRST)));
        sent(gateway)
    };
    let said = again(&mut gateway, 1);
    assert_eq!(said.len(), 1);
    assert!(AgentScan::parse(&bytes(&said[0])).unwrap().is_heartbeat(), "{said:?}");
    gateway.server_says(route(1), &bytes(&message::ack()));
    assert_eq!(again(&mut gateway, 2).len(), 0, "the server has just heard of it");
    gateway.liveness = Liveness::Waits;
    gateway.wait(POLICY.heartbeat_forward_interval);
    assert_eq!(again(&mut gateway, 3).len(), 0);
    gateway.permits();
    assert_eq!(sent(&mut gateway).len(), 1);
}

#[test]
fn r9_one_heartbeat_in_each_interval_goes_on() {
    let mut gateway = gateway();
    gateway.effects.to_server.clear();
    for number in 1..=13 {
        gateway.wait(Duration::from_secs(10));
        gateway.agent_says(HERE, &bytes(&message::heartbeat(number)));
    }
    assert_eq!(gateway.effects.to_server.len(), 2, "in 130 seconds");
    // One that introduces the agent, or says something new, goes on at once.
    gateway.link_down();
    gateway.link_up();
    gateway.agent_says(HERE, &bytes(&message::heartbeat(14)));
    assert_eq!(gateway.effects.to_server.len(), 1);
    let capabilities = message::CAPABILITIES | 0x2000;
    let changed = AgentToServer { capabilities, ..message::heartbeat(15) };
    gateway.agent_says(HERE, &bytes(&changed));
    assert_eq!(gateway.effects.to_server.len(), 2);
}
