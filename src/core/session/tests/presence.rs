//! R8 and R10: who is there, who is gone, and who is somebody else.

use std::time::Duration;

use super::harness::{Gateway, POLICY, UID, route};
use super::message::{self, Status, bytes};
use crate::core::pacing::Class;
use crate::core::session::{Arrival, EndReason, Expiry, Presence, Session, Turn};
use crate::ident::ConnectionId;

const fn connection(number: u64) -> ConnectionId {
    ConnectionId(number)
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(connection(1), &bytes(&message::report(0, Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.to_server.clear();
    gateway
}

#[test]
fn r8_a_lost_connection_lingers_and_the_server_is_told_nothing() {
    let mut gateway = gateway();
    gateway.lost(connection(1));
    gateway.wait(POLICY.grace_period - Duration::from_secs(1));
    gateway.turn();
    assert!(gateway.to_server.is_empty());
    gateway.agent_says(connection(2), &bytes(&message::heartbeat(1)));
    assert!(
        gateway.to_server.is_empty(),
        "an absence within the grace_period costs the server nothing"
    );
    assert!(gateway.session.unwrap().is_connected());
}

#[test]
fn r8_the_end_of_the_linger_is_told() {
    let mut gateway = gateway();
    gateway.lost(connection(1));
    gateway.wait(POLICY.grace_period);
    gateway.turn();
    assert_eq!(gateway.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_a_clean_disconnect_is_passed_on_at_once() {
    let mut gateway = gateway();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    assert_eq!(gateway.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_a_clean_disconnect_waits_for_a_link_that_is_down() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    assert_eq!(gateway.session.as_ref().unwrap().presence(), Presence::Disconnecting);
    gateway.link_up();
    gateway.turn();
    assert_eq!(gateway.to_server.len(), 1);
    assert!(gateway.session.is_none());
}

#[test]
fn r8_an_agent_that_returns_before_its_end_was_told_has_not_left() {
    let mut gateway = gateway();
    gateway.link_down();
    gateway.agent_says(connection(1), &bytes(&message::disconnect(1)));
    gateway.agent_says(connection(2), &bytes(&message::report(0, Status::FIRST)));
    gateway.link_up();
    gateway.turn();
    let disconnects =
        |bytes: &[u8]| crate::opamp::agent::AgentScan::parse(bytes).unwrap().disconnects();
    assert!(!gateway.to_server.iter().any(|(_, bytes)| disconnects(bytes)));
    assert!(gateway.session.unwrap().is_connected());
}

#[test]
fn r8_over_plain_http_the_absence_of_polls_is_the_loss() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.poll(now);
    assert_eq!(session.deadline(&POLICY), Some(now + POLICY.poll_timeout));
    let later = now + Duration::from_secs(30);
    session.poll(later);
    let until = later + POLICY.poll_timeout;
    assert_eq!(session.expire(now + POLICY.poll_timeout, None, &POLICY), Expiry::At(until));
    // The gateway itself may have told it to stay away, but not for ever.
    let told = until + Duration::from_secs(600);
    assert_eq!(session.expire(until, Some(told), &POLICY), Expiry::At(told));
    let (day, hour) = (until + Duration::from_secs(86_400), until + Duration::from_secs(3_600));
    let most = until + Duration::from_secs(1_800);
    assert_eq!(session.expire(until, Some(day), &POLICY), Expiry::At(most));
    assert_eq!(session.expire(until, None, &POLICY), Expiry::Ended(EndReason::PollExpired));
    assert_eq!(session.expire(hour, Some(day), &POLICY), Expiry::Never);
    assert_eq!(session.turn(Class::Urgent, route(1), false, until), Turn::Disconnect);
}

#[test]
fn r10_the_newest_wins_and_the_older_ones_end_changes_nothing() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    assert_eq!(session.arrive(connection(1), now), Arrival::Admitted);
    assert_eq!(session.arrive(connection(2), now), Arrival::Replaces(connection(1)));
    assert!(!session.lost(connection(1), now, &POLICY));
    assert_eq!(session.poll(now), Arrival::Replaces(connection(2)));
    assert!(!session.lost(connection(2), now, &POLICY));
    assert_eq!(session.arrive(connection(3), now), Arrival::Admitted);
}

#[test]
fn r10_repeated_ping_pong_between_two_live_ones_is_a_clone() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    session.arrive(connection(1), now);
    for number in 2..=3 {
        let replaced = session.arrive(connection(number), now);
        assert_eq!(replaced, Arrival::Replaces(connection(number - 1)));
        session.replaced_was_alive(now);
    }
    assert_eq!(session.arrive(connection(4), now), Arrival::Cloned);
    assert_eq!(session.presence(), Presence::Connected { connection: connection(3) });
    // Long after, nobody remembers.
    let later = now + Duration::from_secs(301);
    assert_eq!(session.arrive(connection(5), later), Arrival::Replaces(connection(3)));
}

#[test]
fn r10_stale_sockets_are_no_clones() {
    let now = crate::clock::now();
    let mut session = Session::new(UID, now);
    for number in 1..100 {
        assert_ne!(session.arrive(connection(number), now), Arrival::Cloned);
    }
}
