//! A stock opamp-go client (`interop/agent`).

use std::time::Duration;

use prost::Message;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentToServer, ComponentHealth, CustomMessage, EffectiveConfig,
};
use serde_json::json;
use tokio::process::Command;

use super::super::PATIENCE;
use super::super::log::{Event, Log, Mark, hex};
use super::super::process::Process;
use super::{Peers, Version};

/// The custom capability that the peers have in common.
pub(crate) const CUSTOM_CAPABILITY: &str = "seawall.interop";

/// How an agent reaches its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Http,
    /// Plain HTTP with compressed bodies.
    HttpGzip,
}

/// What an agent is started with.
#[derive(Debug, Clone)]
pub(crate) struct AgentOptions {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) transport: Transport,
    /// Between heartbeats (WebSocket) or polls (HTTP).
    pub(crate) heartbeat: Duration,
    /// Whether health stands in the first report of each connection.
    pub(crate) repeat_health: bool,
    /// Whether it dials only when it is told to start.
    pub(crate) waits: bool,
}

impl AgentOptions {
    /// A WebSocket agent of this name with opamp-go's own heartbeat interval.
    pub(crate) fn new(name: &str, version: Version) -> Self {
        let heartbeat = Duration::from_secs(30);
        Self {
            name: name.to_owned(),
            version,
            transport: Transport::WebSocket,
            heartbeat,
            repeat_health: false,
            waits: false,
        }
    }

    /// Over another transport.
    pub(crate) fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// With another heartbeat or poll interval.
    pub(crate) fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// With its health in the first report of each connection.
    pub(crate) fn repeat_health(self) -> Self {
        Self { repeat_health: true, ..self }
    }

    /// Dialling only when it is told to start: starting the process takes an unknown time.
    pub(crate) fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Process,
    /// Its instance uid, new for each agent.
    pub(crate) uid: [u8; 16],
    pub(crate) options: AgentOptions,
}

