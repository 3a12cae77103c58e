//! What servers want of agents, pushed or in replies, and what agents answer.

use std::time::Duration;

use prost::Message as _;
use seawall::opamp::proto::{
    AgentIdentification, AgentRemoteConfig, ConnectionSettingsOffers, ConnectionSettingsRequest,
    ConnectionSettingsStatuses, OpAmpConnectionSettings, OpAmpConnectionSettingsRequest,
    PackageAvailable, PackagesAvailable, RemoteConfigStatuses, ServerToAgent, ServerToAgentCommand,
};

use crate::support::interop::agent::{config_map, custom};
use crate::support::interop::server::PushUid;
use crate::support::interop::world::Setup;
use crate::support::log::{Event, hex};

/// An offer of a configuration of one file; its hash is its text.
pub(crate) fn config_offer(body: &str) -> ServerToAgent {
    let config = Some(config_map(body));
    ServerToAgent {
        remote_config: Some(AgentRemoteConfig { config, config_hash: body.into() }),
        ..ServerToAgent::default()
    }
}

/// A pushed configuration is applied and its status comes back; one that is rejected likewise.
pub(crate) async fn remote_config(setup: Setup) {
    let mut world = setup.world().await;
    let agent = world.agent(world.options("configured")).await;
    for (body, expected) in [
        ("exporters: [debug]", RemoteConfigStatuses::Applied),
        ("reject me", RemoteConfigStatuses::Failed),
    ] {
        let (server_since, agent_since) = (world.server.mark(), agent.mark());
        world.server.push(&agent.uid, &config_offer(body)).await;
        let offer = agent.event(agent_since, "remote_config", |_| true).await;
        assert_eq!((offer.text("body"), offer.text("hash")), (body, &*hex(body.as_bytes())));
        let status = |event: &Event| {
            event
                .agent_to_server()
                .remote_config_status
                .filter(|s| s.last_remote_config_hash == body.as_bytes())
        };
        let got =
            world.server.received(server_since, &agent.uid, |event| status(event).is_some()).await;
        assert_eq!(status(&got).expect("just seen").status(), expected);
        world.converged(&agent).await;
    }
    let told = world.server.state(&agent.uid).await.expect("connected");
    let effective = told.effective_config.expect("reported").config_map;
    assert_eq!(
        effective,
        Some(config_map("exporters: [debug]")),
        "the rejected one is not in effect"
    );
    world.check(&[&agent]);
}

/// Some servers send offers in replies alone.
pub(crate) async fn offer_in_reply(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("asking")).await;
    let since = agent.mark();
    world.server.queue(&agent.uid, &config_offer("by reply")).await;
    agent.set_health(true, "anything for me?").await;
    agent.event(since, "remote_config", |event| event.text("body") == "by reply").await;
    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// Custom messages go both ways, in order, each exactly once.
pub(crate) async fn custom_messages(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("custom")).await;
    let (server_since, agent_since) = (world.server.mark(), agent.mark());
    for number in 0..10 {
        let message = Some(custom("down", &number.to_string()));
        let push = ServerToAgent { custom_message: message, ..ServerToAgent::default() };
        world.server.push(&agent.uid, &push).await;
        agent.send_custom("up", &number.to_string()).await;
    }
    let expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();

    agent.event(agent_since, "custom", |event| event.text("data") == "9").await;
    let down = agent.log().events(agent_since, "custom");
    assert_eq!(down.iter().map(|event| event.text("data")).collect::<Vec<_>>(), expected);

    let data = |event: &Event| {
        event
            .agent_to_server()
            .custom_message
            .map(|custom| String::from_utf8(custom.data).expect("text"))
    };
    world
        .server
        .received(server_since, &agent.uid, |event| data(event).as_deref() == Some("9"))
        .await;
    let up: Vec<_> =
        world.server.messages(server_since, &agent.uid).iter().filter_map(data).collect();
    assert_eq!(up, expected);
    world.check(&[&agent]);
}

