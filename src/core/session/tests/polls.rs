//! Servers that speak only when they are asked: one request that says nothing is under way for an agent at a time.

use std::time::Duration;

use super::harness::{Gateway, POLICY, all_of, moved_from, route};
use super::message::{self, Status, bytes};
use super::settled::{HERE, gateway, sent};
use crate::core::ownership::NodeIncarnation;
use crate::core::server::Keying;
use crate::core::session::{Peer, Polled, Route};
use crate::ident::ServerId;

const CHANGED: Status = Status { health: Some(7), description: None, config: None, remote: None };
const CHANGED_AGAIN: Status = Status { health: Some(8), ..CHANGED };

fn polled() -> Gateway {
    let mut gateway = gateway();
    gateway.link.is_polled = true;
    gateway
}

fn poll(gateway: &mut Gateway) -> Polled {
    gateway
        .event(|session, moment, port| session.poll_due(ServerId(0), Duration::ZERO, moment, port))
}

fn says(gateway: &mut Gateway, number: u64, status: Status) {
    gateway.agent_says(HERE, &bytes(&message::report(number, status)));
}

fn answers(gateway: &mut Gateway) {
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.permits();
}

/// How many messages have gone to the server, and the numbers of those that say nothing.
fn went(gateway: &mut Gateway) -> (usize, Vec<u64>) {
    let sent = sent(gateway);
    let polls = sent.iter().filter(|it| message::status(it) == Status::default());
    let polls = polls.map(|poll| poll.sequence_num).collect();
    (sent.len(), polls)
}

#[test]
fn a_poll_waits_for_the_answer_to_another_message() {
    let mut gateway = polled();
    says(&mut gateway, 1, CHANGED);
    assert_eq!(went(&mut gateway), (1, vec![]));
    assert_eq!(poll(&mut gateway), Polled::Due);
    gateway.permits();
    assert_eq!(poll(&mut gateway), Polled::NotYet, "it waits already");
    gateway.permits();
    assert_eq!(went(&mut gateway), (0, vec![]));
    answers(&mut gateway);
    assert_eq!(went(&mut gateway), (1, vec![2]));
    answers(&mut gateway);
    assert_eq!(went(&mut gateway), (0, vec![]), "once");
}

#[test]
fn however_slow_the_server_one_poll_is_under_way() {
    let mut gateway = polled();
    for round in 1..=50_u64 {
        poll(&mut gateway);
        gateway.permits();
        gateway.agent_says(HERE, &bytes(&message::heartbeat(round)));
        gateway.permits();
        gateway.wait(POLICY.heartbeat_forward_interval);
    }
    assert_eq!(went(&mut gateway), (1, vec![1]));
    answers(&mut gateway);
    assert_eq!(went(&mut gateway), (1, vec![2]), "and the next one after it");
}

#[test]
fn a_report_goes_before_a_poll_that_waits_and_in_its_place() {
    let mut gateway = polled();
    says(&mut gateway, 1, CHANGED);
    assert_eq!(poll(&mut gateway), Polled::Due);
    says(&mut gateway, 2, CHANGED_AGAIN);
    gateway.permits();
    assert_eq!(went(&mut gateway), (2, vec![]), "what says something goes at once");
    answers(&mut gateway);
    answers(&mut gateway);
    assert_eq!(went(&mut gateway), (0, vec![]), "its answer brought what a poll would have");
}

#[test]
fn what_is_lost_is_waited_for_no_longer() {
    let mut gateway = polled();
    poll(&mut gateway);
    gateway.permits();
    assert_eq!(went(&mut gateway), (1, vec![1]));
    assert_eq!(poll(&mut gateway), Polled::Due);
    gateway.message_lost(route(1)).unwrap();
    gateway.permits();
    assert_eq!(went(&mut gateway), (1, vec![2]));
    // The channel is down, and up again: its queue is gone, and the agent is introduced.
    assert_eq!(poll(&mut gateway), Polled::Due);
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(went(&mut gateway), (1, vec![3]));
}

/// Polls are sent by one home at a time.
#[test]
fn a_poll_waits_for_what_is_under_way_at_the_former_home() {
    let home = Peer::of(NodeIncarnation::new(5).unwrap());
    let answered = |gateway: &mut Gateway| {
        let own = route(1);
        let from = Route::of_peer(home, own.link, own.incarnation);
        gateway.server_says(from, &bytes(&message::ack()));
    };
    let ends: [&dyn Fn(&mut Gateway); 2] =
        [&answered, &|gateway| gateway.wait(Duration::from_secs(30))];
    for end in ends {
        let mut gateway = polled();
        poll(&mut gateway);
        gateway.permits();
        assert_eq!(went(&mut gateway), (1, vec![1]));
        gateway.moves(&moved_from(home, Keying::Uid));
        poll(&mut gateway);
        gateway.permits();
        assert_eq!(went(&mut gateway), (0, vec![]));
        end(&mut gateway);
        gateway.permits();
        assert_eq!(went(&mut gateway), (1, vec![2]));
    }
}

/// What it remembers rests on no link.
#[test]
fn a_server_that_is_polled_hears_nothing_of_the_end_of_a_former_home() {
    let home = Peer::of(NodeIncarnation::new(5).unwrap());
    let mut gateway = polled();
    gateway.moves(&moved_from(home, Keying::Uid));
    gateway.former_link_ended(all_of(home));
    gateway.permits();
    assert_eq!(went(&mut gateway), (0, vec![]));
    says(&mut gateway, 1, CHANGED);
    assert_eq!(sent(&mut gateway)[0].sequence_num, 1, "the numbers go on");
}
