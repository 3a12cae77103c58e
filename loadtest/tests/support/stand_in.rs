//! The server stand-in as a process, its report port, and storms at it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{LOADTEST, until};

/// A stand-in that is killed when this goes.
pub(crate) struct StandIn {
    child: Child,
    pub(crate) port: u16,
    pub(crate) report: u16,
    runtime: tokio::runtime::Runtime,
}

impl StandIn {
    /// Starts one on free ports and waits until it listens.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let [port, report] = [free_port(), free_port()];
        Self::start_on(port, report, flags)
    }

    /// The same on these ports.
    pub(crate) fn start_on(port: u16, report: u16, flags: &[&str]) -> Self {
        let mut child = Command::new(LOADTEST)
            .args(["server", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--report-listen", &format!("127.0.0.1:{report}")])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Its first line says where it listens, once it does.
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("OpAMP server stand-in"), "{line}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { child, port, report, runtime }
    }

    /// A storm whose agents dial this port: the stand-in's own, or that of something in front of it.
    pub(crate) fn storm_command(&self, port: u16, flags: &[&str]) -> Command {
        let mut command = Command::new(LOADTEST);
        command
            .args(["storm", "--target", &format!("ws://127.0.0.1:{port}/v1/opamp")])
            .args(["--server-report", &format!("http://127.0.0.1:{}", self.report)])
            .args(["--json", "-"])
            .args(flags);
        command
    }

    /// Runs one and returns its figures; null if it printed none.
    pub(crate) fn storm(&self, port: u16, flags: &[&str]) -> (Output, Value) {
        let output = self.storm_command(port, flags).output().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, json)
    }

    /// Waits until this many agents have been cut off and are back.
    pub(crate) fn wait_for_return(&self, agents: u64) {
        until("all agents are back", || {
            let report = self.report();
            report["websockets_closed"] == agents && report["agents_routed"] == agents
        });
    }

    /// Its counts.
    pub(crate) fn report(&self) -> Value {
        self.ask("GET", "/report", "")
    }

    /// Asks its report port.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        self.runtime.block_on(ask(self.report, method, path, body))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(port: u16, method: &str, path: &str, body: &str) -> Value {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("Host", "stand-in");
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{path}: {status} {body:?}");
    serde_json::from_slice(&body).unwrap()
}

/// A port of the loopback address that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
