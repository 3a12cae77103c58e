//! Several agents on one socket, on a node that is alone and on one that is a fleet of itself.

use std::num::NonZeroU32;
use std::time::Duration;

use prost::Message as _;

use super::super::params::EdgeParams;
use super::super::scenarios::{Heard, Listening, WireAgent, addressed, heartbeat, report, uid};
use crate::clock;
use crate::core::drain::AgentDrain;
use crate::core::session::{Presence, Route};
use crate::ident::{Incarnation, LinkId, ServerId};
use crate::opamp::proto::{
    AgentDisconnect, AgentIdentification, AgentRemoteConfig, AgentToServer, CustomMessage,
    ServerToAgent,
};
use crate::opamp::server::{REPORT_FULL_STATE, ServerScan};

/// A gateway's socket.
struct GatewaySocket(WireAgent);

impl GatewaySocket {
    async fn connects(node: &Listening) -> Self {
        Self(node.connects(0).await)
    }

    async fn says(&mut self, n: u8, number: u64, message: AgentToServer) {
        let message = addressed(message, n, number);
        self.0.says_bytes(&message.encode_to_vec()).await;
    }

    /// The next message; pings before it are answered.
    async fn hears(&mut self) -> ServerToAgent {
        loop {
            match self.0.hears().await {
                Heard::Message(message) => return ServerToAgent { capabilities: 0, ..*message },
                Heard::Ping(payload) => self.0.pongs(&payload).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// An agent says something and gets its reply.
    async fn asks(&mut self, n: u8, number: u64, message: AgentToServer) {
        self.says(n, number, message).await;
        assert_eq!(self.hears().await, ack(n));
    }

    /// Agents 1 to `last` report for the first time.
    async fn brings(&mut self, last: u8) {
        for n in 1..=last {
            self.asks(n, 0, report()).await;
        }
    }
}

fn ack(n: u8) -> ServerToAgent {
    ServerToAgent { instance_uid: vec![n; 16], ..ServerToAgent::default() }
}

fn offer(n: u8, hash: &[u8]) -> ServerToAgent {
    let config = AgentRemoteConfig { config: None, config_hash: hash.to_vec() };
    ServerToAgent { remote_config: Some(config), ..ack(n) }
}

fn goodbye() -> AgentToServer {
    AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..heartbeat() }
}

/// The server says this, unasked.
fn push(node: &Listening, message: &ServerToAgent) {
    let link = LinkId { server: ServerId(0), index: 0 };
    let from = Route::of_link(link, Incarnation(1));
    let bytes = message.encode_to_vec();
    let to = message.instance_uid[0];
    node.sessions.from_server(uid(to), from, &ServerScan::parse(&bytes).unwrap());
}

#[tokio::test]
async fn each_agent_of_a_connection_is_reached() {
    const AGENTS: u8 = 200;
    for node in [false, true].map(|in_fleet| Listening::with(in_fleet, |_| {})) {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(AGENTS).await;
        node.counts(AGENTS.into()).await;
        for n in 1..=AGENTS {
            push(&node, &offer(n, &[n]));
        }
        let mut got: Vec<_> = Vec::new();
        for _ in 1..=AGENTS {
            got.push(carrier.hears().await);
        }
        got.sort_by_key(|message| message.instance_uid.clone());
        assert_eq!(got, (1..=AGENTS).map(|n| offer(n, &[n])).collect::<Vec<_>>());
        // In turn and at once, each gets its reply.
        for n in [1, 2, 200, 2, 1] {
            carrier.says(n, 1, report()).await;
        }
        let mut answered = Vec::new();
        for _ in 0..5 {
            answered.push(carrier.hears().await.instance_uid[0]);
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 1, 2, 2, 200]);
        drop(carrier);
        // The end of the connection is the absence of all.
        node.counts(0).await;
        assert_eq!(node.sessions.count().1, i64::from(AGENTS));
    }
}

#[tokio::test]
async fn what_an_agent_has_confirmed_is_not_sent_again() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        (1..=3).for_each(|n| push(&node, &offer(n, &[n])));
        let mut pings = Vec::new();
        let mut offers = 0;
        while offers < 3 || pings.len() < 3 {
            match carrier.0.hears().await {
                Heard::Message(_) => offers += 1,
                Heard::Ping(payload) => pings.push(payload),
                other => panic!("{other:?}"),
            }
        }
        // Agent 2's pong stays out. Its ping is the one with the number of its place.
        pings.sort();
        pings.sort_by_key(Vec::len);
        assert!(pings[0].len() < pings[1].len(), "the first agent's says no more than its number");
        for payload in [&pings[0], &pings[2]] {
            carrier.0.pongs(payload).await;
        }
        carrier.asks(1, 1, heartbeat()).await;
        drop(carrier);
        node.counts(0).await;
        let mut back = GatewaySocket::connects(&node).await;
        for n in 1..=3 {
            back.says(n, 2, heartbeat()).await;
        }
        let mut again = Vec::new();
        for _ in 0..4 {
            again.extend(back.hears().await.remote_config.map(|config| config.config_hash));
        }
        assert_eq!(again, [[2]], "what agent 2 may lack goes again, and nothing else");
    }
}

