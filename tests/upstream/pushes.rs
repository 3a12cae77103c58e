//! What servers send unasked: it reaches exactly the agent whose uid it carries.

use seawall::opamp::proto::ServerToAgent;

use crate::support::gateway::{Gateway, Mode};
use crate::support::message::{custom, uid};
use crate::support::mock::Mock;
use crate::{agents, before, refs};

const ANONYMOUS: &str = "seawall_upstream_anonymous_pushes_total";
const UNROUTABLE: &str = "seawall_upstream_unroutable_pushes_total";

fn has_custom(messages: &[ServerToAgent]) -> bool {
    messages.iter().any(|message| message.custom_message.is_some())
}

#[tokio::test]
async fn a_push_without_a_uid_is_dropped_and_named_once() {
    let server = Mock::start().await;
    let mut gateway = before(&server).start().await;
    let agents = agents(&gateway, 2).await;
    server.converged(&refs(&agents)).await;
    for _ in 0..3 {
        server.push_anywhere(&custom(&[], 10)).await;
    }
    gateway.wait_metric(ANONYMOUS, &[("server", "a")], |pushes| pushes == 3.0).await;
    assert_eq!(gateway.process().log().count("per-agent"), 1);

    server.push_anywhere(&custom(&uid(99), 10)).await;
    gateway.wait_metric(UNROUTABLE, &[("server", "a")], |pushes| pushes == 1.0).await;
    server.push_anywhere(&custom(b"no uid", 10)).await;
    let malformed = "seawall_upstream_malformed_messages_total";
    gateway.wait_metric(malformed, &[("server", "a")], |messages| messages == 1.0).await;

    // The link is as good as before.
    server.push(&custom(agents[1].uid(), 10)).await;
    agents[1].wait(|seen| has_custom(&seen.messages)).await;
    assert!(!has_custom(&agents[0].messages()), "nobody gets what is another's");
}

#[tokio::test]
async fn in_per_agent_mode_it_is_the_links_agents() {
    let server = Mock::start().await;
    let gateway = Gateway::builder().server(&server.url(), Mode::PerAgent).start().await;
    let agents = agents(&gateway, 3).await;
    server.converged(&refs(&agents)).await;
    server.wait("three links", |state| state.links() == 3).await;
    let mut anonymous = custom(agents[1].uid(), 10);
    let writer = server.with(|state| state.writer_of(agents[1].uid())).unwrap();
    anonymous.instance_uid.clear();
    server.write(&writer, &anonymous).await;
    agents[1].wait(|seen| has_custom(&seen.messages)).await;

    // Another's is dropped: it came the wrong way.
    server.write(&writer, &custom(agents[2].uid(), 10)).await;
    gateway.wait_metric(UNROUTABLE, &[("server", "a")], |pushes| pushes == 1.0).await;
    assert!(!has_custom(&agents[0].messages()) && !has_custom(&agents[2].messages()));
}
