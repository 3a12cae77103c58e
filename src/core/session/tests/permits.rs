//! What goes to the server with a session's permits, and what stays.

use std::collections::BTreeMap;

use prost::Message;

use super::harness::{Gateway, route};
use super::message::{self, Status, bytes};
use super::settled::{HERE, full, gateway, sent};
use crate::core::session::FullState;
use crate::opamp::field_set::agent_field;
use crate::opamp::proto::{AgentToServer, AvailableComponents, ComponentDetails, ServerToAgent};

fn asked(gateway: &mut Gateway) -> Vec<u64> {
    let given = gateway.effects.to_agent.drain(..);
    given.map(|sent| ServerToAgent::decode(&sent.bytes[..]).unwrap().flags).collect()
}

/// The store has lost all of the agent's state.
fn evict_all(gateway: &mut Gateway) {
    agent_field::STATE_PARTS.into_iter().for_each(|part| gateway.evict(part));
}

#[test]
fn r9_a_state_of_which_nothing_is_stored_is_no_message() {
    let mut gateway = gateway();
    evict_all(&mut gateway);
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    assert_eq!(sent(&mut gateway), []);
    assert_eq!(asked(&mut gateway), [1], "only the agent has it");
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    assert_eq!((sent(&mut gateway), asked(&mut gateway)), (vec![], vec![]), "asked it is already");
    gateway.agent_says(HERE, &full(1));
    assert!(message::status(&sent(&mut gateway)[0]).is_complete());
}

#[test]
fn a_state_of_which_nothing_is_stored_is_introduced_by_an_announcement() {
    let mut gateway = gateway();
    gateway.agent_says(
        HERE,
        &bytes(&message::report(1, Status { health: Some(1), ..Status::default() })),
    );
    evict_all(&mut gateway);
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    let touch = AgentToServer { sequence_num: 2, ..message::heartbeat(2) };
    assert_eq!(sent(&mut gateway), [touch], "the server is to know that the agent is there");
    assert_eq!(gateway.full_state(), FullState::Asked(gateway.now));
}

#[test]
fn r9_capabilities_are_no_message_of_their_own() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &bytes(&message::heartbeat(0)));
    gateway.has_time = false;
    gateway.agent_says(HERE, &bytes(&message::custom(1, 1)));
    gateway.permits();
    let sent = sent(&mut gateway);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].custom_message.is_some());
    // A server that asks for everything gets as little, while they are all that is known.
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    assert!(gateway.effects.to_server.is_empty());
}

#[test]
fn a_change_of_capabilities_that_has_to_wait_goes_in_an_announcement() {
    let mut gateway = gateway();
    gateway.has_time = false;
    let capabilities = message::CAPABILITIES | 0x2000;
    let changed = AgentToServer { capabilities, ..message::heartbeat(1) };
    gateway.agent_says(HERE, &bytes(&changed));
    gateway.permits();
    assert_eq!(sent(&mut gateway), [changed]);
    gateway.permits();
    assert_eq!(sent(&mut gateway), []);
}

/// The link is lost with what the agent has just said, and is back.
fn relinked(changed: Status) -> Gateway {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &bytes(&message::report(1, changed)));
    gateway.link_down();
    gateway.link_up();
    gateway
}

#[test]
fn what_passes_for_the_whole_state_does_not_introduce_without_the_rest() {
    let described = Status { description: Some(1), ..Status::default() };
    let mut gateway = relinked(described);
    gateway.permits();
    let whole = Status { description: Some(1), ..Status::FIRST };
    assert_eq!(message::status(&sent(&mut gateway)[0]), whole);
    // It was refused: to the server the agent is still new.
    let mut gateway = relinked(Status { health: Some(1), ..Status::default() });
    gateway.permits();
    gateway.agent_says(HERE, &bytes(&message::report(2, described)));
    gateway.server_says(route(2), &bytes(&message::unavailable()));
    gateway.effects.to_server.clear();
    gateway.permits();
    let whole = Status { health: Some(1), ..whole };
    assert_eq!(message::status(&sent(&mut gateway)[0]), whole);
}

#[test]
fn what_cannot_pass_for_the_whole_state_introduces_alone() {
    let health = Status { health: Some(1), ..Status::default() };
    let mut gateway = relinked(health);
    gateway.permits();
    assert_eq!(message::status(&sent(&mut gateway)[0]), health);
}

