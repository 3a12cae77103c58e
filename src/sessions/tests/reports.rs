//! R1 and R2: the server gets what changed, and that alone; and gets all of it when it may have
//! lost it.

use super::*;
use crate::opamp::proto::{AvailableComponents, EffectiveConfig, ServerErrorResponse};

/// A report with an unchanging description and configuration, and a health of one's choice.
fn report(started: u64, looked_at: u64) -> AgentToServer {
    let health = ComponentHealth {
        start_time_unix_nano: started,
        status_time_unix_nano: looked_at,
        ..ComponentHealth::default()
    };
    AgentToServer {
        agent_description: Some(AgentDescription::default()),
        effective_config: Some(EffectiveConfig::default()),
        health: Some(health),
        ..heartbeat()
    }
}

/// Says it as it is; [`Agent::says`] would make it new each time.
fn says(agent: &mut Agent<'_>, message: AgentToServer) -> Vec<ServerToAgent> {
    let (instance_uid, sequence_num) = (vec![agent.n; 16], agent.number);
    agent.number += 1;
    let bytes = AgentToServer { instance_uid, sequence_num, ..message }.encode_to_vec();
    agent.receives(&bytes).unwrap()
}

/// An agent whose report the server has.
fn reported(bench: &Bench) -> Agent<'_> {
    let mut agent = Agent::first(bench, 1, 1);
    says(&mut agent, report(1, 1));
    bench.says(1, &ServerToAgent::default());
    assert_eq!(agent.reads(), [ack(1)]);
    bench.sent();
    agent
}

#[test]
pub(super) fn an_unchanged_report_is_answered_here() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    assert_eq!(says(&mut agent, report(1, 1)), [ack(1)], "the same bytes");
    assert_eq!(says(&mut agent, report(1, 2)), [ack(1)], "only the time of looking has moved");
    let mut back = agent.returns(2);
    assert_eq!(says(&mut back, report(1, 3)), [ack(1)], "also on another connection");
    assert_eq!(bench.sent(), []);
}

#[test]
pub(super) fn only_what_changed_goes_on() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    says(&mut agent, report(2, 2));
    let sent = bench.sent();
    let [(_, message)] = &sent[..] else { panic!("{sent:?}") };
    assert!(message.health.is_some());
    assert!(message.agent_description.is_none() && message.effective_config.is_none());
    assert_eq!(message.sequence_num, 2, "numbers rise by one for each message sent on (R3)");
    says(&mut agent, report(1, 2));
    assert!(bench.sent()[0].1.health.is_some(), "back again is a change, too");
}

#[test]
pub(super) fn what_was_not_sent_is_not_known() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    bench.refuse(NotSent::Full);
    says(&mut agent, report(2, 2));
    bench.refuse(None);
    says(&mut agent, report(2, 2));
    assert!(bench.sent()[0].1.health.is_some());
}

fn is_whole(message: &AgentToServer) -> bool {
    message.agent_description.is_some()
        && message.effective_config.is_some()
        && message.health.is_some()
}

#[test]
pub(super) fn a_server_that_may_have_lost_it_gets_all_of_it() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    bench.relink();
    says(&mut agent, report(1, 1));
    assert!(is_whole(&bench.sent()[0].1), "a new incarnation of the link");
    let error_response = Some(ServerErrorResponse::default());
    bench.says(1, &ServerToAgent { error_response, ..ServerToAgent::default() });
    says(&mut agent, report(1, 1));
    assert!(is_whole(&bench.sent()[0].1), "an error");
}

#[test]
pub(super) fn a_server_that_asks_is_answered_from_the_store() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    // While servers are told of their agents again the store answers alone.
    bench.sessions.question_budget.lock().disturb(crate::clock::now());
    bench.says(1, &ask());
    assert_eq!(bench.permits(), [PermitUse::Used]);
    let sent = bench.sent();
    let AgentToServer { agent_description, health, effective_config, .. } = report(1, 1);
    let known = AgentToServer { agent_description, health, effective_config, ..heartbeat() };
    let (instance_uid, sequence_num) = (vec![1; 16], 2);
    assert_eq!(sent, [(uid(1), AgentToServer { instance_uid, sequence_num, ..known })]);
    assert_eq!(agent.reads(), [], "the agent does not hear of it");
    assert_eq!(says(&mut agent, report(1, 1)), [ack(1)], "and has nothing new to say");
    assert_eq!(bench.sent(), []);
}

