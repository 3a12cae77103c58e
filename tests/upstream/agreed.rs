//! What agent and server agree upon through the gateway: capabilities, numbers, questions.

use std::time::Duration;

use prost::Message as _;
use seawall::opamp::proto::{AgentDisconnect, AgentToServer, ServerToAgent};

use crate::support::http::request;
use crate::support::message::{CAPABILITIES, full_report, health, heartbeat, uid};
use crate::support::mock::Mock;
use crate::support::socket::Socket;
use crate::{agents, before};

/// R4: the gateway answers out of what it has, and the agent says what is true.
#[tokio::test]
async fn a_question_of_a_server_that_was_content_reaches_the_agent() {
    let server = Mock::start().await;
    let gateway = before(&server).start().await;
    let agents = agents(&gateway, 1).await;
    agents[0].wait(|seen| seen.messages.len() == 1).await;
    let ask = ServerToAgent { flags: 1, instance_uid: uid(0), ..ServerToAgent::default() };
    for _ in 0..3 {
        server.push(&ask).await;
    }
    agents[0].wait(|seen| seen.messages.len() > 1).await;
    gateway.wait_metric("seawall_wanted_full_states_total", &[], |wanted| wanted == 3.0).await;
    assert_eq!(agents[0].asked(), 1);
}

/// R9: any message with the uid is a heartbeat, and what is absent says nothing.
#[tokio::test]
async fn a_server_that_is_back_learns_what_the_agent_said_once() {
    let mut server = Mock::start().await;
    let gateway = before(&server).start().await;
    let mut agent = Socket::open(gateway.edge()).await;
    agent.ask(&full_report(&uid(0), 1)).await;
    for _ in 0..3 {
        let bare = AgentToServer { instance_uid: uid(0), ..AgentToServer::default() };
        assert_eq!(agent.ask(&bare).await.flags, 0);
    }
    let unsaid =
        AgentToServer { capabilities: 0, health: Some(health("other")), ..heartbeat(&uid(0), 2) };
    assert_eq!(agent.ask(&unsaid).await.flags, 0);
    assert_eq!(server.with(|state| state.received.len()), 2, "no heartbeat was due");
    server.stop().await;
    server.with(|state| state.forget());
    server.listen().await;
    let described = |message: &AgentToServer| message.agent_description.is_some();
    server.wait("the state", |state| state.received[2..].iter().any(|(_, it)| described(it))).await;
    let told = server.with(|state| state.received.clone());
    assert!(told.iter().all(|(_, message)| message.capabilities == CAPABILITIES));
}

/// R3: an agent that missed the answer says the same once more, and then that it leaves, twice.
#[tokio::test]
async fn a_retry_goes_to_no_server_twice() {
    let server = Mock::start().await;
    let gateway = before(&server).start().await;
    let goodbye =
        AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..heartbeat(&uid(0), 1) };
    let headers = [("Content-Type", "application/x-protobuf")];
    for message in [full_report(&uid(0), 0), goodbye] {
        for _ in 0..2 {
            let body = message.encode_to_vec();
            let answer = request(gateway.edge(), "POST", "/v1/opamp", &headers, &body).await;
            assert_eq!(answer.unwrap().status, 200);
        }
    }
    server.wait("the goodbye", |state| state.received.len() >= 2).await;
    // What is said again would come right behind.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.with(|state| state.received.len()), 2);
}
