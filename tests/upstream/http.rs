//! Servers that have plain HTTP alone: order, what is lost and what is saved, statuses, polls.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use seawall::clock;

use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::message::{custom, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::mock::state::{Post, Reply, State};
use crate::support::socket::Socket;
use crate::{agents, assert_connected, refs};

const FAILED: &str = "seawall_upstream_failed_posts_total";

/// A gateway with this number of connections to the server.
fn before(server: &Mock, connections: u16) -> GatewayBuilder {
    Gateway::builder().server(&server.url(), Mode::Http(connections))
}

/// Numbers of what the server took of each agent, as they came.
fn numbers(state: &State) -> HashMap<Vec<u8>, Vec<u64>> {
    let mut numbers = HashMap::<_, Vec<u64>>::new();
    for (_, report) in &state.received {
        numbers.entry(report.instance_uid.clone()).or_default().push(report.sequence_num);
    }
    numbers
}

/// R3: each once.
fn assert_no_gaps(server: &Mock) {
    for numbers in server.with(|state| numbers(state)).into_values() {
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
}

#[tokio::test]
async fn an_agents_messages_go_in_order_and_one_at_a_time() {
    const CONNECTIONS: u16 = 3;
    let server = Mock::start_http().await;
    server.behave(|behaviour| behaviour.reply = Reply::Late(Duration::from_millis(2)));
    let gateway = before(&server, CONNECTIONS)
        .server_key("headers", "{ X-Region = \"eu-1\" }")
        .set("sessions", "reply_wait", "\"10ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 12).await;
    for round in 0..20 {
        for agent in &agents {
            agent.set_health(&format!("round {round}")).await;
        }
    }
    server.converged(&refs(&agents)).await;
    assert_no_gaps(&server);
    let (overlaps, open_max, heads) =
        server.with(|state| (state.overlaps, state.open_max, state.heads.clone()));
    assert_eq!(overlaps, 0, "two requests of one agent at one time");
    assert!(open_max <= usize::from(CONNECTIONS), "{open_max} connections");
    for head in heads {
        assert_eq!(head["content-type"], "application/x-protobuf");
        assert_eq!(head["x-region"], "eu-1");
        let uid = head["opamp-instance-uid"].to_str().unwrap();
        assert!(uid.len() == 36 && uid.ends_with("-a5a5-a5a5-a5a5-a5a5a5a5a5a5"), "{uid}");
        assert!(!head.contains_key("upgrade"));
        assert_eq!(head["accept-encoding"], "identity", "what is packed would not be read");
    }
    assert_connected(&agents);
}

/// Whether the server has taken it remains unknown.
#[tokio::test]
async fn what_a_broken_request_took_with_it_is_sent_again() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 2).start().await;
    let agents = agents(&gateway, 6).await;
    server.converged(&refs(&agents)).await;
    for (round, post) in [Post::Cut, Post::TakeAndCut].into_iter().enumerate() {
        let taken = server.with(|state| state.received.len() + state.refused.len());
        server.behave(|behaviour| behaviour.post = post);
        agents[0].set_health(&format!("round {round}")).await;
        let tried = |state: &State| state.received.len() + state.refused.len() > taken;
        server.wait("the request", tried).await;
        server.behave(|behaviour| behaviour.post = Post::Take);
        server.converged(&refs(&agents)).await;
        let lost = [("result", "lost")];
        gateway.wait_metric(FAILED, &lost, |lost| lost >= (round + 1) as f64).await;
    }
    assert!(agents.iter().all(|agent| agent.asked() == 0), "what they reported is kept here");
    assert_connected(&agents);
}

#[tokio::test]
async fn a_server_in_trouble_gets_it_later_and_not_without_end() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 1).start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    server.behave(|behaviour| behaviour.post = Post::Status(500, None));
    agents[0].set_health("told in vain").await;
    server.wait("three attempts", |state| state.refused.len() == 3).await;
    let waited = server.with(|state| state.refused[2].0 - state.refused[0].0);
    // Half of 0.5 s and of 0.75 s.
    assert!(waited >= Duration::from_millis(600), "tried again within {waited:?}");
    server.behave(|behaviour| behaviour.post = Post::Take);
    server.converged(&refs(&agents)).await;
    // The agent has an answer of the gateway's for the server's.
    agents[0].wait(|seen| seen.messages.len() >= 2).await;
    assert_connected(&agents);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_asked_again() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 1)
        .set("upstream", "ping_interval", "\"300ms\"")
        .set("upstream", "ping_timeout", "\"200ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    server.behave(|behaviour| behaviour.stalled = true);
    agents[0].set_health("unacknowledged").await;
    gateway.wait_metric(FAILED, &[("result", "timeout")], |count| count >= 1.0).await;
    let lost = "seawall_upstream_lost_links_total";
    gateway.wait_metric(lost, &[("reason", "request_timeout")], |links| links >= 1.0).await;
    server.behave(|behaviour| behaviour.stalled = false);
    server.wait("the news", |state| state.knows(&agents[0].truth())).await;
    assert_connected(&agents);
}