#[tokio::test]
async fn an_offer_that_is_too_large_for_a_connection_is_held_back_and_the_others_are_not() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        (1..=3).for_each(|n| push(&node, &offer(n, &vec![n; if n == 2 { 5_000 } else { 10 }])));
        let (mut offers, mut pings) = (0, 0);
        while offers < 3 || pings < 3 {
            match carrier.0.hears().await {
                Heard::Message(_) => offers += 1,
                Heard::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
        carrier.0.closes(1009).await;
        node.counts(0).await;
        let mut back = GatewaySocket::connects(&node).await;
        let mut again = Vec::new();
        for n in 1..=3 {
            back.says(n, 1, heartbeat()).await;
        }
        for _ in 0..5 {
            again.extend(back.hears().await.remote_config.map(|config| config.config_hash));
        }
        again.sort();
        assert_eq!(again, [[1; 10], [3; 10]], "the others' offers go again");
    }
}

#[tokio::test]
async fn the_end_of_one_agent_concerns_it_alone() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        carrier.asks(1, 1, goodbye()).await;
        node.counts(2).await;
        // Another connects by itself.
        let mut elsewhere = node.connects(2).await;
        elsewhere.says(report()).await;
        elsewhere.is_acknowledged().await;
        carrier.asks(3, 1, heartbeat()).await;
        push(&node, &offer(3, b"x"));
        assert_eq!(carrier.hears().await, offer(3, b"x"));
        // Both may come back here.
        carrier.asks(1, 0, report()).await;
        carrier.asks(2, 7, report()).await;
        elsewhere.sees_the_close(1000, false).await;
        push(&node, &offer(2, b"y"));
        assert_eq!(carrier.hears().await, offer(2, b"y"));
        node.counts(3).await;
    }
}

#[tokio::test]
async fn a_uid_on_two_gateways_is_found_out() {
    for node in Listening::both() {
        let mut one = GatewaySocket::connects(&node).await;
        let mut other = GatewaySocket::connects(&node).await;
        one.brings(2).await;
        other.asks(3, 0, report()).await;
        let mut fresh = None;
        for number in 1..5 {
            for carrier in [&mut other, &mut one] {
                carrier.says(1, number, report()).await;
                fresh = fresh.or(carrier.hears().await.agent_identification);
            }
        }
        assert!(fresh.is_some());
        one.asks(2, 1, heartbeat()).await;
    }
}

#[tokio::test]
async fn a_connection_brings_at_most_so_many() {
    let few = |params: &mut EdgeParams| params.agents_per_connection_max = Some(3);
    for node in [false, true].map(|in_fleet| Listening::with(in_fleet, few)) {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        for n in 4..40 {
            carrier.says(n, 0, report()).await;
            let refused = carrier.hears().await;
            assert_eq!(refused.instance_uid, [n; 16]);
            let error = refused.error_response.unwrap();
            assert!(error.error_message.contains("edge.agents_per_connection_max"), "{error:?}");
        }
        carrier.asks(2, 1, heartbeat()).await;
        node.counts(3).await;
        // One that leaves makes room.
        carrier.asks(1, 1, goodbye()).await;
        node.counts(2).await;
        carrier.asks(9, 0, report()).await;
    }
}

fn custom() -> AgentToServer {
    AgentToServer { custom_message: Some(CustomMessage::default()), ..heartbeat() }
}

/// The connection is read in order: what another agent says comes behind.
#[tokio::test]
async fn a_connection_is_read_no_further_while_one_agents_custom_messages_wait() {
    let node = Listening::with(false, |_| {});
    let mut carrier = GatewaySocket::connects(&node).await;
    carrier.brings(2).await;
    // As many as may wait for a server, which is away.
    for number in 1..=64 {
        carrier.says(1, number, custom()).await;
    }
    carrier.says(2, 1, heartbeat()).await;
    for _ in 1..=64 {
        assert_eq!(carrier.hears().await, ack(1));
    }
    let early = tokio::time::timeout(Duration::from_millis(500), carrier.hears()).await;
    assert!(early.is_err(), "{early:?}");
    // The server has taken none for a while.
    assert_eq!(carrier.hears().await, ack(2));
    carrier.asks(1, 65, heartbeat()).await;
}

#[tokio::test]
async fn half_of_the_table_is_left_to_others() {
    let node = Listening::with(false, |_| {});
    assert_eq!(crate::sessions::half_of_all(&node.sessions), 500_000);
}

