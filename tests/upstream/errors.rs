//! Servers that are overloaded, discontent, or late: what agents see of it.

use std::time::Duration;

use crate::support::mock::Mock;
use crate::support::mock::state::Reply;
use crate::{agents, assert_connected, before, refs};

/// opamp-go leaves UNAVAILABLE to its application (docs/FIELD-NOTES.md): the gateway acts on it in its place.
#[tokio::test]
async fn an_overloaded_server_is_spared_and_gets_the_state_later() {
    let server = Mock::start().await;
    let pause = Duration::from_secs(1);
    server.behave(|behaviour| behaviour.reply = Reply::Unavailable(pause));
    let gateway = before(&server).start().await;
    let agents = agents(&gateway, 1).await;
    let errors = "seawall_upstream_server_errors_total";
    gateway.wait_metric(errors, &[("kind", "unavailable")], |errors| errors == 1.0).await;
    server.behave(|behaviour| behaviour.reply = Reply::Correct);
    agents[0].wait(|seen| !seen.messages.is_empty()).await;
    server.converged(&refs(&agents)).await;

    let times = server.with(|state| state.received.iter().map(|(at, _)| *at).collect::<Vec<_>>());
    let waited = times[1] - times[0];
    assert!(waited >= pause - Duration::from_millis(50), "asked after {waited:?}");
    let told = agents[0].messages();
    assert!(told.iter().all(|message| message.error_response.is_none()), "{told:?}");
    assert_eq!(told[0].flags, 0, "a plain acknowledgement came first");
    gateway.wait_metric("seawall_upstream_pauses_total", &[], |pauses| pauses == 1.0).await;
}

/// R4: some servers set `ReportFullState` on every reply (docs/FIELD-NOTES.md). They get each state once,
/// and agents are left in peace.
#[tokio::test]
async fn a_server_that_always_asks_gets_each_state_once() {
    let server = Mock::start().await;
    server.behave(|behaviour| behaviour.reply = Reply::AlwaysAsk);
    let gateway = before(&server).start().await;
    let agents = agents(&gateway, 1).await;
    for round in 1..=20 {
        agents[0].set_health(&format!("round {round}")).await;
        // What is measured is what happens in a length of time.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.converged(&refs(&agents)).await;
    let full = server.with(|state| state.full_reports(agents[0].uid()));
    // Its first is a full report; each round is another state.
    assert!((2..=21).contains(&full), "{full} full reports");
    assert_eq!(agents[0].asked(), 0);
    // And each message has its reply.
    agents[0].wait(|seen| seen.messages.len() > 20).await;
}

/// R5: one reply each, from the server or from the gateway.
#[tokio::test]
async fn a_late_reply_is_swallowed_and_a_late_question_answered_here() {
    let server = Mock::start().await;
    // Late enough for a gateway that a loaded machine keeps from its own reply for a while.
    let late = Duration::from_secs(2);
    server.behave(|behaviour| behaviour.reply = Reply::Late(late));
    let gateway = before(&server).set("sessions", "reply_wait", "\"100ms\"").start().await;
    let agents = agents(&gateway, 1).await;
    let swallowed = "seawall_swallowed_acknowledgements_total";
    gateway.wait_metric(swallowed, &[], |count| count == 1.0).await;
    assert_eq!(agents[0].messages().len(), 1, "exactly one reply, and it is the gateway's");
    let replies = gateway.metrics().await;
    assert_eq!(replies.sum("seawall_replies_total", &[("source", "local")]), 1.0);
    assert_eq!(replies.sum("seawall_replies_total", &[("source", "server")]), 0.0);

    // A late question stays here, too: the answer is here.
    server.with(|state| state.forget());
    agents[0].set_health("changed").await;
    server.converged(&refs(&agents)).await;
    // The server was content before: it may want to know what is true now, so the agent is asked, too.
    agents[0].wait(|seen| seen.messages.len() > 2).await;
    let flags: Vec<_> = agents[0].messages().iter().map(|message| message.flags).collect();
    assert_eq!(flags[..3], [0, 0, 1]);
    assert_connected(&agents);
}