#[tokio::test]
async fn a_response_over_the_limit_costs_its_own_agent_alone() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 1).set("upstream", "message_bytes_max", "4096").start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    server.with(|state| state.offers.insert(uid(0), custom(&[], 5000)));
    agents[0].set_health("asks for it").await;
    gateway.wait_metric(FAILED, &[("result", "too_big")], |count| count == 1.0).await;
    agents[1].set_health("goes on").await;
    server.wait("both", |state| state.received.len() == 4).await;
    server.converged(&refs(&agents)).await;
    assert!(agents[0].messages().iter().all(|message| message.custom_message.is_none()));
    assert_connected(&agents);
}

/// Refuses what this agent says for a while; returns how long after the first attempt it came again,
/// and whether as the very same message.
async fn refused_for_a_while(server: &Mock, agent: &Agent, post: Post) -> (Duration, bool) {
    server.with(|state| state.refused.clear());
    server.behave(|behaviour| behaviour.post = post);
    agent.set_health(&format!("{:?}", clock::now())).await;
    server.wait("the attempt", |state| !state.refused.is_empty()).await;
    let (first, report) = server.with(|state| state.refused[0].clone());
    server.behave(|behaviour| behaviour.post = Post::Take);
    server.converged(&[agent]).await;
    let (at, again) = server.with(|state| {
        let of_agent = |(at, _): &&(Instant, _)| *at > first;
        state.received.iter().find(of_agent).cloned().unwrap()
    });
    (at - first, again == report)
}

#[tokio::test]
async fn retry_after_is_obeyed_and_the_same_message_comes_again() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 4).start().await;
    let agents = agents(&gateway, 1).await;
    server.converged(&refs(&agents)).await;
    // A date is in whole seconds, and on a slow machine seconds pass until it is read.
    let date = || httpdate::fmt_http_date(clock::wall() + Duration::from_secs(6));
    for (status, wish, least) in [(503, "2", 2_000), (429, "a date", 1_500), (429, "", 5_000)] {
        let wish = match wish {
            "" => None,
            "a date" => Some(date()),
            seconds => Some(seconds.to_owned()),
        };
        let (post, least) = (Post::Status(status, wish), Duration::from_millis(least));
        let (waited, same) = refused_for_a_while(&server, &agents[0], post).await;
        assert!(waited >= least, "{status}: again after {waited:?}");
        assert!(same, "{status}: another message");
    }
    assert_no_gaps(&server);
    let full = server.with(|state| state.full_reports(agents[0].uid()));
    assert_eq!(full, 1, "only what changed");
    gateway.wait_metric("seawall_upstream_pauses_total", &[], |pauses| pauses == 3.0).await;
    assert_connected(&agents);
}

/// Also what is said once, and of all agents.
#[tokio::test]
async fn all_is_saved_while_a_server_pauses() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 2).start().await;
    let agents = agents(&gateway, 8).await;
    server.converged(&refs(&agents)).await;
    let mut socket = Socket::open(gateway.edge()).await;
    let mut message = heartbeat(&uid(99), 0);
    socket.ask(&message).await;
    server.behave(|behaviour| behaviour.post = Post::Status(503, Some("1".to_owned())));
    for agent in &agents {
        agent.set_health("during the pause").await;
    }
    message.custom_message = custom(&[], 10).custom_message;
    message.sequence_num = 1;
    socket.send(&message).await;
    gateway.wait_metric("seawall_upstream_pause_seconds", &[], |left| left > 0.0).await;
    server.behave(|behaviour| behaviour.post = Post::Take);
    server.converged(&refs(&agents)).await;
    let customs = |state: &State| {
        state.received.iter().filter(|(_, report)| report.custom_message.is_some()).count()
    };
    server.wait("the custom message", |state| customs(state) == 1).await;
    assert_no_gaps(&server);
    assert_connected(&agents);
}

#[tokio::test]
async fn polls_are_spread_over_the_interval() {
    const AGENTS: u16 = 400;
    const INTERVAL: Duration = Duration::from_secs(4);
    // Wide enough for what a loaded machine delays; unspread, all 400 would come in one.
    const WINDOW: Duration = Duration::from_millis(500);
    let server = Mock::start_http().await;
    let gateway = before(&server, 8).server_key("poll_interval", "\"4s\"").start().await;
    let agents = agents(&gateway, AGENTS).await;
    server.converged(&refs(&agents)).await;
    let settled = clock::now();
    // What is measured is what happens in a length of time.
    tokio::time::sleep(INTERVAL * 3).await;
    let (from, until) = (settled + INTERVAL * 2, settled + INTERVAL * 3);
    let polls: Vec<_> = server.with(|state| {
        let within = |(at, _): &&(Instant, _)| (from..until).contains(at);
        state.received.iter().filter(within).cloned().collect()
    });
    let mut each = HashMap::<Vec<u8>, usize>::new();
    for (_, poll) in &polls {
        assert!(poll.agent_description.is_none() && poll.health.is_none(), "{poll:?}");
        *each.entry(poll.instance_uid.clone()).or_default() += 1;
    }
    let once = each.values().filter(|count| **count == 1).count();
    assert!(once >= usize::from(AGENTS) * 3 / 4, "{once} agents were polled for once");
    assert!(each.values().all(|count| *count <= 2));
    let share = f64::from(AGENTS) * WINDOW.as_secs_f64() / INTERVAL.as_secs_f64();
    let most = polls.iter().map(|(start, _)| {
        polls.iter().filter(|(at, _)| (*start..*start + WINDOW).contains(at)).count()
    });
    let most = most.max().unwrap() as f64;
    assert!(most <= 3.0 * share, "{most} polls within {WINDOW:?}; {share} would be even");
    assert_no_gaps(&server);
    assert_connected(&agents);
}

