//! Shapes of reports, and obedience.

use super::*;
use seawall::opamp::proto::{AgentIdentification, AgentRemoteConfig, AgentToServer, CustomMessage};

fn read(agent: &mut FleetAgent, profile: &Profile) -> (AgentToServer, Vec<u8>) {
    let mut out = Vec::new();
    agent.report(profile, &mut out);
    (AgentToServer::decode(&out[..]).unwrap(), out)
}

fn tell(agent: &mut FleetAgent, message: ServerToAgent) -> Reaction {
    agent.on_message(&message.encode_to_vec()).unwrap()
}

#[test]
fn a_first_report_is_of_a_real_size_and_shape() {
    let profile = Profile::new(1);
    let mut sizes = 0;
    for index in 0..200 {
        let mut agent = FleetAgent::new(&profile, index);
        agent.on_open(Behaviour::DeltaOnReconnect);
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
    let mut agent = FleetAgent::new(&profile, 3);
    let truth = agent.truth(&profile);
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
    for behaviour in [Behaviour::FullOnReconnect, Behaviour::DeltaOnReconnect] {
        let mut agent = FleetAgent::new(&profile, 1);
        agent.on_open(behaviour);
        read(&mut agent, &profile);
        agent.on_open(behaviour);
        let (again, _) = read(&mut agent, &profile);
        assert_eq!(again.sequence_num, 1);
        assert_eq!(again.effective_config.is_some(), behaviour == Behaviour::FullOnReconnect);
        assert!(again.health.is_none());
        agent.change_health();
        agent.on_open(behaviour);
        let (changed, _) = read(&mut agent, &profile);
        assert!(changed.health.is_some());
    }
}

#[test]
fn questions_are_answered_in_full() {
    let profile = Profile::new(1);
    let mut agent = FleetAgent::new(&profile, 1);
    agent.on_open(Behaviour::DeltaOnReconnect);
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
    let mut agent = FleetAgent::new(&profile, 1);
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
    let mut agent = FleetAgent::new(&profile, 1);
    read(&mut agent, &profile);
    let new = AgentIdentification { new_instance_uid: vec![8; 16] };
    let message = ServerToAgent { agent_identification: Some(new), ..Default::default() };
    assert!(!tell(&mut agent, message).report);
    let (next, _) = read(&mut agent, &profile);
    assert_eq!((next.instance_uid, next.sequence_num), (vec![8; 16], 1));
}
