//! A stock opamp-go server (`interop/server`).

use prost::Message as _;
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use serde_json::json;
use tokio::process::Command;

use super::super::log::{Event, Mark, hex};
use super::super::ports::free_port;
use super::super::process::Process;
use super::Peers;

/// Whether pushes carry the agent's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushUid {
    Present,
    Absent,
}

/// A running server, which can be killed and come back on its port.
#[derive(Debug)]
pub(crate) struct Server {
    peers: Peers,
    port: u16,
    push_uid: PushUid,
    process: Process,
}

impl Server {
    /// Starts one on a free port and waits until it listens.
    pub(crate) async fn start(peers: &Peers, push_uid: PushUid) -> Self {
        let port = free_port();
        let process = Self::spawn(peers, port, push_uid).await;
        Self { peers: peers.clone(), port, push_uid, process }
    }

    async fn spawn(peers: &Peers, port: u16, push_uid: PushUid) -> Process {
        let mut command = Command::new(peers.server());
        command.arg(format!("--listen=127.0.0.1:{port}"));
        command.arg(format!("--push-uid={}", push_uid == PushUid::Present));
        let process = Process::start("server", command);
        process.event(Mark::default(), "started", |_| true).await;
        process
    }

    /// Kills it (SIGKILL): all it knew is lost.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts an empty one on the same port.
    pub(crate) async fn revive(&mut self) {
        self.process = Self::spawn(&self.peers, self.port, self.push_uid).await;
    }

    /// The OpAMP endpoint with this scheme.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/v1/opamp", self.port)
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// See [`super::super::log::Log::mark`].
    pub(crate) fn mark(&self) -> Mark {
        self.process.mark()
    }

    /// Sends a message to an agent, outside any reply.
    pub(crate) async fn push(&mut self, uid: &[u8; 16], message: &ServerToAgent) {
        self.push_bytes(uid, &message.encode_to_vec()).await;
    }

    /// The same with bytes that may be unknown to the schema.
    pub(crate) async fn push_bytes(&mut self, uid: &[u8; 16], message: &[u8]) {
        let push = json!({"cmd": "push", "uid": hex(uid), "raw": hex(message)});
        self.process.command(push).await;
    }

    /// Has a message ride on the next reply to an agent.
    pub(crate) async fn queue(&mut self, uid: &[u8; 16], message: &ServerToAgent) {
        let raw = hex(&message.encode_to_vec());
        self.process.command(json!({"cmd": "queue", "uid": hex(uid), "raw": raw})).await;
    }

    /// Stops or resumes answering.
    pub(crate) async fn silence(&mut self, on: bool) {
        self.process.command(json!({"cmd": "silence", "on": on})).await;
    }

    /// Closes every WebSocket without a close frame; says how many there were.
    pub(crate) async fn cut(&mut self) -> u64 {
        let done = self.process.command(json!({"cmd": "cut"})).await;
        done.number("connections").expect("the server counts")
    }

    /// What it believes about an agent; `None` if the agent is unknown.
    pub(crate) async fn state(&mut self, uid: &[u8; 16]) -> Option<AgentToServer> {
        let done = self.process.command(json!({"cmd": "state", "uid": hex(uid)})).await;
        done.flag("known").then(|| done.agent_to_server())
    }

    /// The next message of an agent since the mark that is as wanted.
    pub(crate) async fn received(
        &self,
        since: Mark,
        uid: &[u8; 16],
        wanted: impl Fn(&Event) -> bool,
    ) -> Event {
        let uid = hex(uid);
        self.process
            .event(since, "received", |event| event.text("uid") == uid && wanted(event))
            .await
    }

    /// All messages of an agent since the mark.
    pub(crate) fn messages(&self, since: Mark, uid: &[u8; 16]) -> Vec<Event> {
        let uid = hex(uid);
        let mut messages = self.process.log().events(since, "received");
        messages.retain(|event| event.text("uid") == uid);
        messages
    }
}