#[test]
fn a_report_that_passes_for_the_whole_state_and_introduces_is_followed_by_the_rest() {
    let mut gateway = Gateway::new(crate::clock::now());
    // It promises its description alone, and has more than that.
    let report =
        |number, status| AgentToServer { capabilities: 1, ..message::report(number, status) };
    gateway.agent_says(HERE, &bytes(&report(0, Status::FIRST)));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects.to_server.clear();
    gateway.link_down();
    gateway.link_up();
    let described = Status { description: Some(1), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&report(1, described)));
    gateway.permits();
    let sent = sent(&mut gateway);
    assert_eq!(message::status(&sent[0]), described);
    assert_eq!(message::status(&sent[1]), Status { description: None, ..Status::FIRST });
    assert_eq!(sent.len(), 2);
}

#[test]
fn an_answer_that_the_gateway_asked_for_goes_without_another_permit() {
    let mut gateway = gateway();
    gateway.has_time = false;
    evict_all(&mut gateway);
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    assert_eq!(asked(&mut gateway), [1]);
    // With a permit of its own it would come too late: the store has lost it again by then.
    gateway.agent_says(HERE, &full(1));
    evict_all(&mut gateway);
    assert!(message::status(&sent(&mut gateway)[0]).is_complete());
    let again = Status { description: Some(1), ..Status::FIRST };
    gateway.agent_says(HERE, &bytes(&message::report(2, again)));
    assert_eq!(sent(&mut gateway), [], "one answer for one turn");
}

#[test]
fn what_is_stored_of_the_state_of_an_absent_agent_goes_without_the_rest() {
    let mut gateway = gateway();
    gateway.evict(agent_field::EFFECTIVE_CONFIG);
    gateway.lost(HERE);
    gateway.server_says(route(1), &bytes(&message::ask()));
    gateway.permits();
    let kept = Status { config: None, ..Status::FIRST };
    assert_eq!(message::status(&sent(&mut gateway)[0]), kept);
}

#[test]
fn r4_a_map_that_was_asked_for_follows_a_report_of_its_hash_alone() {
    let report = |number, components| AgentToServer {
        available_components: Some(AvailableComponents { hash: vec![7], components }),
        ..message::report(number, Status::FIRST)
    };
    let map: BTreeMap<_, _> = [("receivers".to_owned(), ComponentDetails::default())].into();
    let asks = bytes(&ServerToAgent { flags: 3, ..message::ack() });
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &bytes(&report(0, map.clone())));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    gateway.effects.to_server.clear();
    gateway.server_says(route(2), &asks);
    // Before its permit comes, the agent connects anew and says all, as it does unasked, which leaves the map out.
    gateway.agent_says(HERE, &bytes(&report(1, BTreeMap::new())));
    gateway.server_says(route(2), &asks);
    let first = sent(&mut gateway);
    assert_eq!(first.len(), 1);
    assert!(first[0].available_components.as_ref().unwrap().components.is_empty());
    gateway.permits();
    let [then] = &sent(&mut gateway)[..] else { panic!("the map follows") };
    assert_eq!(then.available_components.as_ref().unwrap().components, map);
    assert_eq!(message::status(then), Status::default(), "and nothing that the server has");
}

/// A server that remembers the agent, reached over another link: what was on its way is in doubt, and
/// that alone.
#[test]
fn a_server_that_remembers_gets_what_was_in_doubt_and_no_introduction() {
    let mut gateway = gateway();
    gateway.link.memory = Some(crate::ident::Incarnation(1));
    let changed = Status { health: Some(1), ..Status::default() };
    gateway.agent_says(HERE, &bytes(&message::report(1, changed)));
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    let again = sent(&mut gateway);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(message::status(&again[0]), changed);
    gateway.server_says(gateway.info().sent_on.unwrap(), &bytes(&message::ack()));
    gateway.link_down();
    gateway.link_up();
    gateway.agent_says(HERE, &full(2));
    let again = sent(&mut gateway);
    assert_eq!(message::status(&again[0]), Status { health: Some(0), ..Status::default() });
    gateway.server_says(gateway.info().sent_on.unwrap(), &bytes(&message::ack()));
    // A new memory: everything that was told is forgotten.
    gateway.link.memory = Some(crate::ident::Incarnation(2));
    gateway.link_up();
    gateway.permits();
    assert_eq!(message::status(&sent(&mut gateway)[0]), Status::default(), "it is introduced");
    gateway.agent_says(HERE, &full(3));
    let told = gateway.info();
    assert!(told.server_lacks.is_empty() && told.unanswered > 0);
}
