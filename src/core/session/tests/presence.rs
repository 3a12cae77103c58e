//! R8 and R10: agents that are there, agents that are gone, and two agents with one uid.

use std::time::Duration;

use super::harness::{Gateway, POLICY, route};
use super::message::{self, Status, bytes};
use crate::core::session::{EndReason, Note, Opened, Presence};
use crate::ident::ConnectionId;
use crate::opamp::agent::AgentScan;

const fn connection(number: u64) -> ConnectionId {
    ConnectionId(number)
}

fn is_connected(gateway: &Gateway) -> bool {
    matches!(gateway.info().presence, Presence::Connected { .. })
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(connection(1), &bytes(&message::report(0, Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_server.clear();
    gateway
}

#[test]
fn r8_a_lost_connection_leaves_an_absent_agent_and_the_server_hears_nothing() {
    let mut gateway = gateway();
    gateway.lost(connection(1));
    gateway.wait(POLICY.grace_period - Duration::from_secs(1));
    gateway.permits();
    assert!(gateway.effects.to_server.is_empty());
    gateway.agent_says(connection(2), &bytes(&message::heartbeat(1)));
    assert!(
        gateway.effects.to_server.is_empty(),
        "an absence within the grace_period costs the server nothing"
    );
    assert!(is_connected(&gateway));
}

#[test]
fn r8_the_end_of_the_grace_period_is_told() {
    let mut gateway = gateway();
    gateway.lost(connection(1));
    gateway.wait(POLICY.grace_period);
    gateway.permits();
    assert_eq!(gateway.effects.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_a_clean_disconnect_is_passed_on_at_once() {
    let mut gateway = gateway();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    assert_eq!(gateway.effects.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_a_clean_disconnect_waits_for_a_link_that_is_down() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    assert_eq!(gateway.info().presence, Presence::Disconnecting);
    gateway.link_up();
    gateway.permits();
    assert_eq!(gateway.effects.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_an_agent_that_returns_before_its_end_was_told_has_not_left() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    gateway.agent_says(connection(2), &bytes(&message::report(0, Status::FIRST)));
    gateway.link_up();
    gateway.permits();
    let disconnects =
        |bytes: &[u8]| crate::opamp::agent::AgentScan::parse(bytes).unwrap().disconnects();
    assert!(!gateway.effects.to_server.iter().any(|(_, bytes)| disconnects(bytes)));
    assert!(is_connected(&gateway));
}

#[test]
fn r8_over_plain_http_the_absence_of_polls_is_the_loss() {
    let start = crate::clock::now();
    let mut gateway = Gateway::new(start);
    gateway.request(&bytes(&message::report(0, Status::FIRST)));
    assert_eq!(gateway.effects.deadline, Some(start + POLICY.poll_timeout));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.now += Duration::from_secs(30);
    gateway.request(&bytes(&message::heartbeat(1)));
    let until = gateway.now + POLICY.poll_timeout;
    gateway.now = start + POLICY.poll_timeout;
    gateway.look(None);
    assert_eq!(gateway.effects.deadline, Some(until), "it was heard since");
    // The gateway itself may have told it to stay away, within limits.
    gateway.now = until;
    let told = until + Duration::from_secs(600);
    gateway.look(Some(told));
    assert_eq!(gateway.effects.deadline, Some(told));
    let (day, most) = (until + Duration::from_secs(86_400), until + Duration::from_secs(1_800));
    gateway.look(Some(day));
    assert_eq!(gateway.effects.deadline, Some(most));
    gateway.look(None);
    assert!(gateway.effects.notes.contains(&Note::Ended(EndReason::PollExpired)));
    gateway.effects.to_server.clear();
    gateway.look(Some(day));
    assert_eq!(gateway.effects.deadline, None);
    gateway.permits();
    let (_, goodbye) = gateway.effects.to_server.pop_front().unwrap();
    assert!(AgentScan::parse(&goodbye).unwrap().disconnects());
}

#[test]
fn r10_the_newest_wins_and_the_older_ones_end_changes_nothing() {
    let mut gateway = Gateway::new(crate::clock::now());
    let replaced = |gateway: &mut Gateway| {
        std::mem::take(&mut gateway.effects.notes).contains(&Note::ConnectionReplaced)
    };
    gateway.opens(connection(1));
    assert!(!replaced(&mut gateway));
    gateway.opens(connection(2));
    assert!(replaced(&mut gateway));
    gateway.lost(connection(1));
    assert_eq!(gateway.info().presence, Presence::Connected { connection: connection(2) });
    gateway.request(&bytes(&message::heartbeat(0)));
    assert!(replaced(&mut gateway));
    gateway.lost(connection(2));
    assert!(matches!(gateway.info().presence, Presence::Polling { .. }));
    gateway.opens(connection(3));
    assert!(!replaced(&mut gateway));
}

#[test]
fn r10_repeated_ping_pong_between_two_live_ones_is_a_clone() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.opens(connection(1));
    for number in 2..=3 {
        assert_eq!(gateway.opens(connection(number)), Opened::Admitted);
        gateway.event(|session, moment, _| session.replaced_was_alive(moment));
    }
    assert_eq!(gateway.opens(connection(4)), Opened::Cloned);
    assert_eq!(gateway.info().presence, Presence::Connected { connection: connection(3) });
    // Long after, it is forgotten.
    gateway.now += Duration::from_secs(301);
    assert_eq!(gateway.opens(connection(5)), Opened::Admitted);
}

#[test]
fn r10_stale_sockets_are_no_clones() {
    let mut gateway = Gateway::new(crate::clock::now());
    for number in 1..100 {
        assert_eq!(gateway.opens(connection(number)), Opened::Admitted);
    }
}
