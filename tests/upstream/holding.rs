//! A node that has to hold still: servers hear nothing, agents notice nothing, and what they say waits.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall::core::ownership::HoldReason;
use seawall::ident::ConnectionId;
use seawall::opamp::digest::DigestKey;
use seawall::opamp::proto::AgentToServer;
use seawall::sessions::params::SessionsParams;
use seawall::sessions::{Attachment, Sessions};
use seawall::upstream::params::{Mode, ServerParams, UpstreamParams};
use seawall::upstream::{SpeakGate, Upstream};
use tokio::task::JoinSet;

use crate::support::message::{full_report, health, heartbeat, uid, with_header};
use crate::support::mock::Mock;
use crate::support::mock::state::State;

const AGENTS: u16 = 3;

/// A gateway's inner part, with agents that have no sockets.
struct Node {
    upstream: Arc<Upstream>,
    sessions: Arc<Sessions>,
    attachments: Vec<Option<Attachment>>,
    numbers: u64,
    _tasks: JoinSet<()>,
}

struct Gate(AtomicBool);

impl SpeakGate for Gate {
    fn may_write(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Node {
    fn start(server: &Mock, mode: Mode, gate: Option<Arc<Gate>>) -> Self {
        let server = ServerParams {
            name: "a".to_owned(),
            mode,
            ..ServerParams::at(server.url().parse().unwrap())
        };
        let params = UpstreamParams {
            servers: vec![server],
            backoff_initial: Duration::from_millis(20),
            ..UpstreamParams::default()
        };
        let upstream = Upstream::new(params).unwrap_or_else(|(_, fault)| panic!("{fault}"));
        if let Some(gate) = gate {
            upstream.join_fleet(gate, Duration::from_secs(10));
        }
        let key = DigestKey::derive(&[1; 32]);
        let sessions =
            Arc::new(Sessions::new(SessionsParams::default(), key, Arc::clone(&upstream) as _));
        let _tasks = upstream.start(&sessions);
        let attachments = (0..AGENTS).map(|_| None).collect();
        Self { upstream, sessions, attachments, numbers: 0, _tasks }
    }

    /// Every agent sends a message, and is answered.
    fn all_say(&mut self, message: impl Fn(&[u8], u64) -> AgentToServer) {
        for n in 0..AGENTS {
            let message = with_header(&message(&uid(n), self.numbers));
            let attachment = &mut self.attachments[usize::from(n)];
            let connection = ConnectionId(u64::from(n));
            let mut out = Vec::new();
            self.sessions.receive(attachment, connection, &message, &mut out).unwrap();
        }
        self.numbers += 1;
    }
}

fn knows_health(state: &State, text: &str) -> bool {
    (0..AGENTS).all(|n| {
        let known = state.agents.get(&uid(n)).and_then(|known| known.view.health.as_ref());
        known.is_some_and(|known| known.status == text)
    })
}

/// Time enough for a message that should stay here to arrive.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn holds_still(server: Mock, mode: Mode) {
    let mut node = Node::start(&server, mode, None);
    node.all_say(full_report);
    server.wait("the agents", |state| knows_health(state, "started")).await;

    node.upstream.hold_still(Some(HoldReason::Unconfirmed));
    node.upstream.drop_waiting();
    server.wait("the end of all links", |state| state.open == 0).await;
    let (heard, dials) = server.with(|state| (state.received.len(), state.dials.len()));
    node.all_say(|uid, number| AgentToServer {
        health: Some(health("while still")),
        ..heartbeat(uid, number)
    });
    a_moment().await;
    let after = server.with(|state| (state.received.len(), state.dials.len()));
    assert_eq!(after, (heard, dials), "it hears nothing, and is not dialled");

    node.upstream.hold_still(None);
    server.wait("what waited", |state| knows_health(state, "while still")).await;
}

fn some(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn http() -> Mode {
    Mode::Http { connections: some(2), poll_interval: Duration::from_secs(30) }
}

#[tokio::test]
async fn shared_links_end_while_the_node_holds_still() {
    holds_still(Mock::start().await, Mode::Multiplexed { links: some(2) }).await;
}

#[tokio::test]
async fn agents_own_links_end_while_the_node_holds_still() {
    holds_still(Mock::start().await, Mode::PerAgent).await;
}

#[tokio::test]
async fn nothing_is_posted_while_the_node_holds_still() {
    holds_still(Mock::start_http().await, http()).await;
}

/// What a machine that was stopped finds in its queues stays there: the gate is asked before each write.
async fn asks_the_gate(server: Mock, mode: Mode) {
    let gate = Arc::new(Gate(AtomicBool::new(true)));
    let mut node = Node::start(&server, mode, Some(Arc::clone(&gate)));
    node.all_say(full_report);
    server.wait("the agents", |state| knows_health(state, "started")).await;
    let heard = server.with(|state| state.received.len());
    gate.0.store(false, Ordering::Relaxed);
    node.all_say(|uid, number| AgentToServer {
        health: Some(health("too late")),
        ..heartbeat(uid, number)
    });
    server.wait("the end of all links", |state| state.open == 0).await;
    a_moment().await;
    assert_eq!(server.with(|state| (state.received.len(), state.open)), (heard, 0));

    gate.0.store(true, Ordering::Relaxed);
    server.wait("what was dropped", |state| knows_health(state, "too late")).await;
}

#[tokio::test]
async fn a_websocket_asks_the_gate_before_it_writes() {
    asks_the_gate(Mock::start().await, Mode::Multiplexed { links: some(1) }).await;
}

#[tokio::test]
async fn a_post_asks_the_gate() {
    let mode = Mode::Http { connections: some(1), poll_interval: Duration::from_secs(30) };
    asks_the_gate(Mock::start_http().await, mode).await;
}
