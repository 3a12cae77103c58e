//! Agents over plain HTTP, which works with every upstream mode.

use std::time::Duration;

use crate::offers::config_offer;
use crate::support::interop::agent::{Transport, custom};
use crate::support::interop::server::PushUid;
use crate::support::interop::world::Setup;
use crate::support::log::Mark;
use seawall::opamp::proto::ServerToAgent;

const POLL: Duration = Duration::from_millis(300);

/// A polling agent reports, and what is pushed for it comes with its next poll.
pub(crate) async fn polling(setup: Setup) {
    exchange(setup, Transport::Http).await;
}

/// The same with compressed bodies.
pub(crate) async fn gzip(setup: Setup) {
    exchange(setup, Transport::HttpGzip).await;
}

async fn exchange(setup: Setup, transport: Transport) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("polling").over(transport).heartbeat(POLL)).await;
    let bystander = world.agent(world.options("bystander")).await;

    let since = world.server.mark();
    agent.set_health(false, "over http").await;
    let got = world.server.received(since, &agent.uid, |event| event.has_field("health")).await;
    assert_eq!(got.agent_to_server().health.expect("sent").status, "over http");

    let since = agent.mark();
    world.server.push(&agent.uid, &config_offer("by poll")).await;
    agent.event(since, "remote_config", |event| event.text("body") == "by poll").await;
    world.converged(&agent).await;

    let (server_since, agent_since) = (world.server.mark(), agent.mark());
    for number in 0..5 {
        let message = Some(custom("down", &number.to_string()));
        let push = ServerToAgent { custom_message: message, ..ServerToAgent::default() };
        world.server.push(&agent.uid, &push).await;
    }
    agent.send_custom("up", "hello").await;
    world.server.received(server_since, &agent.uid, |e| e.has_field("custom_message")).await;
    agent.event(agent_since, "custom", |event| event.text("data") == "4").await;
    let down = agent.log().events(agent_since, "custom");
    let down: Vec<_> = down.iter().map(|event| event.text("data")).collect();
    assert_eq!(down, ["0", "1", "2", "3", "4"]);

    assert!(agent.log().events(Mark::default(), "refused").is_empty(), "all answers were 200");
    assert!(bystander.log().events(Mark::default(), "custom").is_empty());
    world.check(&[&agent, &bystander]);
}

/// A polling agent goes without a goodbye: the gateway misses its polls and tells its server. Asserted:
/// in the end the server has forgotten it. A loaded machine may delay a poll past `poll_timeout`, so
/// that the agent is missed, and known again, before its end.
pub(crate) async fn agent_gone(setup: Setup) {
    let mut world = setup
        .world_with(PushUid::Present, |gateway| {
            let gateway = gateway.set("sessions", "poll_timeout", "\"1500ms\"");
            gateway.set("sessions", "grace_period", "\"500ms\"")
        })
        .await;
    let options = world.options("polling").over(Transport::Http).heartbeat(POLL);
    let mut agent = world.agent(options).await;
    let since = world.server.mark();
    agent.stop().await;
    world.server.received(since, &agent.uid, |event| event.has_field("agent_disconnect")).await;
    world.forgotten(&agent).await;
    world.check(&[&agent]);
}
