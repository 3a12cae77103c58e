//! Shapes of reports, and obedience.

use super::super::clients::ClientKind;
use super::*;
use seawall::opamp::proto::{AgentIdentification, AgentRemoteConfig, AgentToServer, CustomMessage};

fn read(agent: &mut FleetAgent, profile: &Profile) -> (AgentToServer, Vec<u8>) {
    let mut out = Vec::new();
    agent.report(profile, &mut out);
    (AgentToServer::decode(&out[..]).unwrap(), out)
}

/// opamp-go from v0.23 on.
fn new(profile: &Profile, index: u32) -> FleetAgent {
    FleetAgent::new(profile, index, ClientKind::OpampGo.habits())
}

fn tell(agent: &mut FleetAgent, message: ServerToAgent) -> Reaction {
    agent.on_message(&message.encode_to_vec()).unwrap()
}

#[test]
fn a_first_report_is_of_a_real_size_and_shape() {
    let profile = Profile::new(1);
    let mut sizes = 0;
    for index in 0..200 {
        let mut agent = new(&profile, index);
        agent.on_open();
        let (message, bytes) = read(&mut agent, &profile);
        sizes += bytes.len();
        assert_eq!(message.sequence_num, 0);
        let components = message.available_components.unwrap();
        assert!(components.components.is_empty() && components.hash.len() == 32);
        let description = message.agent_description.unwrap();
        let attributes =
            description.identifying_attributes.len() + description.non_identifying_attributes.len();
        assert_eq!(attributes, 14);
        let health = message.health.unwrap();
        assert_eq!(health.component_health_map.len(), 3);
        assert!(message.connection_settings_status.is_none());
        assert_eq!(message.effective_config.unwrap().config_map.unwrap().config_map.len(), 2);
    }
    let mean = sizes / 200;
    assert!((7_500..12_000).contains(&mean), "{mean} bytes");
}

#[test]
fn the_order_of_maps_changes_and_the_digest_does_not() {
    let profile = Profile::new(1);
    let mut agent = new(&profile, 3);
    let truth = agent.truth(&profile).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        agent.pending = PendingFields::ALL.with(PendingFields::MAP);
        let (_, bytes) = read(&mut agent, &profile);
        let shape = ReportShape::decode(&bytes[..]).unwrap();
        assert!(shape.is_full());
        for (field, bytes) in StatusField::ALL.into_iter().zip(shape.status_fields()) {
            let digest = bytes.map_or(0, |bytes| of_field(field, bytes));
            assert_eq!(digest, truth.view.fields[field.index()], "{field:?}");
        }
        seen.insert(shape.health.unwrap());
    }
    assert!(seen.len() > 15);
}

#[test]
fn reconnects_follow_the_behaviour() {
    let profile = Profile::new(1);
    for kind in [ClientKind::OpampGo022, ClientKind::OpampGo] {
        let mut agent = FleetAgent::new(&profile, 1, kind.habits());
        assert!(agent.on_open());
        read(&mut agent, &profile);
        assert!(agent.on_open());
        let (again, _) = read(&mut agent, &profile);
        assert_eq!(again.sequence_num, 1);
        assert_eq!(again.effective_config.is_some(), kind == ClientKind::OpampGo022);
        assert!(again.health.is_none());
        agent.change_health();
        agent.on_open();
        let (changed, _) = read(&mut agent, &profile);
        assert!(changed.health.is_some());
    }
}

#[test]
fn java_is_silent_on_its_second_connection_until_something_changes() {
    let profile = Profile::new(1);
    let mut agent = FleetAgent::new(&profile, 1, ClientKind::JavaWs.habits());
    assert!(agent.truth(&profile).is_none(), "it has said nothing");
    assert!(agent.on_open());
    let (first, _) = read(&mut agent, &profile);
    assert_eq!((first.sequence_num, first.agent_description), (2, None));
    let asked = tell(&mut agent, ServerToAgent { flags: 1, ..Default::default() });
    assert!(asked.full_state_asked && !asked.report);
    let truth = agent.truth(&profile).unwrap().view;
    assert_eq!((truth.capabilities, truth.fields), (CAPABILITIES, Default::default()));
    assert!(!agent.on_open(), "the question waits for a change");
    assert!(agent.truth(&profile).is_none(), "no server can know who is on this connection");
    agent.change_health();
    assert!(agent.on_open());
    let (full, _) = read(&mut agent, &profile);
    assert!(full.agent_description.is_some() && full.health.is_some());
}