/// What an agent says waits for what is under way, and for no more than that.
#[tokio::test]
async fn polls_of_a_slow_server_do_not_pile_up() {
    const AGENTS: u16 = 4;
    let server = Mock::start_http().await;
    let gateway = before(&server, 1).server_key("poll_interval", "\"500ms\"").start().await;
    let agents = agents(&gateway, AGENTS).await;
    server.converged(&refs(&agents)).await;
    // All of them take longer than an interval.
    server.behave(|behaviour| behaviour.reply = Reply::Late(Duration::from_millis(300)));
    let begun = server.with(|state| state.received.len());
    // A poll for each agent in each interval would be twice as many as these.
    server.wait("polls", |state| state.received.len() >= begun + 24).await;
    let before = server.with(|state| state.received.len());
    agents[0].set_health("waits its turn").await;
    let change = |state: &State| {
        state.received[before..].iter().position(|(_, report)| report.health.is_some())
    };
    server.wait("the change", |state| change(state).is_some()).await;
    // One for each agent may wait; and time passes until the change is there.
    let waited = server.with(|state| change(state)).expect("it came");
    assert!(waited <= 2 * usize::from(AGENTS), "{waited} others went before it");
    assert_no_gaps(&server);
    assert_connected(&agents);
}

#[tokio::test]
async fn an_offer_in_a_polls_answer_reaches_its_agent() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 2).server_key("poll_interval", "\"500ms\"").start().await;
    let agents = agents(&gateway, 3).await;
    server.converged(&refs(&agents)).await;
    // Without a uid of its own as well: it is the answer to this agent.
    server.with(|state| state.offers.insert(uid(1), custom(&[], 10)));
    agents[1].wait(|seen| seen.messages.iter().any(|m| m.custom_message.is_some())).await;
    for agent in [&agents[0], &agents[2]] {
        assert!(agent.messages().iter().all(|message| message.custom_message.is_none()));
    }
    // Polls with an empty answer stay unknown to the agent.
    assert_eq!(agents[0].messages().len(), 1);
    gateway.wait_metric("seawall_upstream_polls_total", &[], |polls| polls >= 3.0).await;
}

#[tokio::test]
async fn a_restart_is_invisible_to_agents() {
    let mut server = Mock::start_http().await;
    let mut gateway = before(&server, 4)
        .set("upstream", "backoff_initial", "\"100ms\"")
        .set("upstream", "backoff_max", "\"200ms\"")
        .start()
        .await;
    let agents = agents(&gateway, 20).await;
    server.converged(&refs(&agents)).await;
    server.stop().await;
    // All its messages are delivered: its absence is noticed all the same.
    gateway.wait_unready().await;
    agents[0].set_health("changed in the dark").await;
    server.with(State::forget);
    server.listen().await;
    gateway.wait_ready().await;
    server.converged(&refs(&agents)).await;
    assert!(agents.iter().all(|agent| agent.asked() == 0), "what they reported is kept here");
    assert_connected(&agents);
}

/// It is back before a dial could fail; polls tell it of its agents.
#[tokio::test]
async fn a_restart_too_short_to_be_seen_is_mended_by_polls() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 4).server_key("poll_interval", "\"1s\"").start().await;
    let agents = agents(&gateway, 20).await;
    server.converged(&refs(&agents)).await;
    server.with(State::forget);
    server.cut();
    server.converged(&refs(&agents)).await;
    assert!(agents.iter().all(|agent| agent.asked() == 0), "what they reported is kept here");
    assert_connected(&agents);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_no_loss() {
    let server = Mock::start_http().await;
    let gateway = before(&server, 1).start().await;
    let agents = agents(&gateway, 5).await;
    server.converged(&refs(&agents)).await;
    for round in 0..3 {
        server.cut();
        server.wait("no connection", |state| state.open == 0).await;
        agents[0].set_health(&format!("round {round}")).await;
        server.wait("the change", |state| state.received.len() == 5 + round + 1).await;
    }
    server.converged(&refs(&agents)).await;
    assert_no_gaps(&server);
    let (taken, full) =
        server.with(|state| (state.received.len(), state.full_reports(agents[0].uid())));
    assert_eq!((taken, full), (5 + 3, 1), "nobody was introduced a second time");
    assert_eq!(gateway.metrics().await.sum(FAILED, &[]), 0.0);
    assert_connected(&agents);
}
