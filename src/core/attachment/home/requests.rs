//! Over plain HTTP an agent that gets no answer says the same once more, most likely over another front. What the first
//! of the two fronts holds, or brings late, is no loss then: the home has it from the other.
//!
//! ```text
//!  a front says that the message of a request is lost, or was late
//!     │ another request has said the same, or it was taken and another has gone on from it ──► nothing is lost
//!     └──► in doubt ── the next message that is taken says the same, or goes on from it ──► nothing is lost
//!              └────── it does not ──► lost
//! ```
//!
//! A message that came late, and was taken because its number was the next one, may be an earlier process's. If it is,
//! the present process has a message of that number, too. Either that comes and says the same, which does no harm, or
//! something else. Or the agent goes on from it, though the home has not heard it: then a front holds it, and will say so.
//!
//! What is said once, and what has given parts up, is like nothing else.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use super::ConnectionAt;
use crate::core::attachment::held::IN_HEAD;
use crate::core::node_link::AgentReport;
use crate::ident::SequenceNum;
use crate::opamp::field_set::FieldSet;

/// At most this many requests of an agent are remembered: more than it gives up while one of them is on its way.
const REQUESTS_MAX: usize = 6;

/// A request that was seen here, and what its message says.
#[derive(Debug, Clone, Copy)]
struct SeenRequest {
    at: ConnectionAt,
    number: SequenceNum,
    /// `None`: it cannot be compared.
    content: Option<u64>,
    is_taken: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Requests {
    seen: VecDeque<SeenRequest>,
    /// One whose message is lost, or may be old, unless what comes next shows otherwise. Its loss counts until then.
    doubt: Option<(SeenRequest, Instant)>,
}

impl SeenRequest {
    fn new(at: ConnectionAt, report: &AgentReport<'_>) -> Self {
        let number = report.sequence_num;
        Self { at, number, content: content_of(report), is_taken: false }
    }

    /// Whether nothing is lost with this one, since the other was taken, too.
    fn is_made_good_by(&self, other: &Self) -> bool {
        let says_the_same = self.number == other.number && self.content == other.content;
        self.content.is_some() && says_the_same
            || self.is_taken && other.number == self.number.next()
    }
}

impl Requests {
    /// A request attaches with this message.
    pub(super) fn attaches(&mut self, at: ConnectionAt, report: &AgentReport<'_>) {
        if self.seen.iter().all(|seen| seen.at != at) {
            if self.seen.len() == REQUESTS_MAX {
                self.seen.pop_front();
            }
            self.seen.push_back(SeenRequest::new(at, report));
        }
    }

    /// A message is taken, of a request or not. Until when a loss counts that this shows.
    pub(super) fn takes(&mut self, at: ConnectionAt, report: &AgentReport<'_>) -> Option<Instant> {
        let request = self.seen.iter_mut().find(|seen| seen.at == at);
        let request = request.map(|seen| {
            seen.is_taken = true;
            *seen
        });
        let (doubt, until) = self.doubt.take()?;
        // On a WebSocket fronts answer heartbeats: numbers that go on show less.
        let doubt = SeenRequest { is_taken: doubt.is_taken && request.is_some(), ..doubt };
        let said = request.unwrap_or_else(|| SeenRequest::new(at, report));
        (!doubt.is_made_good_by(&said)).then_some(until)
    }

    /// A front says that the message of this request is lost, or was late. Whether that is a loss for sure.
    pub(super) fn is_lost(&mut self, at: ConnectionAt, until: Instant) -> bool {
        let Some(lost) = self.seen.iter().find(|seen| seen.at == at).copied() else { return true };
        let mut others = self.seen.iter().filter(|seen| seen.is_taken && seen.at != at);
        if others.any(|other| lost.is_made_good_by(other)) {
            return false;
        }
        let cannot_come = lost.content.is_none() && !lost.is_taken;
        let is_other = |(doubt, _): &(SeenRequest, Instant)| {
            (doubt.number, doubt.content) != (lost.number, lost.content)
        };
        if cannot_come || self.doubt.as_ref().is_some_and(is_other) {
            return true;
        }
        let is_taken = lost.is_taken && self.doubt.is_none_or(|(doubt, _)| doubt.is_taken);
        self.doubt = Some((SeenRequest { is_taken, ..lost }, until));
        false
    }

    /// Whether something may be lost.
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }
}

/// What a message says, as far as it can be compared.
fn content_of(report: &AgentReport<'_>) -> Option<u64> {
    let compared = report.digests.map_or(FieldSet::EMPTY, |digests| digests.parts());
    if !report.present.minus(IN_HEAD).minus(compared).is_empty() || !report.gone.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (report.capabilities, report.flags, report.has_map).hash(&mut hasher);
    if let Some(digests) = report.digests {
        digests.secret().hash(&mut hasher);
        for (part, digest) in digests.iter() {
            (part, digest.0).hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}