impl Agent {
    /// Starts one that dials `host:port` in the URLs given.
    pub(crate) fn start(peers: &Peers, options: AgentOptions, url: &str) -> Self {
        let uid: [u8; 16] = rand::random();
        let mut command = Command::new(peers.agent(options.version));
        command.arg(format!("--url={url}")).arg(format!("--uid={}", hex(&uid)));
        command.arg(format!("--name={}", options.name));
        command.arg(format!("--heartbeat={}ms", options.heartbeat.as_millis()));
        if options.transport != Transport::WebSocket {
            command.arg("--transport=http");
        }
        if options.transport == Transport::HttpGzip {
            command.arg("--gzip");
        }
        if options.repeat_health {
            command.arg("--repeat-health");
        }
        if options.waits {
            command.arg("--wait");
        }
        let process = Process::start(&format!("agent {} {}", options.name, hex(&uid)), command);
        Self { process, uid, options }
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Log {
        self.process.log()
    }

    /// See [`super::super::log::Log::mark`].
    pub(crate) fn mark(&self) -> Mark {
        self.process.mark()
    }

    /// See [`Process::event`].
    pub(crate) async fn event(
        &self,
        since: Mark,
        name: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Event {
        self.process.event(since, name, wanted).await
    }

    /// The state that it has told so far: what every server should believe in the end.
    pub(crate) fn truth(&self) -> AgentToServer {
        let mut truth = AgentToServer::default();
        for event in self.log().events(Mark::default(), "sent") {
            take_over(&mut truth, event.agent_to_server());
        }
        truth
    }

    /// Changes its health.
    pub(crate) async fn set_health(&mut self, healthy: bool, status: &str) {
        let health =
            ComponentHealth { healthy, status: status.to_owned(), ..ComponentHealth::default() };
        self.tell("set_health", &health.encode_to_vec()).await;
    }

    /// Changes its effective configuration.
    pub(crate) async fn set_effective_config(&mut self, body: &str) {
        let config = EffectiveConfig { config_map: Some(config_map(body)) };
        self.tell("set_effective_config", &config.encode_to_vec()).await;
    }

    /// Sends a custom message.
    pub(crate) async fn send_custom(&mut self, kind: &str, data: &str) {
        self.tell("send_custom", &custom(kind, data).encode_to_vec()).await;
    }

    /// Has it carry out a command with a message in it.
    pub(crate) async fn tell(&mut self, command: &str, message: &[u8]) {
        self.process.command(json!({"cmd": command, "raw": hex(message)})).await;
    }

    /// Lets it dial, if it was to wait.
    pub(crate) async fn dial(&mut self) {
        self.process.command(json!({"cmd": "start"})).await;
    }

    /// Resets its socket, as a pulled cable would, and returns the number of the connection that
    /// ended so. Events of later connections carry higher numbers.
    pub(crate) async fn cut(&mut self) -> u64 {
        let done = self.process.command(json!({"cmd": "cut"})).await;
        done.number("conn").expect("the tap numbers connections")
    }

    /// Waits until it has as many replies on its latest connection as it has sent messages there
    /// (R5). Holds only for an agent that gets no pushes. Fails the test after [`PATIENCE`].
    pub(crate) async fn answered(&self) {
        let counts = |log: &Log| {
            let [sent, received] =
                ["sent", "received"].map(|name| log.events(Mark::default(), name));
            let latest = sent.last().and_then(|event| event.number("conn"));
            [sent, received]
                .map(|events| events.iter().filter(|event| event.number("conn") == latest).count())
        };
        let even = |log: &Log| {
            let [sent, received] = counts(log);
            received >= sent
        };
        let is_answered = self.log().until(PATIENCE, even).await;
        let [sent, received] = counts(self.log());
        assert!(is_answered, "{sent} messages, but {received} replies within {PATIENCE:?}");
    }

    /// Loses its next message, which must be a short one, on the way.
    pub(crate) async fn lose_next(&mut self) {
        self.process.command(json!({"cmd": "lose"})).await;
    }

    /// Stops or resumes reading from its socket.
    pub(crate) async fn stall(&mut self, on: bool) {
        let command = if on { "stall" } else { "resume" };
        self.process.command(json!({"cmd": command})).await;
    }

    /// Ends it cleanly: over a WebSocket the server is told.
    pub(crate) async fn stop(&mut self) {
        self.process.command(json!({"cmd": "stop"})).await;
    }
}

/// What follows from status compression: fields that are set replace what was told before. A hash
/// of components alone leaves the components known that it stands for.
fn take_over(truth: &mut AgentToServer, message: AgentToServer) {
    fn replace<T>(old: &mut Option<T>, new: Option<T>) {
        if new.is_some() {
            *old = new;
        }
    }
    truth.capabilities = message.capabilities;
    replace(&mut truth.agent_description, message.agent_description);
    replace(&mut truth.health, message.health);
    replace(&mut truth.effective_config, message.effective_config);
    replace(&mut truth.remote_config_status, message.remote_config_status);
    replace(&mut truth.package_statuses, message.package_statuses);
    replace(&mut truth.custom_capabilities, message.custom_capabilities);
    replace(&mut truth.connection_settings_status, message.connection_settings_status);
    let told = truth.available_components.as_ref();
    let repeated = message.available_components.as_ref().is_some_and(|new| {
        new.components.is_empty() && told.is_some_and(|told| told.hash == new.hash)
    });
    if !repeated {
        replace(&mut truth.available_components, message.available_components);
    }
}

/// The state in a message; its number and its uid are left out.
pub(crate) fn state_of(message: AgentToServer) -> AgentToServer {
    let mut state = AgentToServer::default();
    take_over(&mut state, message);
    state
}

/// A configuration of one unnamed file.
pub(crate) fn config_map(body: &str) -> AgentConfigMap {
    let file = AgentConfigFile { body: body.into(), content_type: "text/yaml".to_owned() };
    AgentConfigMap { config_map: [(String::new(), file)].into() }
}

/// A custom message of the peers' capability.
pub(crate) fn custom(kind: &str, data: &str) -> CustomMessage {
    CustomMessage {
        capability: CUSTOM_CAPABILITY.to_owned(),
        r#type: kind.to_owned(),
        data: data.into(),
    }
}
