//! Servers that go and come back: agents stay connected, and in the end the servers know the truth
//! again.

use crate::offers::config_offer;
use crate::support::interop::agent::Agent;
use crate::support::interop::server::{PushUid, Server};
use crate::support::interop::world::{Setup, World};
use crate::support::log::Mark;

/// The server is killed with all it knew, comes back empty, and an agent changes meanwhile.
pub(crate) async fn server_restart(setup: Setup) {
    let mut world = setup.world().await;
    let mut first = world.agent(world.options("first")).await;
    let second = world.agent(world.options("second")).await;
    let marks = [first.mark(), second.mark()];

    world.server.kill().await;
    if !world.is_direct() {
        world.gateway_mut().wait_unready().await;
        // The gateway answers in the server's absence.
        let since = first.mark();
        first.set_health(false, "changed in the dark").await;
        first.event(since, "received", |_| true).await;
    }
    world.server.revive().await;
    if world.is_direct() {
        first.event(marks[0], "connected", |_| true).await;
        second.event(marks[1], "connected", |_| true).await;
    }
    settled(&mut world, [&first, &second], marks).await;
}

/// The server lives on, but every socket to it is cut: it forgets the agents of those.
pub(crate) async fn links_cut(setup: Setup) {
    let mut world = setup.world().await;
    let first = world.agent(world.options("first")).await;
    let second = world.agent(world.options("second")).await;
    let marks = [first.mark(), second.mark()];
    let since = world.server.mark();
    let links = world.server.cut().await;
    assert!(links > 0, "there were links");
    let closed = || world.server.process().log().events(since, "closed").len() as u64;
    world.server.process().event(since, "closed", |_| closed() >= links).await;
    world.server.process().event(since, "connected", |_| true).await;
    settled(&mut world, [&first, &second], marks).await;
}

/// Both agents are known again and can be reached, and stayed connected to the gateway.
async fn settled(world: &mut World, agents: [&Agent; 2], marks: [Mark; 2]) {
    for (agent, mark) in agents.into_iter().zip(marks) {
        world.converged(agent).await;
        let name = agent.options.name.clone();
        let since = agent.mark();
        world.server.push(&agent.uid, &config_offer(&name)).await;
        agent.event(since, "remote_config", |event| event.text("body") == name).await;
        world.converged(agent).await;
        if !world.is_direct() {
            let lost = agent.log().events(mark, "disconnected");
            assert!(lost.is_empty(), "an agent's connection closed: {lost:?}");
        }
    }
}

/// Agents are admitted before a server can be reached, and readiness says that one is missing.
pub(crate) async fn late_server(setup: Setup) {
    let mut server = Server::start(&setup.peers, PushUid::Present).await;
    server.kill().await;
    let gateway = setup.topology.gateway(&server).expect("this scenario has a gateway");
    let mut gateway = gateway.start_unready().await;
    gateway.wait_unready().await;

    let mut world = World::of(setup, server, gateway);
    let agent = world.launch(world.options("early"));
    agent.event(Mark::default(), "received", |_| true).await;
    let answer = world.gateway().get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.text().trim().is_empty(), "it says why");

    world.server.revive().await;
    world.gateway_mut().wait_ready().await;
    world.converged(&agent).await;
    assert!(agent.log().events(Mark::default(), "disconnected").is_empty());
}