/// Connection settings with a heartbeat interval: accepted, reported, and followed. Asserted of the
/// interval: it is no shorter than offered, and far nearer to the second that was offered than to the
/// 30 s before; a loaded machine may make heartbeats late.
pub(crate) async fn heartbeat_interval(setup: Setup) {
    let mut world = setup
        .world_with(PushUid::Present, |gateway| {
            gateway.set("sessions", "heartbeat_forward_interval", "\"0s\"")
        })
        .await;
    let mut agent = world.agent(world.options("beating")).await;

    let since = world.server.mark();
    let request =
        ConnectionSettingsRequest { opamp: Some(OpAmpConnectionSettingsRequest::default()) };
    agent.tell("request_connection_settings", &request.encode_to_vec()).await;
    let asks = |event: &Event| event.has_field("connection_settings_request");
    world.server.received(since, &agent.uid, asks).await;

    let (server_since, agent_since) = (world.server.mark(), agent.mark());
    let opamp = OpAmpConnectionSettings { heartbeat_interval_seconds: 1, ..Default::default() };
    let offer = ConnectionSettingsOffers {
        hash: b"one second".into(),
        opamp: Some(opamp),
        ..Default::default()
    };
    let push = ServerToAgent { connection_settings: Some(offer), ..Default::default() };
    world.server.push(&agent.uid, &push).await;
    let accepted = agent.event(agent_since, "connection_settings", |_| true).await;
    assert_eq!(accepted.number("heartbeat_seconds"), Some(1));
    let applied = |event: &Event| {
        let status = event.agent_to_server().connection_settings_status;
        status.is_some_and(|status| {
            status.status() == ConnectionSettingsStatuses::Applied
                && status.last_connection_settings_hash == b"one second"
        })
    };
    world.server.received(server_since, &agent.uid, applied).await;

    let heartbeat = |event: &Event| event.texts("fields").len() == 3;
    let since = agent.mark();
    let beats = || {
        let mut sent = agent.log().events(since, "sent");
        sent.retain(heartbeat);
        sent
    };
    agent.event(since, "sent", |_| beats().len() >= 4).await;
    let times: Vec<_> = beats().iter().filter_map(|event| event.number("at_ms")).collect();
    let mean = Duration::from_millis((times[3] - times[0]) / 3);
    let expected = Duration::from_millis(800)..Duration::from_secs(10);
    assert!(expected.contains(&mean), "heartbeats every {mean:?}");
    // All of them go on here.
    let got =
        || world.server.messages(server_since, &agent.uid).iter().filter(|e| heartbeat(e)).count();
    world.server.received(server_since, &agent.uid, |_| got() >= 4).await;
    world.check(&[&agent]);
}

/// A restart command arrives as such. The client ignores all else in a message with a command, so
/// it must arrive alone.
pub(crate) async fn restart_command(setup: Setup) {
    let mut world = setup.world().await;
    let agent = world.agent(world.options("restarted")).await;
    let since = agent.mark();
    let command = Some(ServerToAgentCommand::default());
    let push = ServerToAgent { command, ..ServerToAgent::default() };
    world.server.push(&agent.uid, &push).await;
    world.server.push(&agent.uid, &config_offer("right after")).await;
    agent.event(since, "command", |event| event.text("type") == "CommandType_Restart").await;
    agent.event(since, "remote_config", |event| event.text("body") == "right after").await;
    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// A package offer arrives and its statuses come back.
pub(crate) async fn packages(setup: Setup) {
    let mut world = setup.world().await;
    let agent = world.agent(world.options("packaged")).await;
    let (server_since, agent_since) = (world.server.mark(), agent.mark());
    let package =
        PackageAvailable { version: "2.0".to_owned(), hash: b"p2".into(), ..Default::default() };
    let offer = PackagesAvailable {
        packages: [("collector".to_owned(), package)].into(),
        all_packages_hash: b"all".into(),
    };
    let push = ServerToAgent { packages_available: Some(offer), ..Default::default() };
    world.server.push(&agent.uid, &push).await;
    agent.event(agent_since, "packages", |event| event.text("hash") == hex(b"all")).await;
    let installed = |event: &Event| {
        let statuses = event.agent_to_server().package_statuses;
        statuses.is_some_and(|statuses| {
            statuses.server_provided_all_packages_hash == b"all"
                && statuses.packages["collector"].agent_has_version == "2.0"
        })
    };
    world.server.received(server_since, &agent.uid, installed).await;
    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// An agent that is given a new uid goes on under it, and can be reached by it.
pub(crate) async fn new_instance_uid(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("renamed")).await;
    let new: [u8; 16] = rand::random();
    let since = agent.mark();
    let identification = Some(AgentIdentification { new_instance_uid: new.into() });
    let push = ServerToAgent { agent_identification: identification, ..ServerToAgent::default() };
    world.server.push(&agent.uid, &push).await;
    agent.event(since, "identification", |event| event.text("uid") == hex(&new)).await;

    // The client stays silent; its next message carries the new uid.
    agent.set_health(true, "renamed").await;
    world.converged_as(&agent, &new).await;
    let since = agent.mark();
    world.server.push(&new, &config_offer("for the new one")).await;
    agent.event(since, "remote_config", |event| event.text("body") == "for the new one").await;
    world.converged_as(&agent, &new).await;

    let since = world.server.mark();
    agent.stop().await;
    world.server.received(since, &new, |event| event.has_field("agent_disconnect")).await;
    world.check(&[&agent]);
}
