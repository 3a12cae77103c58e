//! Servers over plain HTTP that refuse what one agent says: exactly that agent hears it.

use std::time::Duration;

use seawall::opamp::proto::{ServerErrorResponseType, ServerToAgent};

use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::mock::Mock;
use crate::support::mock::state::Post;
use crate::{agents, assert_connected, refs};

const FAILED: &str = "seawall_upstream_failed_posts_total";

fn before(server: &Mock) -> GatewayBuilder {
    Gateway::builder().server(&server.url(), Mode::Http(1))
}

/// What an agent was told to be wrong with its message.
fn objection(message: &ServerToAgent) -> Option<&str> {
    let error = message.error_response.as_ref()?;
    assert_eq!(error.r#type, i32::from(ServerErrorResponseType::BadRequest), "{message:?}");
    Some(&error.error_message)
}

#[tokio::test]
async fn what_a_server_refuses_is_not_repeated_and_its_agent_is_told() {
    let server = Mock::start_http().await;
    let mut gateway = before(&server).start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    for (round, (status, told)) in [
        (400, "the server refused the message: 400 Bad Request"),
        (400, "the server refused the message: 400 Bad Request"),
        (413, "the message is too large for the server: 413 Payload Too Large, to "),
        (422, "the server refused the message: 422 Unprocessable Entity"),
    ]
    .into_iter()
    .enumerate()
    {
        server.behave(|behaviour| behaviour.post = Post::Status(status, None));
        agents[0].set_health(&format!("round {round}")).await;
        agents[0].wait(|seen| seen.messages.len() > round + 1).await;
        let message = agents[0].messages()[round + 1].clone();
        let said = objection(&message);
        assert!(said.is_some_and(|said| said.starts_with(told)), "{status}: {message:?}");
        assert_eq!(&message.instance_uid, agents[0].uid());
    }
    gateway.wait_metric(FAILED, &[("result", "refused")], |count| count == 4.0).await;
    assert_eq!(gateway.process().log().count("the server refuses a message"), 3);
    server.behave(|behaviour| behaviour.post = Post::Take);
    agents[0].set_config(b"another".to_vec()).await;
    server.wait("what came after", |state| state.received.len() == 3).await;
    // It goes on: the server still lacks it.
    agents[0].set_health("round 3").await;
    server.converged(&refs(&agents)).await;
    assert_eq!(server.with(|state| state.refused.len()), 4, "nothing was repeated");
    assert_eq!(agents[1].messages().len(), 1, "the other agent hears nothing of it");
    assert!(gateway.ready().await, "a server that objects is there");
    assert_connected(&agents);
}

/// A refusal of what the gateway says of its own accord stays here.
#[tokio::test]
async fn a_poll_that_is_refused_is_not_the_agents_concern() {
    let server = Mock::start_http().await;
    let gateway = before(&server).server_key("poll_interval", "\"500ms\"").start().await;
    let agents = agents(&gateway, 1).await;
    server.converged(&refs(&agents)).await;
    server.behave(|behaviour| behaviour.post = Post::Status(400, None));
    server.wait("polls", |state| state.refused.len() == 3).await;
    gateway.wait_metric(FAILED, &[("result", "refused")], |count| count >= 3.0).await;
    assert_eq!(agents[0].messages().len(), 1, "{:?}", agents[0].messages());
    server.behave(|behaviour| behaviour.post = Post::Take);
    agents[0].set_health("goes on").await;
    server.converged(&refs(&agents)).await;
    assert_connected(&agents);
}

/// The agent has had its reply when the server's refusal comes: it hears of it nevertheless.
#[tokio::test]
async fn a_late_refusal_reaches_its_agent_too() {
    let server = Mock::start_http().await;
    let gateway = before(&server).set("sessions", "reply_wait", "\"100ms\"").start().await;
    let agents = agents(&gateway, 1).await;
    server.converged(&refs(&agents)).await;
    server.behave(|behaviour| {
        behaviour.post = Post::Status(400, None);
        behaviour.stalled = true;
    });
    agents[0].set_health("refused").await;
    agents[0].wait(|seen| seen.messages.len() == 2).await;
    assert_eq!(objection(&agents[0].messages()[1]), None, "the gateway's acknowledgement");
    server.behave(|behaviour| behaviour.stalled = false);
    agents[0].wait(|seen| seen.messages.len() == 3).await;
    assert!(objection(&agents[0].messages()[2]).is_some());
    // What is measured is what happens in a length of time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.with(|state| state.refused.len()), 1);
    assert_connected(&agents);
}
