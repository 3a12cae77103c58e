//! What an agent leaves open, and what it says once more: an absent number is no number, 0 capabilities are none said, and
//! a retry is no new process.

use prost::Message;

use super::harness::{Gateway, POLICY, UID, route};
use super::message::{self, CAPABILITIES, Status, bytes};
use super::settled::{HERE, full, gateway, sent};
use crate::core::session::{FullState, Presence, succeed};
use crate::ident::ConnectionId;
use crate::opamp::proto::{AgentToServer, ServerToAgent};

const HEALTH: Status = Status { health: Some(7), description: None, config: None, remote: None };

fn without_capabilities(number: u64, status: Status) -> Vec<u8> {
    bytes(&AgentToServer { capabilities: 0, ..message::report(number, status) })
}

fn uid_alone() -> Vec<u8> {
    bytes(&AgentToServer { instance_uid: UID.to_wire().to_vec(), ..Default::default() })
}

/// What the agent has been told since the last look.
fn told(gateway: &mut Gateway) -> Vec<ServerToAgent> {
    let told = gateway.effects.to_agent.drain(..);
    told.map(|message| ServerToAgent::decode(&message.bytes[..]).unwrap()).collect()
}

#[test]
fn capabilities_that_are_said_once_hold() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &without_capabilities(1, HEALTH));
    let went = sent(&mut gateway);
    assert_eq!((went.len(), went[0].capabilities), (1, CAPABILITIES), "they go with all");
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.agent_says(HERE, &without_capabilities(2, Status::default()));
    assert!(sent(&mut gateway).is_empty(), "a heartbeat, and no change");
    gateway.link_down();
    gateway.link_up();
    gateway.permits();
    assert_eq!(sent(&mut gateway)[0].capabilities, CAPABILITIES);
    told(&mut gateway);
    gateway.server_says(route(2), &bytes(&message::ask()));
    gateway.permits();
    let state = sent(&mut gateway).remove(0);
    assert_eq!((state.capabilities, message::status(&state).is_complete()), (CAPABILITIES, true));
    assert_eq!((told(&mut gateway), gateway.full_state()), (vec![], FullState::Reported));
}

#[test]
fn capabilities_other_than_before_are_news() {
    let mut gateway = gateway();
    let changed = AgentToServer { capabilities: CAPABILITIES | 0x2000, ..message::heartbeat(1) };
    gateway.agent_says(HERE, &bytes(&changed));
    assert_eq!(sent(&mut gateway)[0].capabilities, CAPABILITIES | 0x2000);
    gateway.agent_says(HERE, &without_capabilities(2, Status::default()));
    assert_eq!(gateway.info().capabilities, CAPABILITIES | 0x2000);
}

#[test]
fn what_known_capabilities_promise_is_missed_in_a_report_without_them() {
    let mut gateway = gateway();
    gateway.agent_says(HERE, &without_capabilities(9, Status { health: None, ..Status::FIRST }));
    assert_eq!(gateway.full_state(), FullState::Wanted, "its health is still unknown");
}

#[test]
fn heartbeats_of_the_uid_alone_are_answered_and_ask_for_nothing() {
    let mut gateway = gateway();
    for _ in 0..3 {
        gateway.agent_says(HERE, &uid_alone());
    }
    gateway.request(&uid_alone());
    gateway.permits();
    let told = told(&mut gateway);
    assert_eq!((told.len(), gateway.effects.answers.len()), (3, 1));
    assert!(told.iter().all(|reply| reply.flags == 0));
    assert!(sent(&mut gateway).is_empty());
    gateway.agent_says(HERE, &bytes(&message::report(1, HEALTH)));
    assert_eq!(gateway.full_state(), FullState::Reported, "its numbers go on");
}

#[test]
fn an_agent_that_polls_by_its_uid_alone_is_offered_each_thing_once() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.request(&full(0));
    gateway.server_says(route(1), &bytes(&message::offer(1)));
    let mut offers = 0;
    for _ in 0..3 {
        let answer = gateway.effects.answers.pop_back().unwrap();
        let answer = ServerToAgent::decode(&answer[..]).unwrap();
        offers += usize::from(answer.remote_config.is_some());
        gateway.request(&uid_alone());
    }
    assert_eq!(offers, 1);
}

