//! What operators see of two nodes with a real Redis: the fleet, one agent from its home, and that a home does not
//! answer.

use std::process::Output;

use seawall::ident::InstanceUid;
use serde_json::Value;
use tokio::process::Command;

use crate::servers::{Server, redis};
use crate::support::agent::Agent;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode, polling};
use crate::support::message::uid;
use crate::support::mock::Mock;
use crate::support::ports::free_port;

const AGENTS: u16 = 16;

fn node(name: &str, redis: &Server, server: &Mock) -> GatewayBuilder {
    Gateway::builder()
        .server(&server.url(), Mode::Multiplexed(1))
        .set("ownership", "store", "\"redis\"")
        .set("ownership", "node", &format!("\"{name}\""))
        .set("ownership", "advertise", &format!("\"127.0.0.1:{}\"", free_port()))
        .set("ownership", "lease", "\"3s\"")
        .set("ownership.redis", "addresses", &format!("[\"127.0.0.1:{}\"]", redis.port))
}

async fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    let answer = gateway.get(path).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn session(n: u16) -> String {
    format!("/sessions/{}", InstanceUid::from_wire(&uid(n)).unwrap())
}

/// Runs `seawall cluster` against a node.
async fn command(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(["cluster", "--admin", &gateway.admin().to_string()]).args(arguments);
    command.env_clear().output().await.unwrap()
}

/// Asks until nothing needs attention.
async fn whole(gateway: &Gateway) -> Value {
    let mut last = Value::Null;
    let found = polling(async || {
        last = get(gateway, "/cluster").await.1;
        let is_whole = last["attention"].as_array().is_some_and(Vec::is_empty);
        let has_both = last["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2);
        (is_whole && has_both).then_some(())
    })
    .await;
    assert!(found.is_some(), "{last:#}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_fleet_and_each_agent_from_its_home() {
    let Some(program) = redis() else { return };
    let redis = Server::start(&program, &[]).await;
    let server = Mock::start().await;
    let mut one = node("node-1", &redis, &server).start_unready().await;
    // A node that waits for its first lease time tells what it waits for.
    let (_, early) = get(&one, "/cluster").await;
    assert_eq!((&early["asked"], &early["shards"]), (&"node-1".into(), &1024.into()), "{early:#}");
    assert!(!early["attention"].as_array().unwrap().is_empty(), "{early:#}");
    assert_eq!(command(&one, &[]).await.status.code(), Some(4));
    let mut two = node("node-2", &redis, &server).start_unready().await;
    one.wait_ready().await;
    two.wait_ready().await;

    let mut agents = Vec::new();
    for n in 0..AGENTS {
        agents.push(Agent::connect(one.edge(), uid(n)).await);
    }
    let known = |state: &crate::support::mock::state::State| state.agents.len() == agents.len();
    server.wait("all agents", known).await;
    shows_both_nodes(&whole(&two).await);
    let output = command(&two, &[]).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.contains("node-1 ") && table.contains("node-2* "), "{table}");
    let json = command(&one, &["--json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 2, "{json:#}");

    counts_what_happened(&one, &two).await;
    let far = shows_each_agent_from_its_home(&one, &two).await;
    // It cannot answer, and its link has yet to be found lost.
    two.process().kill().await;
    let (status, body) = get(&one, &session(far)).await;
    assert_eq!((status, &body["home"]), (504, &"node-2".into()), "{body:#}");
    assert_eq!(body["connection"]["transport"], "websocket", "{body:#}");
    let output = command(&one, &[]).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{table}");
    assert!(table.contains("node-2: it could not be asked: "), "{table}");
}

fn shows_both_nodes(shown: &Value) {
    let nodes = shown["nodes"].as_array().unwrap();
    let sum = |of: fn(&Value) -> &Value| -> u64 {
        nodes.iter().map(|node| of(node).as_u64().unwrap()).sum()
    };
    assert_eq!(sum(|node| &node["shards"]), 1024, "{shown:#}");
    assert_eq!(sum(|node| &node["report"]["agents"]["as_front"]), u64::from(AGENTS), "{shown:#}");
    assert_eq!(sum(|node| &node["report"]["agents"]["as_home"]), u64::from(AGENTS), "{shown:#}");
    for (node, other) in nodes.iter().zip(nodes.iter().rev()) {
        let report = &node["report"];
        assert_eq!((&report["standing"], &report["may_speak"]), (&"leased".into(), &true.into()));
        assert_eq!(report["linked"][0], other["name"], "{shown:#}");
        assert_eq!(report["store"]["kind"], "single", "{shown:#}");
        assert!(report["store"]["calls"].as_u64() > Some(0), "{shown:#}");
        assert!(node["lease"]["counter"].as_u64() > Some(0), "{shown:#}");
        assert_eq!(node["lease"]["settings_differ"], false, "{shown:#}");
    }
}

async fn counts_what_happened(one: &Gateway, two: &Gateway) {
    let (one, two) = (one.metrics().await, two.metrics().await);
    let opened = [("event", "opened")];
    let sum = |name: &str, labels: &[(&str, &str)]| one.sum(name, labels) + two.sum(name, labels);
    assert!(sum("seawall_home_attachments_total", &opened) >= f64::from(AGENTS));
    for (sent, received) in [(&one, &two), (&two, &one)] {
        let control = [("kind", "control")];
        assert!(sent.sum("seawall_cluster_sent_messages_total", &control) > 0.0);
        assert!(received.sum("seawall_cluster_received_message_bytes_total", &control) > 0.0);
        assert!(sent.sum("seawall_cluster_round_trip_seconds_count", &[]) > 0.0);
        let renewed = [("call", "renew"), ("result", "answered")];
        assert!(sent.sum("seawall_ownership_store_calls_total", &renewed) > 0.0);
    }
    let attach = [("kind", "attach")];
    let sent = one.sum("seawall_cluster_sent_messages_total", &attach);
    let bytes = one.sum("seawall_cluster_sent_message_bytes_total", &attach);
    assert!(sent > 0.0 && bytes > 20.0 * sent, "{sent} attaches with {bytes} bytes");
}

/// Returns an agent whose home is the second node; all are connected to the first one.
async fn shows_each_agent_from_its_home(one: &Gateway, two: &Gateway) -> u16 {
    let mut far = None;
    for n in 0..AGENTS {
        let (status, seen) = get(one, &session(n)).await;
        assert_eq!((status, &seen["front"]), (200, &"node-1".into()), "{seen:#}");
        assert_eq!(seen, get(two, &session(n)).await.1);
        if seen["home"] == "node-2" {
            far = Some(n);
        }
    }
    let (_, page) = get(one, "/sessions").await;
    let roles = |page: &Value, role: &str| {
        let all = page["sessions"].as_array().unwrap().iter();
        all.filter(|agent| agent["role"] == role).count()
    };
    let (near, elsewhere) = (roles(&page, "home and front"), roles(&page, "front"));
    assert_eq!(near + elsewhere, usize::from(AGENTS), "{page:#}");
    let (_, page) = get(two, "/sessions").await;
    assert_eq!((roles(&page, "home"), roles(&page, "front")), (elsewhere, 0), "{page:#}");
    let unknown = session(999);
    assert_eq!((get(one, &unknown).await.0, get(two, &unknown).await.0), (404, 404));
    far.expect("of 16 agents some are at home at each node")
}
