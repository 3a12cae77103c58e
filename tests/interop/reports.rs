//! What agents tell: first reports, changes, heartbeats, and the replies they get.

use std::time::Duration;

use prost::Message as _;
use seawall::opamp::proto::ComponentHealth;

use crate::support::interop::agent::{CUSTOM_CAPABILITY, config_map};
use crate::support::interop::server::PushUid;
use crate::support::interop::world::Setup;
use crate::support::log::Mark;

/// The first report of an agent arrives whole, and its first reply tells of the server.
pub(crate) async fn first_report(setup: Setup) {
    let mut world = setup.world().await;
    let agent = world.agent(world.options("first")).await;

    let told = world.server.state(&agent.uid).await.expect("it reported");
    let description = told.agent_description.expect("reported");
    assert_eq!(description.identifying_attributes[0].key, "service.name");
    assert_eq!(
        told.effective_config.expect("reported").config_map,
        Some(config_map("name: first"))
    );
    assert_eq!(told.health.expect("reported").status, "starting");
    assert_eq!(told.custom_capabilities.expect("reported").capabilities, [CUSTOM_CAPABILITY]);
    assert!(told.package_statuses.is_some() && told.remote_config_status.is_some());
    assert_eq!(told.available_components.expect("asked for").components.len(), 2);

    let first = agent.event(Mark::default(), "received", |_| true).await.server_to_agent();
    assert_ne!(first.capabilities, 0, "the first reply carries the server's capabilities");
    agent
        .event(Mark::default(), "custom_capabilities", |event| {
            event.texts("capabilities") == [CUSTOM_CAPABILITY]
        })
        .await;
    world.check(&[&agent]);
}

/// A change arrives alone, and takes the old value's place.
pub(crate) async fn changes(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("changing")).await;

    let since = world.server.mark();
    agent.set_health(false, "out of disk").await;
    let got = world.server.received(since, &agent.uid, |event| event.has_field("health")).await;
    assert_eq!(got.agent_to_server().health.expect("sent").status, "out of disk");
    assert!(!got.has_field("effective_config"), "only what changed is sent");

    let since = world.server.mark();
    agent.set_effective_config("receivers: [otlp]").await;
    let got =
        world.server.received(since, &agent.uid, |event| event.has_field("effective_config")).await;
    let config = got.agent_to_server().effective_config.expect("sent");
    assert_eq!(config.config_map, Some(config_map("receivers: [otlp]")));
    assert!(!got.has_field("health"), "only what changed is sent");

    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// Fields that are unknown to our schema travel unchanged, both ways.
pub(crate) async fn unknown_fields(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("newer")).await;
    // Field 1000, a varint: 42.
    let unknown = [0xc0, 0x3e, 0x2a];
    let holds = |bytes: Vec<u8>| bytes.windows(unknown.len()).any(|window| window == unknown);

    let since = world.server.mark();
    let mut health = ComponentHealth { status: "newer".to_owned(), ..Default::default() };
    agent.tell("set_health", &[health.encode_to_vec(), unknown.to_vec()].concat()).await;
    world.server.received(since, &agent.uid, |event| holds(event.raw())).await;

    let since = agent.mark();
    world.server.push_bytes(&agent.uid, &unknown).await;
    agent.event(since, "received", |event| holds(event.raw())).await;

    // Let the unknown field go again, for the states are compared as the schema reads them.
    health.status = "as before".to_owned();
    agent.tell("set_health", &health.encode_to_vec()).await;
    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// Every message gets exactly one reply (R5). Counted when the agent has as many replies as messages,
/// however late a loaded machine delivers them, and once more after its clean end.
pub(crate) async fn one_reply_each(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("counting")).await;
    for round in 0..20 {
        let since = agent.mark();
        agent.set_health(true, &format!("round {round}")).await;
        agent.event(since, "received", |_| true).await;
    }
    world.converged(&agent).await;
    agent.answered().await;
    // The message that says goodbye may go unanswered, for the agent closes right behind it.
    agent.stop().await;
    // On its first connection: opamp-go may dial once more while it stops.
    let first = agent.log().events(Mark::default(), "sent")[0].number("conn");
    let [sent, received] = ["sent", "received"].map(|name| {
        let events = agent.log().events(Mark::default(), name);
        events.iter().filter(|event| event.number("conn") == first).count()
    });
    assert!((sent - 1..=sent).contains(&received), "{sent} messages, {received} replies");
    world.check(&[&agent]);
}

/// An agent whose server is silent gets its reply from the gateway, after `reply_wait`; what the server
/// says later still arrives. Asserted: a reply comes, no sooner than `reply_wait`. How much later it
/// comes is the machine's, within the patience of every wait here.
pub(crate) async fn silent_server(setup: Setup) {
    let wait = Duration::from_millis(300);
    let mut world = setup
        .world_with(PushUid::Present, |gateway| gateway.set("sessions", "reply_wait", "\"300ms\""))
        .await;
    let mut agent = world.agent(world.options("patient")).await;
    // From here on the next reply belongs to the next message.
    agent.answered().await;
    world.server.silence(true).await;

    let since = agent.mark();
    let asked = seawall::clock::now();
    agent.set_health(false, "hello?").await;
    let reply = agent.event(since, "received", |_| true).await;
    assert!(asked.elapsed() >= wait, "the server's own reply is waited for");
    let reply = reply.server_to_agent();
    assert!(reply.error_response.is_none() && reply.flags == 0, "an acknowledgement: {reply:?}");

    world.server.silence(false).await;
    world.converged(&agent).await;
    world.check(&[&agent]);
}

/// The gateway answers heartbeats itself and forwards one a second (R9). Asserted: of fifteen heartbeats, five a
/// second, at most one goes on for each second that they take, and two more.
pub(crate) async fn heartbeats_held(setup: Setup) {
    let mut world = setup.world().await;
    let options = world.options("beating").heartbeat(Duration::from_millis(200));
    let agent = world.agent(options).await;
    agent.answered().await;
    let (server_since, agent_since) = (world.server.mark(), agent.mark());
    let began = seawall::clock::now();
    let replies = || agent.log().events(agent_since, "received").len();
    agent.event(agent_since, "received", |_| replies() >= 15).await;
    let allowed = 2 + began.elapsed().as_secs();
    let got = world.server.messages(server_since, &agent.uid).len() as u64;
    assert!(got <= allowed, "{got} of fifteen heartbeats went on; {allowed} may");
    world.check(&[&agent]);
}
