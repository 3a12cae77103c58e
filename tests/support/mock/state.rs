//! What a mock server believes and counts, and how it answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use seawall::opamp::proto::server_error_response::Details;
use seawall::opamp::proto::{
    AgentToServer, RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent,
};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::HeaderMap;

use super::super::message::{REPORT_FULL_STATE, config};

/// `AcceptsStatus`, `OffersRemoteConfig`, `AcceptsEffectiveConfig`.
pub(crate) const SERVER_CAPABILITIES: u64 = 0x7;

/// What becomes of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) enum Accept {
    #[default]
    Serve,
    CutBeforeUpgrade,
    CutAfterUpgrade,
    /// The upgrade is answered with these bytes.
    Refuse(String),
}

/// How reports are answered.
#[derive(Debug, Clone, Default)]
pub(crate) enum Reply {
    /// As a correct server does: asks for full state if it misses something.
    #[default]
    Correct,
    /// Asks for full state every time.
    AlwaysAsk,
    /// Refuses every report, and asks for a pause of this length.
    Unavailable(Duration),
    /// Correct, but late.
    Late(Duration),
    /// Correct, but an agent's goodbye goes unanswered.
    NoneToLastWords,
}

/// What becomes of a POST.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Post {
    #[default]
    Take,
    /// It is read, and the connection cut.
    Cut,
    /// It is taken, and the connection cut instead of an answer.
    TakeAndCut,
    /// It is answered with this status and `Retry-After`.
    Status(u16, Option<String>),
    /// It is answered with 200 and a page, as a balancer in front of a server does.
    Page,
    /// It is answered with 200 and nothing.
    Nothing,
    /// It is taken, and never answered.
    Unanswered,
}

/// Messages for which the server ends the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// Those with more bytes than this.
    pub(crate) above_bytes: Option<usize>,
    /// Those with an effective configuration that has this body.
    pub(crate) config: Option<Vec<u8>>,
    /// All of this agent.
    pub(crate) agent: Option<Vec<u8>>,
    /// The code of the Close; without one the connection is cut.
    pub(crate) code: Option<u16>,
}

impl Ends {
    pub(super) fn concern(&self, report: &AgentToServer, bytes: usize) -> bool {
        let has_config = |body: &Vec<u8>| report.effective_config == Some(config(body));
        self.above_bytes.is_some_and(|most| bytes > most)
            || self.config.as_ref().is_some_and(has_config)
            || self.agent.as_ref() == Some(&report.instance_uid)
    }
}

/// How the server behaves.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) accept: Accept,
    pub(crate) reply: Reply,
    pub(crate) post: Post,
    pub(crate) ends: Ends,
    /// What becomes of one that says something of its agent's state, if it is taken otherwise.
    pub(crate) news: Post,
    /// Agents whose POSTs fare otherwise.
    pub(crate) post_of: HashMap<Vec<u8>, Post>,
    /// The answers to POSTs have this many headers more.
    pub(crate) headers_more: usize,
    /// Stops reading, or leaves POSTs unanswered.
    pub(crate) stalled: bool,
}

/// An agent as the server knows it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The connection it was heard on last.
    connection: u64,
    number: u64,
    /// Everything it reported, put together.
    pub(crate) view: AgentToServer,
    pub(crate) full_reports: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    /// When it was dialled.
    pub(crate) dials: Vec<Instant>,
    /// Headers of each upgrade or POST.
    pub(crate) heads: Vec<HeaderMap>,
    /// The numbers of the connections that are open, how many there are, and most at one time.
    open_ids: HashSet<u64>,
    pub(crate) open: usize,
    pub(crate) open_max: usize,
    /// What came, with its time.
    pub(crate) received: Vec<(Instant, AgentToServer)>,
    /// POSTs that were refused.
    pub(crate) refused: Vec<(Instant, AgentToServer)>,
    /// Agents whose POST is being served, and how often there was another already.
    pub(super) served: HashSet<Vec<u8>>,
    pub(crate) overlaps: usize,
    /// What rides on the next reply to an agent.
    pub(crate) offers: HashMap<Vec<u8>, ServerToAgent>,
    pub(crate) agents: HashMap<Vec<u8>, Known>,
    /// Connections that it ended for a message, with the time.
    pub(crate) ended: Vec<Instant>,
    /// Agents that said goodbye.
    pub(crate) left: Vec<Vec<u8>>,
    /// Codes of the gateway's Closes, and how many had come at each dial.
    pub(crate) closes: Vec<u16>,
    closes_at_dial: Vec<usize>,
    /// The connections on which a report came: others are probes.
    spoken: BTreeSet<u64>,
    writers: BTreeMap<u64, mpsc::Sender<Message>>,
}

impl Behaviour {
    /// What becomes of a POST.
    pub(super) fn post_for(&self, report: &AgentToServer) -> Post {
        let news = report.agent_description.is_some() || report.health.is_some();
        let post = self.post_of.get(&report.instance_uid).unwrap_or(&self.post);
        let post = if news && *post == Post::Take { &self.news } else { post };
        post.clone()
    }
}

