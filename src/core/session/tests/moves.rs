//! A session that goes on at another node: what its server hears of that, by how it knows agents.

use std::time::Duration;

use super::harness::{Gateway, all_of, moved_from, route};
use super::message::{self, Status, bytes};
use crate::core::ownership::NodeIncarnation;
use crate::core::server::Keying;
use crate::core::session::{Move, Note, OfferLoss, Peer, Route};
use crate::ident::ConnectionId;
use crate::opamp::agent::AgentScan;
use crate::opamp::proto::{AgentToServer, ServerToAgent};
use prost::Message as _;

const HERE: ConnectionId = ConnectionId(1);
const CHANGED: Status = Status { health: Some(7), description: None, config: None, remote: None };

fn home() -> Peer {
    Peer::of(NodeIncarnation::new(0x1234_5678_9abc).unwrap())
}

fn keyed(keying: Keying) -> Move<'static> {
    moved_from(home(), keying)
}

/// A link of the former home's, with the very numbers of this node's.
fn former(incarnation: u32) -> Route {
    let own = route(incarnation);
    Route::of_peer(home(), own.link, own.incarnation)
}

/// Takes what went to the server.
fn sent(gateway: &mut Gateway) -> Vec<AgentToServer> {
    let all = gateway.effects.to_server.drain(..);
    all.map(|(_, bytes)| AgentToServer::decode(&*bytes).unwrap()).collect()
}

/// An agent whose server knows everything and has answered everything.
fn settled() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &bytes(&message::report(0, Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    sent(&mut gateway);
    gateway
}

fn acks(gateway: &mut Gateway) {
    let on = gateway.info().sent_on.unwrap();
    gateway.server_says(on, &bytes(&message::ack()));
}

#[test]
fn a_server_that_knows_agents_by_uid_hears_nothing_of_a_move() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Uid));
    gateway.permits();
    gateway.agent_says(HERE, &bytes(&message::report(1, Status::FIRST)));
    assert_eq!(sent(&mut gateway), [], "it has all of it");
    gateway.agent_says(HERE, &bytes(&message::report(2, CHANGED)));
    let news = sent(&mut gateway);
    assert_eq!(news.len(), 1);
    assert_eq!((message::status(&news[0]), news[0].sequence_num), (CHANGED, 1));
    acks(&mut gateway);
    gateway.agent_says(HERE, &bytes(&message::report(3, CHANGED)));
    assert_eq!(sent(&mut gateway), []);
}

#[test]
fn the_agent_is_introduced_when_the_former_homes_link_ends() {
    for speaks_first in [false, true] {
        let mut gateway = settled();
        gateway.moves(&keyed(Keying::Uid));
        if speaks_first {
            gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
            acks(&mut gateway);
            sent(&mut gateway);
        }
        gateway.former_link_ended(all_of(Peer::of(NodeIncarnation::new(1).unwrap())));
        gateway.permits();
        assert_eq!(sent(&mut gateway), [], "that was another node's");
        gateway.former_link_ended(all_of(home()));
        gateway.permits();
        let introduced = sent(&mut gateway);
        assert_eq!(introduced.len(), 1, "once: {introduced:?}");
        assert_eq!(message::status(&introduced[0]), Status::default());
        acks(&mut gateway);
        gateway.former_link_ended(all_of(home()));
        gateway.permits();
        assert_eq!(sent(&mut gateway), []);
    }
}

#[test]
fn this_nodes_link_counts_as_soon_as_it_has_spoken() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Uid));
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(sent(&mut gateway), [], "over it the server has heard nothing");
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    acks(&mut gateway);
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(message::status(&sent(&mut gateway)[0]), Status::default(), "introduced again");
}

#[test]
fn a_server_that_knows_agents_by_connection_is_told_at_once() {
    let its_link_is_gone = Move { has_ended: &|_| true, ..keyed(Keying::Uid) };
    for how in [keyed(Keying::Link), its_link_is_gone] {
        let mut gateway = settled();
        gateway.moves(&how);
        gateway.permits();
        let introduced = sent(&mut gateway);
        assert_eq!(introduced.len(), 1);
        assert_eq!(message::status(&introduced[0]), Status::default());
    }
}

#[test]
fn an_exclusive_server_hears_the_goodbye_first() {
    let waits = |end: &dyn Fn(&mut Gateway)| {
        let mut gateway = settled();
        gateway.moves(&keyed(Keying::Exclusive));
        gateway.permits();
        gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
        gateway.agent_says(HERE, &bytes(&message::heartbeat(2)));
        gateway.permits();
        assert_eq!(sent(&mut gateway), [], "the former home has yet to say goodbye");
        end(&mut gateway);
        gateway.permits();
        let first = sent(&mut gateway);
        assert_eq!(first[0].sequence_num, 2, "the goodbye had the one before");
        assert_eq!(message::status(&first[0]), CHANGED);
    };
    waits(&|gateway| gateway.former_link_ended(all_of(home())));
    waits(&|gateway| gateway.wait(Duration::from_secs(5)));
}

