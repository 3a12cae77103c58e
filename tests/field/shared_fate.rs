//! What one agent says, or one server does, is not felt by the others that share a link, a channel or a gateway with
//! them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use seawall::opamp::proto::{AgentRemoteConfig, ServerErrorResponseType, ServerToAgent};

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::message::{config, custom, from_payload, full_report, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::mock::state::{Ends, Post};
use crate::support::socket::{CLOSE, Got, PONG, Socket};

const HELD: &str = "seawall_upstream_held_parts_total";
const APART: &str = "seawall_upstream_set_apart_agents_total";
const DENIED: &str = "seawall_upstream_denied_agents_total";

fn before(server: &Mock, mode: Mode) -> GatewayBuilder {
    Gateway::builder().server(&server.url(), mode).set("upstream", "stable_after", "\"1s\"").set(
        "admission",
        "rate",
        "2000",
    )
}

async fn agents(gateway: &Gateway, count: u16) -> Vec<Agent> {
    join_all((0..count).map(|n| Agent::connect(gateway.edge(), uid(n)))).await
}

fn elapsed(since: Instant) -> Duration {
    seawall::clock::now() - since
}

/// The configuration that the server believes an agent to have.
fn believed(server: &Mock, uid: &[u8]) -> Option<seawall::opamp::proto::EffectiveConfig> {
    server.with(|state| state.agents.get(uid)?.view.effective_config.clone())
}

/// Changes of these agents' health, one after the other, for this long. How long each took to reach the server, in order
/// of length.
async fn changes(server: &Mock, agents: &[Agent], lasting: Duration) -> Vec<Duration> {
    let (since, mut taken) = (seawall::clock::now(), Vec::new());
    for (n, agent) in agents.iter().cycle().enumerate() {
        if elapsed(since) > lasting {
            break;
        }
        let changed = seawall::clock::now();
        agent.set_health(&format!("change {n}")).await;
        server.converged(&[agent]).await;
        taken.push(elapsed(changed));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    taken.sort();
    taken
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
}

/// Whether an agent was told that its message is refused, with this in the text.
async fn is_refused(agent: &Agent, text: &str) {
    agent
        .wait(|seen| {
            seen.messages.iter().filter_map(|message| message.error_response.as_ref()).any(
                |error| {
                    error.r#type() == ServerErrorResponseType::BadRequest
                        && error.error_message.contains(text)
                },
            )
        })
        .await;
}

/// 400 agents, and one report that makes the server end the connection each time it comes: by 1009, as a server with
/// a limit does, or without a word, as one does whose library gives up.
#[tokio::test]
async fn one_poison_report_among_400_agents_is_held_back_and_the_others_never_notice() {
    let poison = vec![b'p'; 300_000];
    let limit = Ends { above_bytes: Some(256 << 10), code: Some(1009), ..Ends::default() };
    let silent = Ends { config: Some(poison.clone()), ..Ends::default() };
    for (name, ends, text) in
        [("1009", limit, "too large for the server"), ("cut", silent, "ends each connection")]
    {
        let server = Mock::start().await;
        server.behave(|behaviour| behaviour.ends = ends);
        let mut gateway = before(&server, Mode::Multiplexed(4)).start().await;
        let mut all = agents(&gateway, 400).await;
        let culprit = all.pop().unwrap();
        let refs: Vec<&Agent> = all.iter().collect();
        server.converged(&refs).await;
        let without = changes(&server, &all, Duration::from_secs(4)).await;
        let dials = server.with(|state| state.dials.len());
        culprit.set_config(poison.clone()).await;
        let with = changes(&server, &all, Duration::from_secs(16)).await;
        let (links_lost, fair, foul) =
            (server.with(|state| state.ended.len()), p99(&without), p99(&with));
        println!(
            "{name}: p99 {fair:?} without ({} changes), {foul:?} with ({} changes), longest {:?}; {links_lost} \
             connections ended for the message",
            without.len(),
            with.len(),
            with.last(),
        );
        gateway.wait_metric(HELD, &[], |parts| parts == 1.0).await;
        is_refused(&culprit, text).await;
        assert!(links_lost <= 4, "{links_lost} connections, two at most of which others share");
        let metrics = gateway.metrics().await;
        let lost = |reason| metrics.sum("seawall_upstream_lost_links_total", &[("reason", reason)]);
        let (lost, released) = (lost("closed") + lost("reset"), lost("released"));
        assert!(lost <= 4.0, "{name}: {lost} links lost, {released} released");
        // Few that were under way at the same moments went apart, too.
        let dials = server.with(|state| state.dials.len()) - dials;
        assert!(dials <= 12, "{name}: {dials} dials");
        // A loaded machine makes figures of a few milliseconds.
        let bound = (2 * fair).max(Duration::from_millis(40));
        assert!(foul <= bound, "{name}: {foul:?} instead of {fair:?}");
        // The rest of what it says gets through; so does what it says next.
        culprit.set_health("the rest").await;
        let health = culprit.truth().health;
        let culprits = culprit.uid().to_vec();
        server
            .wait("its health", |state| {
                state.agents.get(&culprits).is_some_and(|known| known.view.health == health)
            })
            .await;
        assert_ne!(believed(&server, &culprits), Some(config(&poison)));
        assert_eq!(gateway.process().log().count("held back until it changes"), 1, "{name}");
        culprit.set_config(b"cured".to_vec()).await;
        server.converged(&[&culprit]).await;
        assert!(all.iter().all(Agent::is_connected) && culprit.is_connected());
    }
}

#[tokio::test]
async fn an_agent_that_the_server_denies_is_denied_alone() {
    let server = Mock::start().await;
    let mut gateway = before(&server, Mode::Multiplexed(1)).start().await;
    let all = agents(&gateway, 10).await;
    let refs: Vec<&Agent> = all.iter().collect();
    server.converged(&refs).await;
    let denied = uid(900);
    let ends = Ends { agent: Some(denied.clone()), code: Some(1008), ..Ends::default() };
    server.behave(|behaviour| behaviour.ends = ends);
    let outcast = Agent::connect(gateway.edge(), denied).await;
    gateway.wait_metric(DENIED, &[], |agents| agents == 1.0).await;
    is_refused(&outcast, "on which this agent speaks").await;
    let ended = server.with(|state| state.ended.len());
    let taken = changes(&server, &all, Duration::from_secs(3)).await;
    assert!(p99(&taken) < Duration::from_secs(1), "{taken:?}");
    outcast.set_health("unheard").await;
    assert_eq!(server.with(|state| state.ended.len()), ended, "it is left in peace for a while");
    assert!(outcast.is_connected() && all.iter().all(Agent::is_connected));
    assert_eq!(gateway.process().log().count("nothing more of it goes there"), 1);
}

#[tokio::test]
async fn a_server_that_is_killed_in_a_storm_accuses_nobody() {
    let mut server = Mock::start().await;
    let gateway = before(&server, Mode::Multiplexed(2)).start().await;
    let all = agents(&gateway, 200).await;
    for kill in 0..4 {
        for agent in &all {
            agent.set_health(&format!("kill {kill}")).await;
        }
        server.stop().await;
        server.with(|state| state.forget());
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.listen().await;
    }
    // Connections that are cut while the server stays, with hundreds of messages under way.
    for cut in 0..3 {
        for agent in &all {
            agent.set_health(&format!("cut {cut}")).await;
        }
        server.cut();
        server.wait("the links", |state| state.links() >= 2).await;
    }
    let refs: Vec<&Agent> = all.iter().collect();
    server.converged(&refs).await;
    let metrics = gateway.metrics().await;
    for counted in [HELD, DENIED, APART] {
        assert_eq!(metrics.sum(counted, &[]), 0.0, "{counted}");
    }
    assert!(all.iter().all(Agent::is_connected));
}

#[tokio::test]
async fn a_size_that_one_agent_has_found_out_is_sent_of_no_other() {
    let server = Mock::start().await;
    let ends = Ends { above_bytes: Some(100_000), code: Some(1009), ..Ends::default() };
    server.behave(|behaviour| behaviour.ends = ends);
    let gateway = before(&server, Mode::Multiplexed(1)).start().await;
    let all = agents(&gateway, 3).await;
    let refs: Vec<&Agent> = all.iter().collect();
    server.converged(&refs).await;
    all[0].set_config(vec![b'a'; 120_000]).await;
    gateway.wait_metric(HELD, &[], |parts| parts == 1.0).await;
    let ended = server.with(|state| state.ended.len());
    all[1].set_config(vec![b'b'; 130_000]).await;
    is_refused(&all[1], "effective_config").await;
    assert_eq!(server.with(|state| state.ended.len()), ended, "it was not tried");
    // What may fit is tried where no other agent suffers, and gets through.
    all[2].set_config(vec![b'c'; 90_000]).await;
    server.converged(&[&all[2]]).await;
    assert_eq!(server.with(|state| state.ended.len()), ended);
    let limit = gateway.metrics().await.sum("seawall_upstream_refused_message_bytes", &[]);
    assert!((100_000.0..130_000.0).contains(&limit), "{limit}");
}

#[tokio::test]
async fn a_size_that_a_server_refuses_by_413_keeps_back_the_part_and_not_the_rest() {
    let server = Mock::start_http().await;
    let gateway = before(&server, Mode::Http(2)).start().await;
    let agent = Agent::connect(gateway.edge(), uid(1)).await;
    server.converged(&[&agent]).await;
    server.behave(|behaviour| behaviour.news = Post::Take);
    server.with(|state| {
        state.behaviour.post_of.insert(agent.uid().to_vec(), Post::Status(413, None));
    });
    agent.set_config(vec![b'x'; 50_000]).await;
    is_refused(&agent, "413").await;
    server.with(|state| state.behaviour.post_of.clear());
    server.with(|state| state.forget());
    agent.set_health("asked for everything").await;
    let health = agent.truth().health;
    let known = agent.uid().to_vec();
    server
        .wait("all but the configuration", |state| {
            state.agents.get(&known).is_some_and(|known| {
                known.view.health == health && known.view.agent_description.is_some()
            })
        })
        .await;
    assert_eq!(believed(&server, agent.uid()), None);
}

#[tokio::test]
async fn an_answer_that_does_not_end_holds_up_no_other_agent() {
    let server = Mock::start_http().await;
    let gateway = before(&server, Mode::Http(1)).start().await;
    let all = agents(&gateway, 4).await;
    let refs: Vec<&Agent> = all.iter().collect();
    server.converged(&refs).await;
    server.with(|state| {
        state.behaviour.post_of.insert(all[0].uid().to_vec(), Post::Unanswered);
    });
    all[0].set_health("unanswered").await;
    server.converged(&[&all[0]]).await;
    let since = seawall::clock::now();
    for agent in &all[1..] {
        agent.set_health("behind it").await;
    }
    server.converged(&refs[1..]).await;
    assert!(elapsed(since) < Duration::from_secs(10), "{:?}", elapsed(since));
    // Its own next message waits for the answer.
    all[0].set_health("its next").await;
    let taken = changes(&server, &all[1..], Duration::from_secs(1)).await;
    assert!(p99(&taken) < Duration::from_secs(2), "{taken:?}");
    assert_eq!(server.with(|state| state.overlaps), 0);
    assert_ne!(
        server.with(|state| state.agents[all[0].uid()].view.health.clone()),
        all[0].truth().health
    );
}

/// A message of the server's with an offer of this size.
fn offer(uid: &[u8], hash: &[u8], bytes: usize) -> ServerToAgent {
    let mut offer = ServerToAgent { instance_uid: uid.to_vec(), ..custom(uid, 1) };
    offer.custom_message = None;
    offer.remote_config = Some(AgentRemoteConfig {
        config: config(&vec![b'o'; bytes]).config_map,
        config_hash: hash.to_vec(),
    });
    offer
}

/// Reads until an offer comes; answers pings.
async fn next_offer(socket: &mut Socket) -> Option<ServerToAgent> {
    loop {
        match tokio::time::timeout(Duration::from_secs(2), socket.next_ever()).await.ok()? {
            Got::Message(payload) => {
                let message = from_payload(&payload);
                if message.remote_config.is_some() {
                    return Some(message);
                }
            }
            Got::Ping(payload) => socket.frame(PONG, &payload).await,
            Got::Pong(_) => {}
            Got::Close(_) | Got::End => return None,
        }
    }
}

#[tokio::test]
async fn an_offer_above_what_an_agent_takes_is_written_to_it_once() {
    let server = Mock::start().await;
    let mut gateway = before(&server, Mode::Multiplexed(1)).start().await;
    let agent = uid(1);
    let mut socket = Socket::open(gateway.edge()).await;
    socket.send(&full_report(&agent, 0)).await;
    server.wait("the agent", |state| state.agents.contains_key(&agent)).await;
    server.push(&offer(&agent, b"large", 200_000)).await;
    // As a client with a limit of its own: the message is not confirmed, and the connection ends.
    loop {
        match socket.next_ever().await {
            Got::Message(payload) if from_payload(&payload).remote_config.is_some() => break,
            Got::Ping(_) | Got::Message(_) | Got::Pong(_) => {}
            Got::Close(_) | Got::End => panic!("closed"),
        }
    }
    socket.frame(CLOSE, &1009_u16.to_be_bytes()).await;
    let dropped = "seawall_dropped_offers_total";
    let too_large = [("reason", "too_large_for_agent")];
    gateway.wait_metric(dropped, &too_large, |offers| offers == 1.0).await;
    let mut socket = Socket::open(gateway.edge()).await;
    socket.send(&heartbeat(&agent, 1)).await;
    server.push(&offer(&agent, b"large again", 200_000)).await;
    gateway.wait_metric(dropped, &too_large, |offers| offers == 2.0).await;
    server.push(&offer(&agent, b"small", 1_000)).await;
    let got = next_offer(&mut socket).await.expect("the small one");
    assert_eq!(got.remote_config.unwrap().config_hash, b"small");
    assert_eq!(gateway.process().log().count("the agent takes no message of this size"), 1);
}