#[test]
fn dotnet_says_once_who_it_is_and_may_be_kept_from_it_for_good() {
    let profile = Profile::new(1);
    let mut agent = FleetAgent::new(&profile, 1, ClientKind::Dotnet.habits());
    agent.on_open();
    let (first, _) = read(&mut agent, &profile);
    assert_eq!((first.sequence_num, first.capabilities), (1, CAPABILITIES));
    assert!(first.agent_description.is_some() && first.effective_config.is_none());
    assert!(agent.has_lost_message());
    agent.on_beat();
    let (beat, _) = read(&mut agent, &profile);
    assert!(beat.health.is_some() && beat.agent_description.is_none());
    assert_eq!(beat.capabilities, 0);
    tell(&mut agent, ServerToAgent { flags: 1, ..Default::default() });
    assert!(agent.truth(&profile).is_none(), "its description was refused");
    agent.on_beat();
    let (asked, _) = read(&mut agent, &profile);
    assert!(asked.agent_description.is_some() && asked.capabilities == CAPABILITIES);
    tell(&mut agent, ServerToAgent::default());
    assert!(agent.truth(&profile).is_some());
}

#[test]
fn otel_arrow_opens_with_its_last_number_and_its_beats_carry_health() {
    let profile = Profile::new(1);
    let mut agent = FleetAgent::new(&profile, 1, ClientKind::OtelArrow.habits());
    agent.on_open();
    read(&mut agent, &profile);
    agent.on_beat();
    let (beat, _) = read(&mut agent, &profile);
    assert!(beat.health.is_some() && beat.custom_message.is_some());
    agent.on_open();
    let (again, _) = read(&mut agent, &profile);
    assert_eq!(again.sequence_num, beat.sequence_num);
    assert!(again.effective_config.is_some());
}

#[test]
fn what_is_unavailable_answers_nothing() {
    let profile = Profile::new(1);
    let mut agent = FleetAgent::new(&profile, 1, ClientKind::JavaHttp.habits());
    agent.on_open();
    read(&mut agent, &profile);
    let retry_after_nanoseconds = 3_000_000_000;
    let details =
        Some(Details::RetryInfo(seawall::opamp::proto::RetryInfo { retry_after_nanoseconds }));
    let error = ServerErrorResponse {
        r#type: ServerErrorResponseType::Unavailable.into(),
        details,
        ..Default::default()
    };
    let refusal = ServerToAgent { error_response: Some(error), ..Default::default() };
    assert_eq!(tell(&mut agent, refusal).unavailable, Some(Some(Duration::from_secs(3))));
    agent.keeps_message();
    let (again, _) = read(&mut agent, &profile);
    assert!(again.agent_description.is_some() && again.sequence_num == 2, "the report was kept");
    let asked = tell(&mut agent, ServerToAgent { flags: 1, ..Default::default() });
    assert!(!asked.report && agent.has_news(), "answered with the next poll");
}

#[test]
fn questions_are_answered_in_full() {
    let profile = Profile::new(1);
    let mut agent = new(&profile, 1);
    agent.on_open();
    read(&mut agent, &profile);
    assert_eq!(tell(&mut agent, ServerToAgent::default()), Reaction::default());
    let asked = tell(&mut agent, ServerToAgent { flags: 1, ..Default::default() });
    assert!(asked.report && asked.full_state_asked && !asked.components_asked);
    let (full, _) = read(&mut agent, &profile);
    assert!(full.health.is_some());
    assert_eq!(full.available_components.unwrap().components.len(), 5);
    let asked = tell(&mut agent, ServerToAgent { flags: 2, ..Default::default() });
    assert!(asked.report && asked.components_asked && !asked.full_state_asked);
    let (components, _) = read(&mut agent, &profile);
    assert!(components.health.is_none());
    assert_eq!(components.available_components.unwrap().components.len(), 5);
}

#[test]
fn offers_are_applied_and_strangers_mail_is_noticed() {
    let profile = Profile::new(1);
    let mut agent = new(&profile, 1);
    let mine = agent.uid.to_wire().to_vec();
    let config =
        AgentRemoteConfig { config_hash: [&mine[..], b"1"].concat(), ..Default::default() };
    let offer = ServerToAgent { remote_config: Some(config.clone()), ..Default::default() };
    let reaction = tell(&mut agent, offer);
    assert!(reaction.report && reaction.offer && !reaction.misrouted);
    let (message, _) = read(&mut agent, &profile);
    assert_eq!(message.remote_config_status.unwrap().last_remote_config_hash, config.config_hash);
    let stranger = ServerToAgent { instance_uid: vec![9; 16], ..Default::default() };
    assert!(tell(&mut agent, stranger).misrouted);
    // The envelope says it is ours, the letter says otherwise.
    let custom = CustomMessage { data: vec![9; 20], ..Default::default() };
    let wrong =
        ServerToAgent { instance_uid: mine, custom_message: Some(custom), ..Default::default() };
    assert!(tell(&mut agent, wrong).misrouted);
}

#[test]
fn a_new_uid_keeps_the_number() {
    let profile = Profile::new(1);
    let mut agent = new(&profile, 1);
    read(&mut agent, &profile);
    let new = AgentIdentification { new_instance_uid: vec![8; 16] };
    let message = ServerToAgent { agent_identification: Some(new), ..Default::default() };
    assert!(!tell(&mut agent, message).report);
    let (next, _) = read(&mut agent, &profile);
    assert_eq!((next.instance_uid, next.sequence_num), (vec![8; 16], 1));
}
