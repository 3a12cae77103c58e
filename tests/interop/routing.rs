//! Every message goes to its own agent, for an agent applies whatever it is sent.

use seawall::opamp::proto::ServerToAgent;

use crate::offers::config_offer;
use crate::support::interop::Version;
use crate::support::interop::agent::{Agent, CUSTOM_CAPABILITY, custom};
use crate::support::interop::server::PushUid;
use crate::support::interop::world::Setup;
use crate::support::log::{Event, Mark};

/// Messages to each agent, of each kind.
const ROUNDS: usize = 50;

/// Counts pushes that leave the agent unnamed on a shared link.
const ANONYMOUS: &str = "seawall_upstream_anonymous_pushes_total";

fn custom_push(data: &str) -> ServerToAgent {
    ServerToAgent { custom_message: Some(custom("for", data)), ..ServerToAgent::default() }
}

/// Pushes and reports of two agents of different releases, interleaved.
pub(crate) async fn two_agents(setup: Setup) {
    let mut world = setup.world().await;
    let mut old = world.options("old");
    old.version = Version::V022;
    let mut agents = [world.agent(old).await, world.agent(world.options("new")).await];
    let since = world.server.mark();
    for round in 0..ROUNDS {
        for agent in &mut agents {
            let text = format!("{} {round}", agent.options.name);
            world.server.push(&agent.uid, &custom_push(&text)).await;
            world.server.push(&agent.uid, &config_offer(&text)).await;
            agent.send_custom("from", &text).await;
        }
    }
    for agent in &agents {
        let last = format!("{} {}", agent.options.name, ROUNDS - 1);
        agent.event(Mark::default(), "custom", |event| event.text("data") == last).await;
        agent.event(Mark::default(), "remote_config", |event| event.text("body") == last).await;
        let upward = |event: &Event| {
            let message = event.agent_to_server().custom_message;
            message.is_some_and(|custom| custom.data == last.as_bytes())
        };
        world.server.received(since, &agent.uid, upward).await;
        world.converged(agent).await;
        check_own(agent);
        check_names(&world.server.messages(since, &agent.uid), &agent.options.name);
    }
    world.check(&agents.each_ref());
}

/// Everything that the agent got bears its name; custom messages are all there, in order.
fn check_own(agent: &Agent) {
    let name = &agent.options.name;
    let customs = agent.log().events(Mark::default(), "custom");
    let expected: Vec<String> = (0..ROUNDS).map(|round| format!("{name} {round}")).collect();
    assert_eq!(customs.iter().map(|event| event.text("data")).collect::<Vec<_>>(), expected);
    for event in agent.log().events(Mark::default(), "remote_config") {
        assert!(event.text("body").starts_with(name), "{name} was given {}", event.text("body"));
    }
}

/// What the server got under the agent's uid was the agent's.
fn check_names(messages: &[Event], name: &str) {
    for message in messages {
        if let Some(custom) = message.agent_to_server().custom_message {
            assert!(
                custom.data.starts_with(name.as_bytes()),
                "another agent's message as {name}'s"
            );
        }
    }
}

/// The server tells its custom capabilities once a connection; every agent learns them.
pub(crate) async fn all_learn_custom_capabilities(setup: Setup) {
    let mut world = setup.world().await;
    let mut agents = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let agent = world.agent(world.options(name)).await;
        let told = agent.event(Mark::default(), "custom_capabilities", |_| true).await;
        assert_eq!(told.texts("capabilities"), [CUSTOM_CAPABILITY]);
        agents.push(agent);
    }
    world.check(&agents.iter().collect::<Vec<_>>());
}

/// A server whose pushes leave the agent unnamed works if each agent has its own connection.
pub(crate) async fn push_without_uid(setup: Setup) {
    let mut world = setup.world_with(PushUid::Absent, |gateway| gateway).await;
    let agents = [world.agent(world.options("one")).await, world.agent(world.options("two")).await];
    for round in 0..ROUNDS {
        for agent in &agents {
            let text = format!("{} {round}", agent.options.name);
            world.server.push(&agent.uid, &custom_push(&text)).await;
        }
    }
    for agent in &agents {
        let last = format!("{} {}", agent.options.name, ROUNDS - 1);
        agent.event(Mark::default(), "custom", |event| event.text("data") == last).await;
        check_own(agent);
    }
    world.check(&agents.each_ref());
}

/// On a shared link the gateway drops such a push and counts it. A message that names its agent
/// still arrives.
pub(crate) async fn push_without_uid_is_not_guessed(setup: Setup) {
    let mut world = setup.world_with(PushUid::Absent, |gateway| gateway).await;
    let mut agents =
        [world.agent(world.options("one")).await, world.agent(world.options("two")).await];
    for agent in &agents {
        world.server.push(&agent.uid, &custom_push("for somebody")).await;
        world.server.push(&agent.uid, &config_offer("for somebody")).await;
    }
    world.gateway().wait_metric(ANONYMOUS, &[], |count| count >= 4.0).await;
    for agent in &mut agents {
        // Replies name their agent. They come after the pushes on the same link.
        let since = agent.mark();
        agent.set_health(true, "still here").await;
        agent.event(since, "received", |_| true).await;
    }
    for agent in &agents {
        world.converged(agent).await;
        assert!(agent.log().events(Mark::default(), "custom").is_empty(), "guessed");
        assert!(agent.log().events(Mark::default(), "remote_config").is_empty(), "guessed");
    }
    world.check(&agents.each_ref());
}