#[test]
fn a_question_waits_for_the_first_word_of_a_server() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.server_capabilities = None;
    let partial = Status { health: None, ..Status::FIRST };
    gateway.agent_says(HERE, &bytes(&message::report(5, partial)));
    gateway.permits();
    assert_eq!(told(&mut gateway), [], "the server's own word on itself comes first");
    gateway.agent_says(HERE, &bytes(&message::heartbeat(6)));
    assert_eq!(told(&mut gateway), [message::ack()], "it promises nothing");
    gateway.server_capabilities = Some(7);
    gateway.server_says(route(1), &bytes(&ServerToAgent { capabilities: 7, ..message::ack() }));
    gateway.permits();
    let told = told(&mut gateway);
    assert_eq!(
        told.iter().map(|it| (it.capabilities, it.flags)).collect::<Vec<_>>(),
        [(7, 0), (0, 1)]
    );
}

#[test]
fn a_server_that_stays_silent_is_spoken_for() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.server_capabilities = None;
    gateway.agent_says(HERE, &bytes(&message::report(5, Status { health: None, ..Status::FIRST })));
    gateway.wait(POLICY.reply_wait);
    gateway.permits();
    let told = told(&mut gateway);
    assert_eq!(
        told.iter().map(|it| (it.capabilities, it.flags)).collect::<Vec<_>>(),
        [(1, 0), (1, 1)]
    );
}

#[test]
fn the_first_report_said_once_more_is_no_new_process() {
    for number in [0, 1, 2] {
        let mut gateway = Gateway::new(crate::clock::now());
        gateway.request(&full(number));
        gateway.server_says(route(1), &bytes(&message::ack()));
        sent(&mut gateway);
        gateway.request(&full(number));
        gateway.permits();
        assert!(sent(&mut gateway).is_empty(), "number {number} goes to no server twice");
        assert_eq!((gateway.effects.answers.len(), gateway.full_state()), (2, FullState::Reported));
    }
    let mut gateway = gateway();
    gateway
        .agent_says(HERE, &bytes(&message::report(0, Status { health: Some(9), ..Status::FIRST })));
    let went = message::status(&sent(&mut gateway)[0]);
    assert!(went.is_complete(), "another process: its server hears all of it");
}

#[test]
fn a_heartbeat_said_once_more_is_no_new_process() {
    let mut gateway = gateway();
    for _ in 0..2 {
        gateway.request(&bytes(&message::heartbeat(1)));
    }
    assert_eq!(gateway.full_state(), FullState::Reported);
    gateway.agent_says(HERE, &bytes(&message::report(1, HEALTH)));
    assert_eq!(gateway.full_state(), FullState::Wanted, "that says something else");
    gateway.agent_says(HERE, &bytes(&message::heartbeat(1)));
    assert_eq!(gateway.full_state(), FullState::Wanted);
}

#[test]
fn what_is_said_once_goes_once() {
    let mut gateway = gateway();
    for _ in 0..2 {
        gateway.request(&bytes(&message::custom(5, 1)));
    }
    assert_eq!(sent(&mut gateway).len(), 1);
    gateway.request(&bytes(&message::custom(6, 1)));
    assert_eq!(sent(&mut gateway).len(), 1, "another one");
}

#[test]
fn a_goodbye_said_once_more_is_answered_and_goes_no_further() {
    let mut gateway = gateway();
    gateway.request(&bytes(&message::disconnect(1)));
    assert_eq!(sent(&mut gateway).len(), 1);
    let farewell = gateway.effects.farewell.take().unwrap();
    let succeeds = |gateway: &mut Gateway| {
        gateway.event(|session, moment, _| succeed(session, farewell, moment.now));
    };
    gateway.effects.answers.clear();
    gateway.request_opens();
    succeeds(&mut gateway);
    gateway.request_says(&bytes(&message::disconnect(1)));
    assert!(sent(&mut gateway).is_empty() && gateway.session.is_none());
    assert_eq!(gateway.effects.answers.len(), 1);
    assert!(gateway.effects.farewell.is_some(), "it may come a third time");
    // An agent that has come back says goodbye anew.
    gateway.request_opens();
    succeeds(&mut gateway);
    gateway.request_says(&full(2));
    gateway.request(&bytes(&message::disconnect(3)));
    let went = sent(&mut gateway);
    assert_eq!(went.len(), 2);
    assert!(went[1].agent_disconnect.is_some());
}

#[test]
fn a_goodbye_of_an_unknown_agent_is_passed_on() {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(ConnectionId(2), &bytes(&message::disconnect(5)));
    assert!(sent(&mut gateway)[0].agent_disconnect.is_some(), "its server may know it");
    assert!(gateway.session.is_none());
    gateway.agent_says(ConnectionId(3), &full(6));
    assert_eq!(gateway.info().presence, Presence::Connected { connection: ConnectionId(3) });
}