impl State {
    pub(super) fn accepted(&mut self, now: Instant) -> u64 {
        self.dials.push(now);
        self.closes_at_dial.push(self.closes.len());
        let id = self.dials.len() as u64;
        self.open_ids.insert(id);
        self.open = self.open_ids.len();
        self.open_max = self.open_max.max(self.open);
        id
    }

    pub(super) fn opened(&mut self, connection: u64, writer: mpsc::Sender<Message>) {
        self.writers.insert(connection, writer);
    }

    pub(super) fn closed(&mut self, connection: u64) {
        self.open_ids.remove(&connection);
        self.open = self.open_ids.len();
        self.writers.remove(&connection);
    }

    /// What writes to the connection that an agent was heard on last.
    pub(crate) fn writer_of(&self, uid: &[u8]) -> Option<mpsc::Sender<Message>> {
        self.writers.get(&self.agents.get(uid)?.connection).cloned()
    }

    pub(super) fn any_writer(&self) -> Option<mpsc::Sender<Message>> {
        self.writers.values().next().cloned()
    }

    pub(super) fn writers(&self) -> Vec<mpsc::Sender<Message>> {
        self.writers.values().cloned().collect()
    }

    /// Upgraded connections that stand.
    pub(crate) fn links(&self) -> usize {
        self.writers.len()
    }

    /// Loses all it knew of agents.
    pub(crate) fn forget(&mut self) {
        self.agents.clear();
    }

    /// Whether an agent's state is known as it is.
    pub(crate) fn knows(&self, truth: &AgentToServer) -> bool {
        self.agents.get(&truth.instance_uid).is_some_and(|known| {
            known.view.agent_description == truth.agent_description
                && known.view.health == truth.health
                && known.view.effective_config == truth.effective_config
        })
    }

    /// For each dial of a connection on which a report came: how many Closes had come by then.
    pub(crate) fn closes_before_dials(&self) -> Vec<usize> {
        let dials = self.closes_at_dial.iter().zip(1..);
        dials.filter(|(_, id)| self.spoken.contains(id)).map(|(closes, _)| *closes).collect()
    }

    /// Whether a POST of this agent's is under way.
    pub(crate) fn is_served(&self, uid: &[u8]) -> bool {
        self.served.contains(uid)
    }

    /// How often an agent has sent everything.
    pub(crate) fn full_reports(&self, uid: &[u8]) -> usize {
        self.agents.get(uid).map_or(0, |known| known.full_reports)
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{} dials, {} open, {} messages, {} agents",
            self.dials.len(),
            self.open,
            self.received.len(),
            self.agents.len()
        )
    }

    /// Takes a message; returns when to answer, and what.
    pub(super) fn take(
        &mut self,
        connection: u64,
        report: AgentToServer,
    ) -> Option<(Duration, ServerToAgent)> {
        self.received.push((seawall::clock::now(), report.clone()));
        self.spoken.insert(connection);
        let mut reply = ServerToAgent {
            instance_uid: report.instance_uid.clone(),
            capabilities: SERVER_CAPABILITIES,
            ..self.offers.remove(&report.instance_uid).unwrap_or_default()
        };
        if let Reply::Unavailable(pause) = self.behaviour.reply {
            reply.error_response = Some(unavailable(pause));
            return Some((Duration::ZERO, reply));
        }
        if report.agent_disconnect.is_some() {
            self.agents.remove(&report.instance_uid);
            self.left.push(report.instance_uid);
            let answers = !matches!(self.behaviour.reply, Reply::NoneToLastWords);
            return answers.then_some((Duration::ZERO, reply));
        }
        let lacking = self.note(connection, report);
        let asks = lacking || matches!(self.behaviour.reply, Reply::AlwaysAsk);
        reply.flags = if asks { REPORT_FULL_STATE } else { 0 };
        let delay = match self.behaviour.reply {
            Reply::Late(delay) => delay,
            _ => Duration::ZERO,
        };
        Some((delay, reply))
    }

    /// Puts a report to what is known; `true` if something is missing.
    fn note(&mut self, connection: u64, report: AgentToServer) -> bool {
        let full = report.agent_description.is_some();
        let known = self.agents.entry(report.instance_uid.clone()).or_default();
        let gap = report.sequence_num != known.number + 1;
        known.connection = connection;
        known.number = report.sequence_num;
        known.full_reports += usize::from(full);
        let view = &mut known.view;
        view.agent_description = report.agent_description.or(view.agent_description.take());
        view.health = report.health.or(view.health.take());
        view.effective_config = report.effective_config.or(view.effective_config.take());
        !full && (gap || view.agent_description.is_none())
    }
}

fn unavailable(pause: Duration) -> ServerErrorResponse {
    let nanos = u64::try_from(pause.as_nanos()).expect("a short pause");
    ServerErrorResponse {
        r#type: ServerErrorResponseType::Unavailable.into(),
        error_message: "try again later".to_owned(),
        details: Some(Details::RetryInfo(RetryInfo { retry_after_nanoseconds: nanos })),
    }
}
