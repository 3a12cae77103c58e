//! Custom messages that are states: what their kind spares the server, and what brings them through.

use super::harness::{Gateway, route};
use super::message::{self, bytes};
use super::settled::{HERE, gateway, sent};
use crate::core::session::{CustomKind, CustomLoss, Note};
use crate::opamp::proto::{AgentToServer, CustomMessage};

fn status(number: u64, capability: &str, data: u8) -> AgentToServer {
    let capability = capability.to_owned();
    let custom = CustomMessage { capability, r#type: "t".to_owned(), data: vec![data] };
    AgentToServer { custom_message: Some(custom), ..message::heartbeat(number) }
}

fn of_kind(kind: CustomKind) -> Gateway {
    let mut gateway = gateway();
    gateway.custom_kind = kind;
    gateway
}

/// What has gone to the server: its capability and data.
fn states(gateway: &mut Gateway) -> Vec<(String, u8)> {
    let customs = sent(gateway).into_iter().filter_map(|sent| sent.custom_message);
    customs.map(|custom| (custom.capability, custom.data[0])).collect()
}

fn data(gateway: &mut Gateway) -> Vec<u8> {
    states(gateway).into_iter().map(|(_, data)| data).collect()
}

/// Says each, one number after the other, and takes what has gone.
fn say(gateway: &mut Gateway, from: u64, values: &[u8]) -> Vec<u8> {
    for (number, value) in (from..).zip(values) {
        gateway.agent_says(HERE, &bytes(&status(number, "a", *value)));
    }
    data(gateway)
}

#[test]
fn a_newer_state_takes_the_place_of_one_that_waits() {
    for (kind, went) in [
        (CustomKind::Event, vec![1, 1, 2, 3]),
        (CustomKind::Latest, vec![3]),
        (CustomKind::Dedup, vec![3]),
    ] {
        let mut gateway = of_kind(kind);
        gateway.has_time = false;
        assert!(say(&mut gateway, 1, &[1, 1, 2, 3]).is_empty());
        let past = Note::CustomDropped(CustomLoss::Superseded);
        let dropped = gateway.effects.notes.iter().filter(|note| **note == past).count();
        assert_eq!(dropped, 4 - went.len(), "{kind:?}");
        gateway.has_time = true;
        gateway.permits();
        assert_eq!(data(&mut gateway), went, "{kind:?}");
        assert_eq!(gateway.session.as_ref().unwrap().figures().server_bytes, 0);
    }
}

#[test]
fn an_unchanged_state_stays_here_until_something_casts_doubt() {
    type Doubt = fn(&mut Gateway);
    let doubts: [(&str, Doubt); 4] = [
        ("a lost link", |gateway| {
            gateway.link_down();
            gateway.link_up();
            gateway.permits();
        }),
        ("a question", |gateway| {
            gateway.server_says(route(1), &bytes(&message::ask()));
            gateway.permits();
        }),
        ("a refusal", |gateway| {
            gateway.agent_says(HERE, &bytes(&status(7, "b", 1)));
            gateway.server_says(route(1), &bytes(&message::unavailable()));
            gateway.permits();
        }),
        ("a new process", |gateway| {
            gateway.agent_says(HERE, &bytes(&message::report(0, message::Status::FIRST)));
            gateway.agent_says(HERE, &bytes(&status(1, "a", 2)));
        }),
    ];
    for (doubt, cast) in doubts {
        let mut gateway = of_kind(CustomKind::Dedup);
        assert_eq!(say(&mut gateway, 1, &[1, 1, 2, 2, 2]), [1, 2], "{doubt}");
        gateway.server_says(route(1), &bytes(&message::ack()));
        assert!(say(&mut gateway, 6, &[2]).is_empty(), "{doubt}");
        cast(&mut gateway);
        let mut went = data(&mut gateway);
        went.extend(say(&mut gateway, 8, &[2]));
        assert!(went.contains(&2), "{doubt}: {went:?}");
    }
    for kind in [CustomKind::Event, CustomKind::Latest] {
        assert_eq!(say(&mut of_kind(kind), 1, &[1, 1]), [1, 1], "{kind:?}");
    }
}

#[test]
fn a_state_that_waits_counts_and_the_one_before_it_no_more() {
    let mut gateway = of_kind(CustomKind::Dedup);
    assert_eq!(say(&mut gateway, 1, &[1]), [1]);
    gateway.has_time = false;
    say(&mut gateway, 2, &[2, 1]);
    gateway.has_time = true;
    gateway.permits();
    assert_eq!(data(&mut gateway), [1], "were it taken for unchanged, 2 would be the last");
    assert!(say(&mut gateway, 4, &[1]).is_empty());
}

#[test]
fn states_are_told_apart_by_capability_and_type() {
    let mut gateway = of_kind(CustomKind::Dedup);
    let named = ["a", "b", "c", "d", "e", "f"];
    for (number, name) in (1..).zip(named.iter().chain(&named)) {
        gateway.agent_says(HERE, &bytes(&status(number, name, 1)));
    }
    let went: Vec<_> = states(&mut gateway).into_iter().map(|(name, _)| name).collect();
    assert_eq!(went, ["a", "b", "c", "d", "e", "f", "e", "f"], "four are remembered");
    let mut other = status(13, "a", 1);
    other.custom_message.as_mut().unwrap().r#type = "u".to_owned();
    gateway.agent_says(HERE, &bytes(&other));
    assert_eq!(data(&mut gateway), [1]);
}