fn components(hash: &[u8], map: &[&str]) -> AgentToServer {
    let components = map.iter().map(|name| ((*name).to_owned(), Default::default())).collect();
    let available = AvailableComponents { hash: hash.to_vec(), components };
    AgentToServer { available_components: Some(available), ..heartbeat() }
}

/// How many components are in the first message.
fn map_of(sent: &[(InstanceUid, AgentToServer)]) -> Option<usize> {
    let reported = sent.first()?.1.available_components.as_ref();
    reported.map(|components| components.components.len())
}

#[test]
pub(super) fn a_question_for_the_component_map_outlives_the_agents_connection() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    let ask = ServerToAgent { flags: 2, ..ServerToAgent::default() };
    says(&mut agent, components(b"h", &[]));
    bench.says(1, &ask);
    assert_eq!(agent.reads(), [to(1, ask.clone())]);
    // Whether it got it is open; what it says of the hash leaves the question open, too.
    let mut back = agent.returns(2);
    says(&mut back, components(b"h", &[]));
    bench.says(1, &ServerToAgent::default());
    back.reads();
    bench.sent();
    bench.permits();
    assert_eq!(
        back.reads(),
        [to(1, ask.clone())],
        "it is asked again, without the server's asking"
    );
    says(&mut back, components(b"h", &["otlp"]));
    assert_eq!(map_of(&bench.sent()), Some(1));
    let mut again = back.returns(3);
    says(&mut again, components(b"h", &[]));
    bench.permits();
    assert_eq!(again.reads(), [], "it has been answered");
}

#[test]
pub(super) fn a_question_for_the_component_map_that_waits_for_the_agent_is_put_once() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    says(&mut agent, components(b"h", &[]));
    bench.says(1, &ServerToAgent::default());
    agent.attachment = None;
    let ask = ServerToAgent { flags: 2, ..ServerToAgent::default() };
    bench.says(1, &ask);
    let mut back = agent.returns(2);
    says(&mut back, heartbeat());
    bench.permits();
    assert_eq!(back.reads(), [to(1, ask)]);
}

#[test]
pub(super) fn a_component_map_comes_from_the_store_or_else_from_the_agent() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    let ask = ServerToAgent { flags: 2, ..ServerToAgent::default() };
    says(&mut agent, components(b"h", &[]));
    assert_eq!(map_of(&bench.sent()), Some(0));
    bench.says(1, &ask);
    assert_eq!(agent.reads(), [to(1, ask.clone())], "only the agent has the map");
    bench.says(1, &ask);
    assert_eq!(agent.reads(), [], "it is asked once");
    says(&mut agent, components(b"h", &["otlp"]));
    assert_eq!(map_of(&bench.sent()), Some(1));
    bench.says(1, &ServerToAgent::default());
    agent.reads();
    bench.says(1, &ask);
    assert_eq!(agent.reads(), []);
    bench.permits();
    assert_eq!(map_of(&bench.sent()), Some(1), "now the store has it");
}

#[test]
pub(super) fn custom_messages_are_never_taken_for_unchanged() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    for _ in 0..2 {
        says(&mut agent, AgentToServer { health: report(1, 1).health, ..custom(b"same") });
    }
    let sent = bench.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, m)| m.custom_message.is_some() && m.health.is_none()));
}

#[test]
pub(super) fn a_message_without_digests_goes_on_whole() {
    let bench = Bench::default();
    let mut agent = reported(&bench);
    let AgentToServer { agent_description, health, effective_config, .. } = report(1, 1);
    let number = agent.number;
    let known = AgentToServer { agent_description, health, effective_config, ..heartbeat() };
    let mut bytes =
        AgentToServer { instance_uid: vec![1; 16], sequence_num: number, ..known }.encode_to_vec();
    // More top-level fields than are looked at: an unknown one (number 20), over and over.
    for _ in 0..70_000 {
        bytes.extend_from_slice(&[0xa0, 0x01, 1]);
    }
    let mut out = Vec::new();
    bench.sessions.receive(&mut agent.attachment, agent.connection, &bytes, &mut out).unwrap();
    let sent = bench.sent();
    assert!(sent[0].1.agent_description.is_some() && sent[0].1.health.is_some());
}
