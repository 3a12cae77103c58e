//! The state machine of the stand-in: unknown agents, gaps, merges, goodbyes.

use super::*;
use prost::Message;
use seawall::opamp::proto::{
    AgentToServer, AvailableComponents, ComponentHealth, RemoteConfigStatus,
};

const ALL_FIELDS: u64 = 0x800 | 0x4 | 0x1000 | 0x10 | 0x4000;

fn uid() -> InstanceUid {
    InstanceUid::from_bytes([7; 16])
}

fn delta(number: u64) -> AgentToServer {
    AgentToServer { sequence_num: number, capabilities: ALL_FIELDS, ..Default::default() }
}

fn full(number: u64) -> AgentToServer {
    AgentToServer {
        agent_description: Some(Default::default()),
        health: Some(Default::default()),
        effective_config: Some(Default::default()),
        remote_config_status: Some(Default::default()),
        package_statuses: Some(Default::default()),
        available_components: Some(AvailableComponents { hash: vec![1], ..Default::default() }),
        ..delta(number)
    }
}

fn apply(store: &AgentStore, message: &AgentToServer) -> Applied {
    let shape = ReportShape::decode(&message.encode_to_vec()[..]).unwrap();
    store.apply(uid(), &shape, None)
}

fn line(store: &AgentStore) -> AgentLine {
    let mut lines = Vec::new();
    store.lines(|_, line| lines.push(line));
    lines.pop().unwrap()
}

#[test]
fn a_stranger_is_asked_until_it_tells_everything() {
    let store = AgentStore::new(Keying::Uid);
    let outcome = apply(&store, &delta(4));
    assert!(outcome.unknown && outcome.wants_full && !outcome.gap);
    assert!(apply(&store, &delta(5)).wants_full);
    let partial = AgentToServer { effective_config: None, ..full(6) };
    assert!(apply(&store, &partial).wants_full);
    assert!(!apply(&store, &full(7)).wants_full);
    assert!(!apply(&store, &delta(8)).wants_full);
}

#[test]
fn a_stranger_that_tells_everything_at_once_is_not_asked() {
    let store = AgentStore::new(Keying::Uid);
    assert!(!apply(&store, &full(0)).wants_full);
    assert_eq!(store.totals().agents_complete, 1);
}

#[test]
fn a_gap_is_healed_by_a_full_report_only() {
    let store = AgentStore::new(Keying::Uid);
    apply(&store, &full(0));
    let outcome = apply(&store, &delta(2));
    assert!(outcome.gap && outcome.wants_full);
    let outcome = apply(&store, &delta(3));
    assert!(!outcome.gap && outcome.wants_full);
    assert!(!apply(&store, &full(4)).wants_full);
    // A repeated number is a gap as well; a full report with a gap makes the question needless.
    assert!(apply(&store, &delta(4)).gap);
    let outcome = apply(&store, &full(9));
    assert!(outcome.gap && !outcome.wants_full);
}

#[test]
fn a_full_state_in_which_nothing_is_new_is_a_repetition_unless_it_was_asked_for() {
    let store = AgentStore::new(Keying::Uid);
    assert!(!apply(&store, &full(0)).repeated);
    assert!(apply(&store, &full(1)).repeated);
    // Times in health are no news.
    let later = ComponentHealth { status_time_unix_nano: 5, ..Default::default() };
    assert!(apply(&store, &AgentToServer { health: Some(later), ..full(2) }).repeated);
    // Health, the map of components, and a gap are.
    let bad = ComponentHealth { status: "bad".to_owned(), ..Default::default() };
    assert!(!apply(&store, &AgentToServer { health: Some(bad), ..full(3) }).repeated);
    let mut with_map = full(4);
    let components = with_map.available_components.as_mut().unwrap();
    components.components.insert("exporters".to_owned(), Default::default());
    assert!(!apply(&store, &with_map).repeated);
    assert!(!apply(&store, &full(9)).repeated);
    // After a gap the server asks, so the next one is its answer; the one after that is a
    // repetition.
    assert!(apply(&store, &delta(11)).wants_full);
    assert!(!apply(&store, &full(12)).repeated);
    assert!(apply(&store, &full(13)).repeated);
    // A delta is less than a full state, whatever is in it.
    let delta = AgentToServer { health: Some(Default::default()), ..delta(14) };
    assert!(!apply(&store, &delta).repeated);
}

#[test]
fn a_full_state_on_another_connection_is_no_repetition() {
    let store = AgentStore::new(Keying::Uid);
    let (outbox, _kept) = mpsc::channel(1);
    for connection in [1, 2] {
        let route = AgentRoute { connection, outbox: outbox.clone() };
        let shape = ReportShape::decode(&full(connection).encode_to_vec()[..]).unwrap();
        assert!(!store.apply(uid(), &shape, Some(&route)).repeated, "{connection}");
    }
}

#[test]
fn what_is_absent_has_not_changed() {
    let store = AgentStore::new(Keying::Uid);
    apply(&store, &full(0));
    let before = line(&store).view;
    let health = ComponentHealth { status: "bad".to_owned(), ..Default::default() };
    apply(&store, &AgentToServer { health: Some(health), ..delta(1) });
    let after = line(&store).view;
    let index = StatusField::Health.index();
    assert_ne!(before.fields[index], after.fields[index]);
    let mut patched = before.clone();
    patched.fields[index] = after.fields[index];
    assert_eq!(patched, after);
}

