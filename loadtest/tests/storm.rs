//! The instrument against its own server stand-in, as processes: a storm must pass the oracle, and
//! a server that believes something untrue must not.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// A stand-in that is killed when this goes.
struct Server {
    child: Child,
    port: u16,
    report: u16,
}

impl Server {
    fn start(flags: &[&str]) -> Self {
        let [port, report] = [free_port(), free_port()];
        Self::start_on(port, report, flags)
    }

    fn start_on(port: u16, report: u16, flags: &[&str]) -> Self {
        let mut child = Command::new(LOADTEST)
            .args(["server", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--report-listen", &format!("127.0.0.1:{report}")])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where it listens once it does.
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("OpAMP server stand-in"), "{line}");
        Self { child, port, report }
    }

    fn storm_command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(LOADTEST);
        command
            .args(["storm", "--target", &format!("ws://127.0.0.1:{}/v1/opamp", self.port)])
            .args(["--server-report", &format!("http://127.0.0.1:{}", self.report)])
            // Nobody listens there.
            .args(["--gateway-metrics", "http://127.0.0.1:1/metrics", "--json", "-"])
            .args(flags);
        command
    }

    fn storm(&self, flags: &[&str]) -> (Output, serde_json::Value) {
        let output = self.storm_command(flags).output().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, json)
    }

    /// Waits until this many agents have been cut off and are back.
    fn wait_for_return(&self, agents: u64) {
        loop {
            let report = self.ask("GET", "/report", "");
            if report["websockets_closed"] == agents && report["agents_routed"] == agents {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.report)).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn assert_good(output: &Output, json: &serde_json::Value) {
    assert!(output.status.success(), "{}\n{json}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(json["server"]["agents_missing"], 0);
    assert_eq!(json["server"]["agents_wrong"], 0);
    assert_eq!(json["misrouted"], 0);
    assert_eq!(json["agents_back"], json["agents"]);
}

#[test]
fn full_states_come_again_on_every_reconnect() {
    let server = Server::start(&[]);
    let (output, json) =
        server.storm(&["--agents", "200", "--changed", "0.5", "--behaviour", "full-on-reconnect"]);
    assert_good(&output, &json);
    assert_eq!(json["server"]["messages"], 200);
    assert_eq!(json["server"]["full_states"], 200);
    assert_eq!(json["server"]["gaps"], 0);
    assert_eq!(json["attempts_mean"], 1.0);
    assert!(json["seconds_to_100"].as_f64().unwrap() >= json["seconds_to_50"].as_f64().unwrap());
    assert!(json["gateway"]["rss_bytes"].is_null());
    // Each came on another connection than the one before, and nobody was asked for any.
    assert_eq!(json["server"]["full_states_repeated"], 0);
    assert_eq!(json["full_state_requests_seen"], 0);
    let peak = &json["server"]["full_states_peak_per_second"];
    assert!((1..=200).contains(&peak.as_u64().unwrap()), "{peak}");
    assert_eq!(peak, &json["server"]["messages_peak_per_second"]);
    assert!(json["first_reply_ms_max"].as_f64() >= json["first_reply_ms_p99"].as_f64());
    assert!(json["seconds_to_settled"].as_f64() >= json["seconds_to_100"].as_f64());
}

#[test]
fn deltas_hold_what_changed() {
    let server = Server::start(&["--ask-components"]);
    let (output, json) =
        server.storm(&["--agents", "200", "--changed", "0.5", "--behaviour", "delta-on-reconnect"]);
    assert_good(&output, &json);
    assert_eq!(json["server"]["full_states"], 0);
    assert_eq!(json["server"]["gaps"], 0);
    assert!(json["server"]["announces"].as_u64().unwrap() > 50);
}

#[test]
fn a_server_that_believes_something_untrue_fails_the_oracle() {
    let server = Server::start(&["--corrupt-one"]);
    let (output, json) = server.storm(&["--agents", "50", "--settle", "1s"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["server"]["agents_wrong"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("effective_config"));
}

#[test]
fn lost_reports_are_healed_by_the_question_for_the_full_state() {
    let server = Server::start(&["--unavailable-every", "7", "--retry-after", "1s"]);
    let flags = [
        "--agents",
        "100",
        "--heartbeat",
        "500ms",
        "--behaviour",
        "delta-on-reconnect",
        "--changed=1",
    ];
    let (output, json) = server.storm(&flags);
    assert_good(&output, &json);
    assert!(json["server"]["unavailable"].as_u64().unwrap() > 0);
    assert!(json["server"]["full_state_requests"].as_u64().unwrap() > 0);
    assert!(json["full_state_requests_seen"].as_u64().unwrap() > 0);
}

#[test]
fn a_refused_agent_waits_as_long_as_it_is_told() {
    let server = Server::start(&[]);
    let storm = std::thread::scope(|scope| {
        let storm = scope.spawn(|| server.storm(&["--agents", "20", "--hold", "1s"]));
        // Before the cut all agents are in; the faults begin once they are.
        while server.ask("GET", "/report", "")["agents_complete"] != 20 {
            std::thread::yield_now();
        }
        server.ask("POST", "/misbehave", r#"{"refuse_upgrade":"503:2"}"#);
        while server.ask("GET", "/report", "")["refused"].as_u64() < Some(20) {
            std::thread::yield_now();
        }
        server.ask("POST", "/misbehave", "{}");
        storm.join().unwrap()
    });
    let (output, json) = storm;
    assert_good(&output, &json);
    assert_eq!(json["attempts_mean"], 2.0);
    assert_eq!(json["refused_peak_per_second"], 20);
    let seconds = json["seconds_to_50"].as_f64().unwrap();
    assert!((2.0..4.0).contains(&seconds), "{seconds}");
    // From the intended instant of the dial that succeeded, not from the cut.
    assert!(json["first_reply_ms_p50"].as_f64().unwrap() < 1000.0);
}

#[test]
fn offers_reach_their_agents_and_come_back_as_status() {
    let server = Server::start(&[]);
    let storm = std::thread::scope(|scope| {
        let storm = scope.spawn(|| server.storm(&["--agents", "50", "--hold", "2s"]));
        server.wait_for_return(50);
        let order = r#"{"all":true,"kind":"remote_config","size":5000}"#;
        assert_eq!(server.ask("POST", "/push", order)["targets"], 50);
        let order = r#"{"all":true,"kind":"bytes","size":70000}"#;
        assert_eq!(server.ask("POST", "/push", order)["targets"], 50);
        storm.join().unwrap()
    });
    let (output, json) = storm;
    assert_good(&output, &json);
    assert_eq!(json["server"]["offers_open"], 0);
    assert!(json["offers"].as_u64().unwrap() >= 50);
}

#[test]
fn a_killed_server_comes_back_at_once_and_learns_everything_again() {
    let mut server = Server::start(&[]);
    let (port, report) = (server.port, server.report);
    let flags = ["--agents", "100", "--hold", "4s", "--behaviour", "delta-on-reconnect"];
    let storm = server.storm_command(&flags).stdout(Stdio::piped()).spawn().unwrap();
    server.wait_for_return(100);
    drop(server);
    server = Server::start_on(port, report, &[]);
    let output = storm.wait_with_output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_good(&output, &json);
    assert_eq!(json["connections_closed_by_gateway"], 100);
    assert_eq!(server.ask("GET", "/report", "")["unknown_agents"], 100);
}

#[test]
fn without_a_server_to_ask_there_is_no_verdict() {
    let server = Server::start(&[]);
    let port = server.port;
    drop(server);
    let output = Command::new(LOADTEST)
        .args(["storm", "--agents", "1", "--server-report", &format!("http://127.0.0.1:{port}")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-oracle"));
}