/// One agent a second is admitted: the connection took the first second's.
#[tokio::test]
async fn a_newcomer_waits_for_admission_and_the_others_go_on() {
    let slow = |params: &mut EdgeParams| {
        params.admission.rate = NonZeroU32::new(1);
        params.admission.admission.burst = Duration::from_secs(2);
    };
    for node in [false, true].map(|in_fleet| Listening::with(in_fleet, slow)) {
        let began = clock::now();
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(1).await;
        for n in 2..=5 {
            carrier.says(n, 0, report()).await;
            carrier.says(n, 1, heartbeat()).await;
        }
        let mut last = began;
        let mut heard = Vec::new();
        while heard.len() < 8 + 20 {
            if heard.len() < 20 {
                carrier.says(1, 1 + heard.len() as u64, heartbeat()).await;
            }
            let reply = carrier.hears().await;
            heard.push(reply.instance_uid[0]);
            last = clock::now();
        }
        let own = heard.iter().filter(|n| **n == 1).count();
        assert_eq!(own, 20, "{heard:?}");
        assert!(heard[..20].iter().filter(|n| **n == 1).count() > 10, "they go on: {heard:?}");
        assert!(last - began > Duration::from_secs(1), "{:?}", last - began);
        node.counts(5).await;
        // Who has a session owes nothing.
        drop(carrier);
        node.counts(0).await;
    }
}

#[tokio::test]
async fn a_node_that_stops_or_drains_closes_the_connection_once_all_is_written() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        node.sessions.stop();
        carrier.0.sees_the_close(1001, true).await;
        node.counts(0).await;
    }
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        node.sessions.begin_drain();
        assert_eq!(node.sessions.drain_agent(uid(2), false), AgentDrain::Closing);
        carrier.0.sees_the_close(1001, true).await;
        node.counts(0).await;
    }
}

/// The agent takes another uid by itself: its number goes on. What is asked of the former uid stays unanswered.
#[tokio::test]
async fn an_agent_that_renames_itself_is_one_agent() {
    for node in Listening::both() {
        let mut agent = GatewaySocket::connects(&node).await;
        agent.asks(1, 0, report()).await;
        agent.asks(2, 1, report()).await;
        node.counts(1).await;
        assert_eq!(node.sessions.count().1, 1, "the former uid is absent");
        let asked = agent.hears().await;
        assert_eq!((asked.instance_uid, asked.flags), (vec![1; 16], REPORT_FULL_STATE));
        agent.asks(2, 2, report()).await;
        agent.asks(2, 3, goodbye()).await;
        agent.0.sees_the_close(1000, true).await;
        node.counts(0).await;
    }
}

/// Two agents, and the second one's first number happens to follow the first one's.
#[tokio::test]
async fn another_agent_that_looks_renamed_shows_that_it_is_not() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.asks(1, 0, report()).await;
        carrier.asks(2, 1, report()).await;
        push(&node, &offer(1, b"waits"));
        let asked = carrier.hears().await;
        assert_eq!((asked.instance_uid, asked.flags), (vec![1; 16], REPORT_FULL_STATE));
        carrier.says(1, 1, report()).await;
        let got = [carrier.hears().await, carrier.hears().await];
        assert!(got.contains(&offer(1, b"waits")), "{got:?}");
        node.counts(2).await;
        carrier.asks(1, 2, goodbye()).await;
        carrier.asks(2, 2, heartbeat()).await;
        node.counts(1).await;
    }
}

/// A server gives agents of a connection other uids: the number of agents stays the same.
#[tokio::test]
async fn an_agent_that_is_given_a_uid_is_told_from_another() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        carrier.brings(3).await;
        let given = AgentIdentification { new_instance_uid: vec![9; 16] };
        push(&node, &ServerToAgent { agent_identification: Some(given), ..ack(2) });
        assert!(carrier.hears().await.agent_identification.is_some());
        // The server knows it by that name from now on.
        push(&node, &offer(9, b"early"));
        carrier.says(9, 1, report()).await;
        let got = [carrier.hears().await, carrier.hears().await];
        assert!(got.contains(&offer(9, b"early")), "{got:?}");
        node.counts(3).await;
        let former = node.sessions.info(uid(2)).map(|info| info.presence);
        assert!(matches!(former, None | Some(Presence::Disconnecting)), "{former:?}");
        carrier.asks(1, 1, heartbeat()).await;
    }
}

/// opampgateway asks for each agent, in messages without a uid.
#[tokio::test]
async fn a_gateway_that_asks_for_its_agents_is_answered() {
    for node in Listening::both() {
        let mut carrier = GatewaySocket::connects(&node).await;
        for round in 0..40 {
            let custom_message = Some(CustomMessage {
                capability: "com.bindplane.opamp-gateway".to_owned(),
                r#type: "connect".to_owned(),
                data: format!(r#"{{"request_uid":"{round}","headers":{{}}}}"#).into_bytes(),
            });
            let asks = AgentToServer { custom_message, ..heartbeat() };
            carrier.0.says_bytes(&asks.encode_to_vec()).await;
            let answer = carrier.hears().await.custom_message.unwrap();
            let said = String::from_utf8(answer.data).unwrap();
            assert!(said.contains(&format!(r#""{round}","accept":true"#)), "{said}");
        }
        carrier.asks(1, 0, report()).await;
        carrier.asks(1, 1, goodbye()).await;
        // It is a gateway: its first agent's goodbye is not its own.
        carrier.asks(2, 0, report()).await;
        node.counts(1).await;
    }
}
