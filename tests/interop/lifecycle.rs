//! Agents that come and go: what their servers learn of it, and what stays hidden from them (R8).

use std::time::Duration;

use crate::support::interop::server::PushUid;
use crate::support::interop::world::{Setup, Topology};
use crate::support::log::{Event, Mark};

fn disconnects(event: &Event) -> bool {
    event.has_field("agent_disconnect")
}

/// A clean end is passed on at once, and once; the agent's close is answered. Asserted by order: the
/// answer to the close frame came before the client gave up waiting for it, which takes it 5 s; and
/// the server was told within the patience of a wait, half of what an unannounced end takes.
pub(crate) async fn clean_disconnect(setup: Setup) {
    let mut world = setup.world().await;
    let mut agent = world.agent(world.options("leaving")).await;
    let stays = world.agent(world.options("staying")).await;

    let since = world.server.mark();
    agent.stop().await;
    // The client writes `done` as its last line, so what it got before stands in its log.
    let closes = agent.log().events(Mark::default(), "close_frame");
    let is_answered = closes.iter().any(|event| event.text("direction") == "in");
    assert!(is_answered, "the close was not answered: {closes:?}");
    world.server.received(since, &agent.uid, disconnects).await;
    world.forgot(&agent).await;
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

/// The gateway reports an agent gone that stays away for `grace_period`. Asserted: no sooner than that
/// after the kill; later is the machine's.
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
    // Before the kill, because the gateway may see the end of the process before `kill` returns.
    let alive = seawall::clock::now();
    agent.process().kill().await;
    world.server.received(since, &agent.uid, disconnects).await;
    assert!(alive.elapsed() >= grace_period, "gone after {:?}", alive.elapsed());
    assert_eq!(world.server.state(&agent.uid).await, None);
    world.converged(&stays).await;
    world.check(&[&agent, &stays]);
}

/// A new process with another uid on the same host is another agent; the first is gone cleanly.
pub(crate) async fn agent_reborn(setup: Setup) {
    let mut world = setup.world().await;
    let mut first = world.agent(world.options("host")).await;
    let since = world.server.mark();
    first.stop().await;
    world.server.received(since, &first.uid, disconnects).await;
    let second = world.agent(world.options("host")).await;
    assert_ne!(first.uid, second.uid);
    world.forgot(&first).await;
    world.check(&[&first, &second]);
}
