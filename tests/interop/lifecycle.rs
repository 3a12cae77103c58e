//! Agents that come and go: what their servers learn of it, and what they do not (R8).

use std::time::Duration;

use crate::support::interop::server::PushUid;
use crate::support::interop::world::{Setup, Topology};
use crate::support::log::{Event, Mark};

fn disconnects(event: &Event) -> bool {
    event.has_field("agent_disconnect")
}

/// A clean end is passed on at once, and once; the agent's close is answered.
pub(crate) async fn clean_disconnect(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("leaving")).await;
    let stays = world.agent(world.options("staying")).await;

    let since = world.server.mark();
    let asked = seawall::clock::now();
    agent.stop().await;
    // opamp-go waits up to 5 s for the answer to its close frame.
    assert!(asked.elapsed() < Duration::from_secs(3), "the close was not answered");
    agent.event(Mark::default(), "close_frame", |event| event.text("direction") == "in").await;
    world.server.received(since, &agent.uid, disconnects).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "not passed on at once");
    assert_eq!(world.server.state(&agent.uid).await, None);
    if matches!(setup.topology, Topology::Direct | Topology::PerAgent) {
        world.server.process().event(since, "closed", |_| true).await;
    }
    let told = world.server.messages(since, &agent.uid).iter().filter(|e| disconnects(e)).count();
    assert_eq!(told, 1, "told once");
    world.converged(&stays).await;
    world.check(&[&agent, &stays]);
}

/// A short absence is invisible to the server, whatever the agent sends when it is back.
pub(crate) async fn agent_cut_and_back(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("flaky")).await;
    let beginning = world.server.mark();
    for round in 0..3 {
        let since = agent.mark();
        agent.cut().await;
        agent.event(since, "disconnected", |_| true).await;
        agent.event(since, "connected", |_| true).await;
        agent.set_health(true, &format!("back for the {round}. time")).await;
        world.converged(&agent).await;
    }
    let messages = world.server.messages(beginning, &agent.uid);
    assert!(!messages.iter().any(disconnects), "the server was told of a short absence");
    assert!(messages.iter().all(|event| event.flag("known")), "the server forgot the agent");
    assert!(world.server.process().log().events(beginning, "closed").is_empty(), "a link closed");
    world.check(&[&agent]);
}

/// An agent that does not come back is reported gone after the linger time, by the gateway.
pub(crate) async fn agent_killed(setup: Setup) {
    let grace_period = Duration::from_millis(1500);
    let mut world = setup
        .world_with(PushUid::Present, |gateway| {
            gateway.set("sessions", "grace_period", "\"1500ms\"")
        })
        .await;
    let mut agent = world.agent(world.options("doomed")).await;
    let stays = world.agent(world.options("staying")).await;
    let since = world.server.mark();
    agent.process().kill().await;
    let died = seawall::clock::now();
    world.server.received(since, &agent.uid, disconnects).await;
    // The end of the process may have been seen a little before `kill` returned.
    assert!(died.elapsed() >= grace_period / 2, "it did not grace_period");
    assert_eq!(world.server.state(&agent.uid).await, None);
    world.converged(&stays).await;
    world.check(&[&agent, &stays]);
}

/// A new process with another uid on the same host is another agent; the first is gone cleanly.
pub(crate) async fn agent_reborn(setup: Setup) {
    let mut world = setup.world().await;
    let mut first = world.agent(world.options("host")).await;
    first.stop().await;
    let second = world.agent(world.options("host")).await;
    assert_ne!(first.uid, second.uid);
    assert_eq!(world.server.state(&first.uid).await, None);
    world.check(&[&first, &second]);
}
