//! A whole set-up: a server, agents, and (but for the self-check) Seawall between them.

use std::collections::BTreeSet;

use super::super::PATIENCE;
use super::super::gateway::{Gateway, GatewayBuilder, Mode};
use super::super::log::{Mark, hex};
use super::agent::{Agent, AgentOptions, Transport, state_of};
use super::server::{PushUid, Server};
use super::{Peers, Version};

/// What stands between agents and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// Agents dial the server itself. What fails here is a fault of the peers or of the test.
    Direct,
    /// Seawall with shared links, fewer than there are agents.
    Multiplexed,
    /// Two Seawalls in a row, both with shared links: the second one's agents come over the links of the first.
    InARow,
    /// Seawall with a link for each agent.
    PerAgent,
    /// Seawall with POSTs to the server, whatever agents speak.
    Http,
}

/// Links in [`Topology::Multiplexed`] and [`Topology::Http`]: few, so that agents share them.
pub(crate) const LINKS: u16 = 2;

impl Topology {
    /// A gateway in front of this server; `None` in the direct topology.
    pub(crate) fn gateway(self, server: &Server) -> Option<GatewayBuilder> {
        let (scheme, mode) = match self {
            Self::Direct => return None,
            Self::Multiplexed | Self::InARow => ("ws", Mode::Multiplexed(LINKS)),
            Self::PerAgent => ("ws", Mode::PerAgent),
            Self::Http => ("http", Mode::Http(LINKS)),
        };
        let gateway = Gateway::builder().server(&server.url(scheme), mode);
        // What a server pushes goes with the answer to a poll.
        let polls = self == Self::Http;
        Some(if polls { gateway.server_key("poll_interval", "\"500ms\"") } else { gateway })
    }
}

/// How a scenario is to run.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) peers: Peers,
    pub(crate) topology: Topology,
    pub(crate) version: Version,
}

impl Setup {
    /// Starts a server with uids in its pushes, and the gateway with its defaults.
    pub(crate) async fn world(&self) -> World {
        self.world_with(PushUid::Present, |gateway| gateway).await
    }

    /// The same with another server and configuration.
    pub(crate) async fn world_with(
        &self,
        push_uid: PushUid,
        configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> World {
        let server = Server::start(&self.peers, push_uid).await;
        let mut second = None;
        let gateway = match self.topology.gateway(&server) {
            None => None,
            Some(builder) if self.topology == Topology::InARow => {
                let inner = builder.start().await;
                let first = Gateway::builder().server(&inner.ws_url(), Mode::Multiplexed(LINKS));
                second = Some(inner);
                Some(configure(first).start().await)
            }
            Some(builder) => Some(configure(builder).start().await),
        };
        World { setup: self.clone(), server, gateway, _second: second }
    }
}

/// A running set-up. Agents are separate, so that a scenario can use several at once.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) server: Server,
    /// What agents dial.
    gateway: Option<Gateway>,
    /// What that one dials, in [`Topology::InARow`].
    _second: Option<Gateway>,
}

impl World {
    /// Of parts that were started elsewhere.
    pub(crate) fn of(setup: Setup, server: Server, gateway: Gateway) -> Self {
        Self { setup, server, gateway: Some(gateway), _second: None }
    }

    /// Options of a WebSocket agent of the scenario's version.
    pub(crate) fn options(&self, name: &str) -> AgentOptions {
        AgentOptions::new(name, self.setup.version)
    }

