//! Stock clients at the server stand-in itself: each gets in, and what it says of itself is true.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use serde_json::Value;
use support::number;
use support::stand_in::StandIn;

const NO_GATEWAY: &str = "--gateway-metrics=http://127.0.0.1:1/metrics";

/// A storm of agents that all start at one instant, and poll often.
fn start(server: &StandIn, flags: &[&str]) -> Value {
    let common = [NO_GATEWAY, "--begin=start", "--heartbeat=300ms", "--hold=1s"];
    let (output, json) = server.storm(server.port, &[&common, flags].concat());
    assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(json["agents_back"], json["agents"]);
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["waits_given_up"], 0);
    json
}

#[test]
fn each_client_gets_in_and_a_server_is_right_about_it() {
    for client in ["python", "java-http", "java-ws", "node", "dotnet"] {
        let server = StandIn::start(&[]);
        let json = start(&server, &["--agents=20", "--client", client]);
        let posts = number(&json, "posts");
        if client == "java-ws" {
            assert_eq!(json["server"]["messages"], 20, "uid and capabilities, once: {json}");
            assert_eq!(posts, 0.0);
        } else {
            assert!(posts >= 60.0, "{client} polls: {json}");
            assert_eq!(json["post_connections"], 20, "{client} keeps its connection: {json}");
        }
    }
}

#[test]
fn a_mix_is_of_all_clients() {
    let server = StandIn::start(&[]);
    let mix = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/field.toml");
    let json = start(&server, &["--agents=200", "--clients", mix]);
    assert!(number(&json, "posts") > 60.0, "{json}");
    assert_eq!(json["agents_mute"], 0, "each has said what it says: {json}");
}

#[test]
fn agents_over_http_may_share_connections() {
    let server = StandIn::start(&[]);
    let json = start(&server, &["--agents=50", "--transport=http", "--connections=4"]);
    assert_eq!(json["post_connections"], 4);
    assert!(number(&json, "posts") >= 150.0, "{json}");
}

#[test]
fn a_cut_takes_connections_over_http_and_agents_come_with_their_next_poll() {
    let server = StandIn::start(&[]);
    let flags = [NO_GATEWAY, "--agents=30", "--client=node", "--heartbeat=500ms"];
    let (output, json) = server.storm(server.port, &flags);
    assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(json["agents_back"], 30);
    assert_eq!(json["post_connections"], 30, "each opened another");
    assert_eq!(json["server"]["agents_wrong"], 0);
}

#[test]
fn clients_that_cannot_be_are_mistakes() {
    let server = StandIn::start(&[]);
    let said = |flags: &[&str]| {
        let (output, _) = server.storm(server.port, flags);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let websocket = said(&["--client=node", "--transport=websocket"]);
    assert!(websocket.contains("node does not speak over WebSockets"), "{websocket}");
    assert!(said(&["--clients=/nowhere.toml"]).contains("/nowhere.toml"));
    assert!(said(&["--client=node", "--after-outage=1m"]).contains("--begin start"));
}
