//! Offers that the agent refuses for their size, by closing its WebSocket with 1009.

use std::time::Duration;

use prost::Message as _;

use super::harness::{Addressed, Gateway, route};
use super::message::{self, bytes, report};
use crate::core::session::{Note, OfferLoss, offer_refused};
use crate::ident::ConnectionId;
use crate::opamp::proto::ServerToAgent;

const HOUR: Duration = Duration::from_secs(3_600);
const TOO_LARGE: Note = Note::OfferDropped(OfferLoss::TooLargeForAgent);

fn offer(hash: u32, size: usize) -> Vec<u8> {
    let mut offer = message::offer(hash);
    let config = offer.remote_config.get_or_insert_default();
    config.config_hash.resize(config.config_hash.len() + size, 0);
    bytes(&offer)
}

/// An agent that has reported, on connection 1.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(ConnectionId(1), &bytes(&report(0, message::Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_agent.clear();
    gateway
}

/// Sizes of the offers that went to the agent.
fn offered(gateway: &mut Gateway) -> Vec<usize> {
    let sent = std::mem::take(&mut gateway.effects.to_agent);
    let is_offer =
        |message: &&Addressed| decode(&message.bytes).is_some_and(|m| m.remote_config.is_some());
    sent.iter().filter(is_offer).map(|message| message.bytes.len()).collect()
}

fn decode(bytes: &[u8]) -> Option<ServerToAgent> {
    ServerToAgent::decode(bytes).ok()
}

fn refuse(gateway: &mut Gateway, connection: u64) {
    gateway.event(offer_refused);
    gateway.lost(ConnectionId(connection));
}

fn dropped(gateway: &Gateway) -> usize {
    gateway.effects.notes.iter().filter(|note| **note == TOO_LARGE).count()
}

#[test]
fn an_offer_that_was_refused_for_its_size_is_held_back() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &offer(1, 600));
    let sizes = offered(&mut gateway);
    assert_eq!(sizes.len(), 1);
    refuse(&mut gateway, 1);
    assert!(gateway.effects.notes.contains(&Note::OfferRefused(sizes[0])));
    gateway.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    assert!(offered(&mut gateway).is_empty(), "it is not taken back");
    // The server offers it once more, and something small.
    gateway.server_says(route(1), &offer(2, 600));
    assert!(offered(&mut gateway).is_empty());
    assert_eq!(dropped(&gateway), 2);
    gateway.server_says(route(1), &offer(3, 10));
    assert_eq!(offered(&mut gateway).len(), 1);
    // What waits goes in one message: while the agent is away, too.
    gateway.lost(ConnectionId(2));
    gateway.server_says(route(1), &offer(4, 700));
    gateway.agent_says(ConnectionId(3), &bytes(&message::heartbeat(2)));
    assert!(offered(&mut gateway).iter().all(|size| *size < 600));
    // A reply is owed whatever the server's brought.
    gateway.agent_says(ConnectionId(3), &bytes(&message::custom(3, 1)));
    gateway.effects.to_agent.clear();
    gateway.server_says(route(1), &offer(5, 600));
    let sent = gateway.effects.to_agent.pop_back().unwrap();
    assert!(sent.is_reply && decode(&sent.bytes).unwrap().remote_config.is_none());
}

#[test]
fn what_an_agent_refuses_is_forgotten_with_its_process_and_in_time() {
    let mut later = gateway();
    later.server_says(route(1), &offer(1, 600));
    refuse(&mut later, 1);
    later.agent_says(ConnectionId(2), &bytes(&message::heartbeat(1)));
    later.agent_says(ConnectionId(2), &bytes(&report(0, message::Status::FIRST)));
    later.effects.to_agent.clear();
    later.server_says(route(1), &bytes(&message::ack()));
    later.server_says(route(1), &offer(2, 600));
    assert_eq!(offered(&mut later).len(), 1, "a new process");
    refuse(&mut later, 2);
    later.agent_says(ConnectionId(3), &bytes(&message::heartbeat(1)));
    later.now += HOUR;
    offered(&mut later);
    later.server_says(route(1), &offer(3, 600));
    assert_eq!(offered(&mut later).len(), 1, "it may take it by now");
}

#[test]
fn an_agent_that_has_confirmed_all_refuses_nothing() {
    let mut gateway = gateway();
    gateway.server_says(route(1), &offer(1, 10));
    let ping = gateway.effects.to_agent.back().unwrap().ping.unwrap();
    gateway.ponged(ping);
    refuse(&mut gateway, 1);
    assert_eq!(dropped(&gateway), 0);
}