#[test]
fn a_component_map_lives_as_long_as_its_hash() {
    let store = AgentStore::new(Keying::Uid);
    assert!(apply(&store, &full(0)).wants_components);
    let mut with_map = full(1);
    let components = with_map.available_components.as_mut().unwrap();
    components.components.insert("exporters".to_owned(), Default::default());
    assert!(!apply(&store, &with_map).wants_components);
    assert!(!apply(&store, &full(2)).wants_components);
    assert_ne!(line(&store).view.components, ABSENT);
    let other = AvailableComponents { hash: vec![2], ..Default::default() };
    let changed = AgentToServer { available_components: Some(other), ..full(3) };
    assert!(apply(&store, &changed).wants_components);
    assert_eq!(line(&store).view.components, ABSENT);
}

#[test]
fn goodbyes_and_routes() {
    let store = AgentStore::new(Keying::Uid);
    let (outbox, _kept) = mpsc::channel(1);
    let first = AgentRoute { connection: 1, outbox: outbox.clone() };
    let second = AgentRoute { connection: 2, outbox };
    let shape = ReportShape::decode(&full(0).encode_to_vec()[..]).unwrap();
    assert!(store.apply(uid(), &shape, Some(&first)).new_here);
    let shape = ReportShape::decode(&delta(1).encode_to_vec()[..]).unwrap();
    assert!(!store.apply(uid(), &shape, Some(&first)).new_here);
    let shape = ReportShape::decode(&delta(2).encode_to_vec()[..]).unwrap();
    assert!(store.apply(uid(), &shape, Some(&second)).new_here);
    // The end of the older connection leaves an agent alone that has moved on.
    store.lose_route(uid(), 1);
    assert_eq!(store.reachable(), vec![uid()]);
    store.lose_route(uid(), 2);
    assert!(store.reachable().is_empty());
    apply(&store, &AgentToServer { agent_disconnect: Some(Default::default()), ..delta(3) });
    assert!(line(&store).disconnected);
    assert!(!apply(&store, &delta(4)).wants_full);
    assert!(!line(&store).disconnected);
}

#[test]
fn an_offer_is_open_until_its_hash_is_reported() {
    let store = AgentStore::new(Keying::Uid);
    let (outbox, _kept) = mpsc::channel(1);
    let route = AgentRoute { connection: 1, outbox };
    let shape = ReportShape::decode(&full(0).encode_to_vec()[..]).unwrap();
    store.apply(uid(), &shape, Some(&route));
    store.offer(uid(), Some(b"hash")).unwrap();
    assert_eq!(store.totals().offers_open, 1);
    let status =
        RemoteConfigStatus { last_remote_config_hash: b"hash".to_vec(), ..Default::default() };
    apply(&store, &AgentToServer { remote_config_status: Some(status), ..delta(1) });
    assert_eq!(store.totals().offers_open, 0);
}

/// One message of an agent on this connection.
fn on(store: &AgentStore, connection: u64, message: &AgentToServer) -> Applied {
    let (outbox, _kept) = mpsc::channel(1);
    let shape = ReportShape::decode(&message.encode_to_vec()[..]).unwrap();
    store.apply(uid(), &shape, Some(&AgentRoute { connection, outbox }))
}

#[test]
fn a_server_that_knows_agents_by_their_link_forgets_them_with_it() {
    let store = AgentStore::new(Keying::Link);
    assert!(on(&store, 1, &full(0)).new_here);
    let elsewhere = on(&store, 2, &delta(1));
    assert!(elsewhere.new_here && !elsewhere.unknown && !elsewhere.wants_full);
    assert!(!on(&store, 2, &delta(2)).new_here);
    // Pushes go to the first link, whatever the agent says where.
    assert_eq!(store.offer(uid(), None).unwrap().connection, 1);
    store.lose_route(uid(), 2);
    assert_eq!(store.totals().agents, 1);
    store.lose_route(uid(), 1);
    assert_eq!(store.totals().agents, 0);
    assert!(on(&store, 2, &delta(3)).wants_full);
}

#[test]
fn an_exclusive_server_leaves_the_report_of_a_second_connection_alone() {
    let store = AgentStore::new(Keying::Exclusive);
    on(&store, 1, &full(0));
    let refused = on(&store, 2, &delta(7));
    assert!(refused.usurps && !refused.gap && !refused.new_here);
    assert!(!on(&store, 1, &delta(1)).gap, "the number of the refused report is of no account");
    let goodbye = AgentToServer { agent_disconnect: Some(Default::default()), ..delta(2) };
    on(&store, 1, &goodbye);
    assert!(store.reachable().is_empty());
    assert!(!on(&store, 2, &delta(3)).usurps);
    store.lose_route(uid(), 2);
    assert!(!on(&store, 1, &delta(4)).usurps);
}

#[test]
fn a_full_state_that_was_asked_for_is_told_from_others() {
    let store = AgentStore::new(Keying::Uid);
    assert!(!on(&store, 1, &full(0)).asked, "the server had heard nothing of it");
    assert!(!on(&store, 1, &full(1)).asked);
    assert!(on(&store, 1, &delta(9)).wants_full);
    assert!(on(&store, 1, &full(10)).asked);
}
