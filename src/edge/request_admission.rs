//! Admission of the agents on one connection of plain HTTP. A balancer carries thousands of them over a few, so it is each
//! agent that asks, by the uid in its message:
//!
//! ```text
//!              its agent has a session
//!  message ──────────────────────────────────────────────────────────► served
//!     │        else, the entry that this connection has had is unused     ▲
//!     ├───────────────────────────────────────────────────────────────────┤
//!     └────► asks as a new connection would ──► admitted ─────────────────┘
//!                      └──► told to come again; the connection stays
//! ```
//!
//! What a head says of its agent counts before the body is there, and for nothing more: whose head names one agent and
//! whose message another asks again. Agents that have sessions are bounded here by what connections there are, of which
//! each carries one request at a time, and by admission where they dial for each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::header::HeaderMap;

use super::Edge;
use super::admission::{
    self, ClientPatience, ClientTransport, CountedArrival, Entered, LetIn, SharingApplicant,
};
use super::refusal::HttpRefusal;
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;

/// See the module's text.
pub(super) struct RequestAdmission {
    /// The first request is an agent's, and has passed admission.
    pub(super) is_agents: bool,
    /// By what the first request was let in.
    by: LetIn,
    /// That was for an agent without a session, and is unused.
    unused: AtomicBool,
    /// How long the first request was parked.
    parked: Duration,
}

/// How long a request whose agent is let in may wait for its answer.
pub(super) type AnswerMax = Duration;

impl RequestAdmission {
    /// For a connection whose first request has passed admission.
    pub(super) fn of_agents(by: LetIn, parked: Duration) -> Self {
        Self { is_agents: true, by, unused: AtomicBool::new(by != LetIn::Session), parked }
    }

    /// For a connection whose first request is no agent's.
    pub(super) fn of_others() -> Self {
        Self { is_agents: false, ..Self::of_agents(LetIn::Session, Duration::ZERO) }
    }

    /// Lets this message in, or says how its agent is told to come again.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn pass(
        &self,
        edge: &Edge,
        (headers, peer): (&HeaderMap, SocketAddr),
        message: &[u8],
    ) -> Result<AnswerMax, HttpRefusal> {
        let unused = self.unused.swap(false, Ordering::Relaxed);
        let named = AgentScan::parse(message).ok();
        let named = named.and_then(|scan| InstanceUid::from_wire(scan.uid).ok());
        let known = named.is_some_and(|uid| edge.sessions.has(uid));
        let patience = || {
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            edge.admission.source_of(pairs, (peer, ClientTransport::Http))
        };
        // A message without a uid is rejected, and its sender's next one goes by the same entry.
        let Some(named) = named else {
            self.unused.store(unused, Ordering::Relaxed);
            return Ok(edge.params.http_reply_wait);
        };
        if known && unused && self.by == LetIn::Entry {
            // What the head left open: its agent was in already.
            edge.admission.give_back();
        }
        if known || unused {
            let parked = if unused { self.parked } else { Duration::ZERO };
            return Ok(answer_max(edge, parked, || patience().patience));
        }
        // While the node drains, connections end at their pace, and their requests are served until then.
        if edge.drains() {
            return Ok(edge.params.http_reply_wait);
        }
        let mut source = patience();
        edge.recognise(&mut source, Some(named), true);
        // Others use the connection: they do not wait for a refusal that is held.
        source.patience = source.patience.unheld();
        let mut applicant = SharingApplicant::default();
        let mut counted = CountedArrival::new();
        // Boxed: few wait here.
        let entering = admission::enter(&edge.admission, source, &mut applicant, &mut counted);
        match Box::pin(entering).await {
            Entered::Admitted(_) => Ok(answer_max(edge, counted.waited(), || source.patience)),
            Entered::Refused | Entered::Left => {
                let retry_after = applicant.refused.unwrap_or_default();
                Err(HttpRefusal::come_again(source.patience.refusal, Some(named), retry_after))
            }
        }
    }
}

/// One deadline for what an agent was parked and what its answer takes.
fn answer_max(
    edge: &Edge,
    parked: Duration,
    patience: impl FnOnce() -> ClientPatience,
) -> AnswerMax {
    let most = edge.params.http_reply_wait;
    if parked.is_zero() { most } else { most.min(patience().answer_max(parked)) }
}
