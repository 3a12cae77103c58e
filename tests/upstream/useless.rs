//! Servers over plain HTTP that can be connected to and fail every message: they count as away, and it
//! takes several agents to bring that about.

use std::time::Duration;

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::mock::Mock;
use crate::support::mock::state::{Post, State};
use crate::{agents, assert_connected, refs};

const UNUSABLE: &str = "seawall_upstream_unusable_total";

/// A gateway that soon tries again.
fn before(servers: &[&Mock]) -> GatewayBuilder {
    let mut builder = Gateway::builder();
    for server in servers {
        builder = builder.server(&server.url(), Mode::Http(4));
    }
    builder
        .set("upstream", "backoff_initial", "\"100ms\"")
        .set("upstream", "backoff_max", "\"200ms\"")
        .set("upstream", "failover_after", "\"400ms\"")
        .set("upstream", "stable_after", "\"400ms\"")
}

fn assert_told_nothing(agents: &[Agent]) {
    for message in agents.iter().flat_map(Agent::messages) {
        assert!(message.error_response.is_none(), "{message:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_everybody_is_away_until_it_does_not() {
    for (post, blame, log) in [
        (Post::Status(500, None), "server", "the server fails"),
        (Post::Cut, "server", "the server fails"),
        (Post::Page, "server", "200 OK with a body of type text/html instead of a ServerToAgent"),
        (Post::Nothing, "server", "200 OK with nothing instead of a ServerToAgent"),
        (Post::Status(401, None), "credential", "the gateway's fault: its headers for this server"),
        (Post::Status(404, None), "address", "the gateway's fault: its url for this server"),
    ] {
        let server = Mock::start_http().await;
        let mut gateway = before(&[&server]).start().await;
        let agents = agents(&gateway, 6).await;
        server.converged(&refs(&agents)).await;
        server.behave(|behaviour| behaviour.post = post);
        for agent in &agents {
            agent.set_health("told in vain").await;
        }
        gateway.wait_unready().await;
        gateway.wait_metric(UNUSABLE, &[("blame", blame)], |count| count == 1.0).await;
        assert_eq!(gateway.process().log().count(log), 1, "once, and whose fault it is");
        gateway.wait_metric("seawall_upstream_links", &[], |links| links == 0.0).await;
        agents[0].set_health("changed in the dark").await;
        let before = server.with(|state| state.refused.len());
        // What is measured is what happens in a length of time; a loaded machine looks later than asked.
        let since = seawall::clock::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.wait("two probes", |state| state.refused.len() >= before + 2).await;
        let probes = server.with(|state| state.refused[before..].to_vec());
        // Waits of 50 ms at the least, and three times that on an average.
        let watched = since.elapsed();
        let most = (15.0 * watched.as_secs_f64()).ceil();
        assert!(probes.len() as f64 <= most, "{} probes in {watched:?}", probes.len());
        for (_, probe) in probes {
            assert!(probe.health.is_none() && probe.agent_description.is_none(), "{probe:?}");
        }
        server.behave(|behaviour| behaviour.post = Post::Take);
        gateway.wait_ready().await;
        server.converged(&refs(&agents)).await;
        assert!(agents.iter().all(|agent| agent.asked() == 0), "what they reported is kept here");
        assert_told_nothing(&agents);
        assert_connected(&agents);
    }
}

#[tokio::test]
async fn what_one_agent_says_does_not_take_the_server_from_the_others() {
    let server = Mock::start_http().await;
    let gateway = before(&[&server]).start().await;
    let agents = agents(&gateway, 8).await;
    server.converged(&refs(&agents)).await;
    let poisonous = agents[0].uid().to_vec();
    server.behave(|behaviour| {
        behaviour.post_of.insert(poisonous, Post::Status(500, None));
    });
    agents[0].set_health("poison").await;
    // All of them failures.
    server.wait("many attempts", |state| state.refused.len() >= 8).await;
    for agent in &agents[1..] {
        agent.set_health("unharmed").await;
    }
    server.converged(&refs(&agents[1..])).await;
    server.wait("further attempts", |state| state.refused.len() >= 12).await;
    assert!(gateway.ready().await);
    assert_eq!(gateway.metrics().await.sum(UNUSABLE, &[]), 0.0);
    server.behave(|behaviour| behaviour.post_of.clear());
    server.converged(&refs(&agents)).await;
    assert_connected(&agents);
}

#[tokio::test]
async fn agents_leave_a_server_that_takes_nothing_and_return() {
    let (first, second) = (Mock::start_http().await, Mock::start_http().await);
    let gateway = before(&[&first, &second]).start().await;
    let agents = agents(&gateway, 16).await;
    let knows = |server: &Mock, agent: &Agent| server.with(|state| state.knows(&agent.truth()));
    let settled = || agents.iter().all(|a| knows(&first, a) || knows(&second, a));
    gateway.wait_metric("seawall_replies_total", &[], |_| settled()).await;
    let (at_first, at_second): (Vec<_>, Vec<_>) = agents.iter().partition(|a| knows(&first, a));
    assert!(at_first.len() >= 3 && !at_second.is_empty());

    // A page is no answer, whatever its status.
    first.behave(|behaviour| behaviour.post = Post::Page);
    for agent in &at_first {
        agent.set_health("told in vain").await;
    }
    second.converged(&refs(&agents)).await;
    let healthy = "seawall_upstream_healthy_servers";
    gateway.wait_metric(healthy, &[("server", "a")], |healthy| healthy == 0.0).await;
    assert!(gateway.ready().await, "the other is there");
    // Probes speak for agents that have left: they say that, and leave out what is outdated.
    let farewell = |state: &State| state.refused.iter().any(|(_, m)| m.agent_disconnect.is_some());
    first.wait("a probe", farewell).await;
    at_first[0].set_health("changed elsewhere").await;
    second.converged(&refs(&agents)).await;

    first.behave(|behaviour| behaviour.post = Post::Take);
    first.converged(&at_first).await;
    gateway.wait_metric(healthy, &[("server", "a")], |healthy| healthy == 1.0).await;
    second.converged(&at_second).await;
    assert_told_nothing(&agents);
    assert_connected(&agents);
}

/// Probes leave an agent's state out, and reports may still be too much for the server.
#[tokio::test]
async fn agents_leave_a_server_that_answers_probes_alone() {
    let (first, second) = (Mock::start_http().await, Mock::start_http().await);
    // Longer than it seems to be well each time, and shorter than it holds for good.
    let gateway = before(&[&first, &second]).set("upstream", "stable_after", "\"5s\"");
    let gateway = gateway.set("upstream", "failover_after", "\"1s\"").start().await;
    let agents = agents(&gateway, 16).await;
    let knows = |server: &Mock, agent: &Agent| server.with(|state| state.knows(&agent.truth()));
    let settled = || agents.iter().all(|a| knows(&first, a) || knows(&second, a));
    gateway.wait_metric("seawall_replies_total", &[], |_| settled()).await;
    first.behave(|behaviour| behaviour.news = Post::Status(500, None));
    for agent in &agents {
        agent.set_health("news").await;
    }
    second.converged(&refs(&agents)).await;
    let unusable = gateway.metrics().await.sum(UNUSABLE, &[("server", "a")]);
    assert!(unusable >= 2.0, "it seemed to be well in between");
    assert_connected(&agents);
}
