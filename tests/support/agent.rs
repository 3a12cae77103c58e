//! An agent that behaves: it answers pings and the question for its full state, and stores what it
//! got.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use tokio::sync::{mpsc, watch};

use super::PATIENCE;
use super::message::{REPORT_FULL_STATE, config, from_payload, full_report, health, heartbeat};
use super::socket::{Got, PONG, Socket};

/// What has happened to an agent.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What the server, or the gateway in its place, has said.
    pub(crate) messages: Vec<ServerToAgent>,
    /// The connection has ended; with the code of its Close.
    pub(crate) ended: Option<Option<u16>>,
}

enum Command {
    Health(String),
    Config(Vec<u8>),
}

/// A connected agent. When dropped it closes its socket silently.
pub(crate) struct Agent {
    uid: Vec<u8>,
    commands: mpsc::Sender<Command>,
    seen: watch::Receiver<Seen>,
    truth: Arc<Mutex<AgentToServer>>,
}

struct Task {
    socket: Socket,
    truth: Arc<Mutex<AgentToServer>>,
    seen: watch::Sender<Seen>,
}

impl Agent {
    /// Connects and sends its full state.
    pub(crate) async fn connect(edge: SocketAddr, uid: Vec<u8>) -> Self {
        let mut socket = Socket::open(edge).await;
        let first = full_report(&uid, 0);
        socket.send(&first).await;
        let truth = Arc::new(Mutex::new(first));
        let (commands, inbox) = mpsc::channel(64);
        let (sender, seen) = watch::channel(Seen::default());
        let task = Task { socket, truth: Arc::clone(&truth), seen: sender };
        tokio::spawn(task.run(inbox));
        Self { uid, commands, seen, truth }
    }

    pub(crate) fn uid(&self) -> &[u8] {
        &self.uid
    }

    /// Its full state, as a server should see it.
    pub(crate) fn truth(&self) -> AgentToServer {
        self.truth.lock().clone()
    }

    /// Its health changes. Its truth has that at once, whenever its report goes.
    pub(crate) async fn set_health(&self, status: &str) {
        self.truth.lock().health = Some(health(status));
        self.command(Command::Health(status.to_owned())).await;
    }

    /// Its configuration changes, in the same way.
    pub(crate) async fn set_config(&self, body: Vec<u8>) {
        self.truth.lock().effective_config = Some(config(&body));
        self.command(Command::Config(body)).await;
    }

    async fn command(&self, command: Command) {
        self.commands.send(command).await.expect("the agent is connected");
    }

    /// Waits until what it has seen is as wanted. Fails the test after [`PATIENCE`].
    pub(crate) async fn wait(&self, wanted: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| wanted(seen))).await;
        if !waited.is_ok_and(|found| found.is_ok()) {
            panic!("an agent waits in vain; it saw {:?}", *self.seen.borrow());
        }
    }

    /// What it has been told so far.
    pub(crate) fn messages(&self) -> Vec<ServerToAgent> {
        self.seen.borrow().messages.clone()
    }

    /// How often it has been asked for its full state.
    pub(crate) fn asked(&self) -> usize {
        let asks = |message: &&ServerToAgent| message.flags & REPORT_FULL_STATE != 0;
        self.seen.borrow().messages.iter().filter(asks).count()
    }

    /// Whether its first connection still stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.seen.borrow().ended.is_none()
    }
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                got = self.socket.next_ever() => match got {
                    Got::Message(payload) => self.take(from_payload(&payload)).await,
                    Got::Ping(payload) => self.socket.frame(PONG, &payload).await,
                    Got::Pong(_) => {}
                    Got::Close(code) => return self.end(code),
                    Got::End => return self.end(None),
                },
            }
        }
    }

    async fn take(&mut self, message: ServerToAgent) {
        let asks = message.flags & REPORT_FULL_STATE != 0;
        self.seen.send_modify(|seen| seen.messages.push(message));
        if asks {
            let report = {
                let mut truth = self.truth.lock();
                truth.sequence_num += 1;
                truth.clone()
            };
            self.socket.send(&report).await;
        }
    }

    async fn obey(&mut self, command: Command) {
        let report = {
            let mut truth = self.truth.lock();
            truth.sequence_num += 1;
            let mut report = heartbeat(&truth.instance_uid, truth.sequence_num);
            match command {
                Command::Health(status) => report.health = Some(health(&status)),
                Command::Config(body) => report.effective_config = Some(config(&body)),
            }
            report
        };
        self.socket.send(&report).await;
    }

    fn end(&self, code: Option<u16>) {
        self.seen.send_modify(|seen| seen.ended = Some(code));
    }
}