    /// The gateway of a scenario that always has one.
    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("this scenario has a gateway")
    }

    /// The same, to be handled.
    pub(crate) fn gateway_mut(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("this scenario has a gateway")
    }

    /// Whether agents dial the server itself.
    pub(crate) fn is_direct(&self) -> bool {
        self.setup.topology == Topology::Direct
    }

    /// Starts an agent and waits until the server knows its whole state.
    pub(crate) async fn agent(&mut self, options: AgentOptions) -> Agent {
        let agent = self.launch(options);
        self.converged(&agent).await;
        agent
    }

    /// Starts an agent.
    pub(crate) fn launch(&self, options: AgentOptions) -> Agent {
        let url = match (&self.gateway, options.transport) {
            (Some(gateway), Transport::WebSocket) => gateway.ws_url(),
            (Some(gateway), _) => gateway.http_url(),
            (None, Transport::WebSocket) => self.server.url("ws"),
            (None, _) => self.server.url("http"),
        };
        Agent::start(&self.setup.peers, options, &url)
    }

    /// Waits until the server believes of an agent what is true.
    pub(crate) async fn converged(&mut self, agent: &Agent) {
        self.converged_as(agent, &agent.uid).await;
    }

    /// The same for an agent that was given another uid.
    pub(crate) async fn converged_as(&mut self, agent: &Agent, uid: &[u8; 16]) {
        let mut said_by_agent = agent.log().watch();
        let mut said_by_server = self.server.process().log().watch();
        let mut last = None;
        let converging = async {
            loop {
                said_by_agent.borrow_and_update();
                let got = self.server.messages(Mark::default(), uid).len();
                let told = self.server.state(uid).await.map(state_of);
                let truth = agent.truth();
                // True only once it has told all that the server asks for.
                let complete = truth.health.is_some()
                    && truth
                        .available_components
                        .as_ref()
                        .is_some_and(|c| !c.components.is_empty());
                if complete && told.as_ref() == Some(&truth) {
                    return;
                }
                last = Some((told, truth));
                // The answer to `state` is a line of the server's as well: only messages count.
                let message = async {
                    while self.server.messages(Mark::default(), uid).len() == got {
                        said_by_server.changed().await.expect("the log is alive");
                    }
                };
                tokio::select! {
                    () = message => {}
                    changed = said_by_agent.changed() => changed.expect("the log is alive"),
                }
            }
        };
        let converged = tokio::time::timeout(PATIENCE, converging).await;
        if converged.is_err() {
            panic!("the server does not learn the truth about {}: {last:#?}", hex(uid));
        }
    }

    /// Asserts that the server has forgotten an agent that has stopped cleanly and whose goodbye has arrived.
    ///
    /// opamp-go notices late that it is being stopped: where its peer closes first, it may dial once more
    /// and report its full state after its goodbye. The server knows it again then, and rightly so; the
    /// client's own log tells whether it did.
    pub(crate) async fn forgot(&mut self, agent: &Agent) {
        let sent = agent.log().events(Mark::default(), "sent");
        let goodbye = sent.iter().find(|event| event.has_field("agent_disconnect"));
        let goodbye = goodbye.expect("it said goodbye").number("conn");
        let has_dialled_again = sent.last().is_some_and(|last| last.number("conn") > goodbye);
        if !has_dialled_again {
            assert_eq!(self.server.state(&agent.uid).await, None, "the server remembers it");
        }
    }

    /// Waits until the server has forgotten an agent that has ended. Fails the test after [`PATIENCE`].
    pub(crate) async fn forgotten(&mut self, agent: &Agent) {
        let forgetting = async {
            loop {
                let got = self.server.messages(Mark::default(), &agent.uid).len();
                if self.server.state(&agent.uid).await.is_none() {
                    return;
                }
                let log = self.server.process().log();
                let more = || self.server.messages(Mark::default(), &agent.uid).len() > got;
                log.until(PATIENCE, |_| more()).await;
            }
        };
        let forgotten = tokio::time::timeout(PATIENCE, forgetting).await;
        assert!(forgotten.is_ok(), "the server remembers {}", hex(&agent.uid));
    }

    /// What must hold at the end of every scenario whose server lived all through it.
    pub(crate) fn check(&self, agents: &[&Agent]) {
        for agent in agents {
            check_agent(agent);
        }
        if self.is_direct() {
            return;
        }
        let log = self.server.process().log();
        let everything = Mark::default();
        for event in log.events(everything, "received") {
            assert_eq!(event.number("gap_after"), None, "R3: a gap in what the server got");
        }
        assert!(log.events(everything, "moved").is_empty(), "an agent was moved to another link");
        let dials = log.events(everything, "dial").len();
        match self.setup.topology {
            Topology::Multiplexed | Topology::InARow => {
                assert!(dials <= usize::from(LINKS), "{dials} dials")
            }
            Topology::PerAgent => self.check_own_links(agents),
            Topology::Http => assert_eq!(dials, 0, "no WebSocket is asked for"),
            Topology::Direct => {}
        }
    }

    /// In per-agent mode each connection carries one agent.
    fn check_own_links(&self, agents: &[&Agent]) {
        let mut taken = BTreeSet::new();
        for agent in agents {
            let messages = self.server.messages(Mark::default(), &agent.uid);
            let own: BTreeSet<_> =
                messages.iter().filter_map(|event| event.number("conn")).collect();
            assert!(taken.is_disjoint(&own), "two agents on one connection");
            taken.extend(own);
        }
    }
}

/// What reached an agent was meant for it and well formed.
fn check_agent(agent: &Agent) {
    let complaints = agent.log().events(Mark::default(), "complaint");
    assert!(complaints.is_empty(), "{complaints:?}");
    let framed = agent.options.transport == Transport::WebSocket;
    let mut own = BTreeSet::from([hex(&agent.uid), String::new()]);
    for event in agent.log().events(Mark::default(), "identification") {
        own.insert(event.text("uid").to_owned());
    }
    for event in agent.log().events(Mark::default(), "received") {
        assert!(own.contains(event.text("uid")), "a message for {} came here", event.text("uid"));
        assert_eq!(event.flag("header"), framed, "the message header belongs on WebSockets alone");
    }
}