/// In mode `per-agent` the former home closes the agent's connection, and says nothing.
#[test]
fn where_agents_have_connections_of_their_own_the_former_ones_end_comes_first() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::OwnLink));
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    gateway.permits();
    assert_eq!(sent(&mut gateway), []);
    gateway.former_link_ended(all_of(home()));
    gateway.permits();
    let first = sent(&mut gateway);
    assert_eq!((message::status(&first[0]), first[0].sequence_num), (CHANGED, 1));
}

#[test]
fn what_was_on_its_way_is_told_at_once_and_once_more() {
    let ends: [&dyn Fn(&mut Gateway); 3] = [
        &|gateway| gateway.server_says(former(1), &bytes(&message::ack())),
        &|gateway| gateway.wait(Duration::from_secs(30)),
        &|gateway| gateway.former_link_ended(all_of(home())),
    ];
    for end in ends {
        let mut gateway = settled();
        gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
        sent(&mut gateway);
        gateway.moves(&keyed(Keying::Uid));
        gateway.permits();
        assert_eq!(message::status(&sent(&mut gateway)[0]), CHANGED, "it may be lost");
        acks(&mut gateway);
        end(&mut gateway);
        gateway.permits();
        let again = sent(&mut gateway);
        assert!(again.iter().any(|again| message::status(again) == CHANGED), "{again:?}");
        acks(&mut gateway);
        gateway.wait(Duration::from_secs(40));
        gateway.permits();
        assert_eq!(sent(&mut gateway), []);
        assert!(gateway.session.unwrap().cold.is_none(), "all of it is past");
    }
}

#[test]
fn an_answer_on_the_former_homes_link_is_none_to_this_nodes_messages() {
    let mut gateway = settled();
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    gateway.moves(&keyed(Keying::Uid));
    gateway.permits();
    gateway.server_says(former(1), &bytes(&message::ack()));
    assert_eq!(gateway.info().unanswered, 1);
}

fn offer(hash: u8) -> Vec<u8> {
    bytes(&message::offer(u32::from(hash)))
}

#[test]
fn an_offer_that_was_passed_on_is_past_once_this_nodes_link_has_brought_one() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Uid));
    gateway.effects.to_agent.clear();
    gateway.server_says(former(1), &offer(1));
    assert_eq!(gateway.effects.to_agent.len(), 1, "it goes to the agent");
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    gateway.server_says(route(1), &offer(2));
    gateway.effects.to_agent.clear();
    gateway.server_says(former(1), &offer(1));
    assert!(gateway.effects.to_agent.is_empty());
    assert!(gateway.effects.notes.contains(&Note::OfferDropped(OfferLoss::FormerHome)));
    gateway.permits();
    assert!(!sent(&mut gateway).is_empty(), "the server finds out what the agent has");
}

/// Some servers give an agent that comes on a second connection another uid.
#[test]
fn a_rename_that_the_move_explains_stays_here() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Uid));
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    sent(&mut gateway);
    gateway.effects.to_agent.clear();
    let renames = ServerToAgent {
        agent_identification: Some(crate::opamp::proto::AgentIdentification {
            new_instance_uid: vec![9; 16],
        }),
        ..message::ack()
    };
    gateway.server_says(route(1), &bytes(&renames));
    let told = gateway.effects.to_agent.iter();
    for message in told.map(|message| ServerToAgent::decode(&*message.bytes).unwrap()) {
        assert_eq!(message.agent_identification, None);
    }
    gateway.permits();
    assert_eq!(sent(&mut gateway), [], "it is left alone for a while");
    gateway.wait(Duration::from_secs(5));
    gateway.permits();
    let again = sent(&mut gateway);
    assert_eq!(again.len(), 1, "{again:?}");
    let scan = bytes(&again[0]);
    assert_eq!(AgentScan::parse(&scan).unwrap().sequence_num.0, 2);
}

/// The session goes on to a third node before the goodbye of the first one is answered.
#[test]
fn a_home_that_has_said_nothing_says_no_goodbye() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Exclusive));
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    let second = keyed(Keying::Uid).me;
    let third = Peer::of(NodeIncarnation::new(8).unwrap());
    gateway.moves(&Move { from: second, me: third, ..keyed(Keying::Exclusive) });
    gateway.permits();
    assert_eq!(sent(&mut gateway), [], "the first one has yet to say goodbye");
    gateway.former_link_ended(all_of(home()));
    gateway.permits();
    assert_eq!(sent(&mut gateway)[0].sequence_num, 2, "one goodbye was said");
}

#[test]
fn an_offer_of_an_earlier_home_is_past_once_a_later_one_has_brought_one() {
    let mut gateway = settled();
    gateway.moves(&keyed(Keying::Uid));
    gateway.agent_says(HERE, &bytes(&message::report(1, CHANGED)));
    gateway.server_says(route(1), &offer(2));
    let second = keyed(Keying::Uid).me;
    let third = Peer::of(NodeIncarnation::new(8).unwrap());
    gateway.moves(&Move { from: second, me: third, ..keyed(Keying::Uid) });
    gateway.effects.to_agent.clear();
    gateway.server_says(former(1), &offer(1));
    assert!(gateway.effects.to_agent.is_empty(), "the first home's");
    let there = Route::of_peer(second, route(1).link, route(1).incarnation);
    gateway.server_says(there, &offer(3));
    assert_eq!(gateway.effects.to_agent.len(), 1);
}
