//! What few sessions have at any one time, in a box of its own: the sessions of a million idle agents
//! must stay small. The parts in it own their state; the box comes and goes as a whole.

use std::time::Instant;

use super::Session;
use super::clones::Speakers;
use super::former_home::FormerHome;
use super::former_links::OfferSource;
use super::late_replies::LateReply;
use super::mailbox::Mailbox;
use super::offer_size::OfferLimit;
use super::one_shots::OneShots;
use super::presence::LiveReplacements;
use super::questions::{AnswerDoubt, MapQuestion};
use super::server_asks::may_pass_on;
use super::uid_requests::UidRequests;

/// See the module's text. `default()` is the box of an ordinary session.
#[derive(Debug, Default)]
pub(super) struct Cold {
    pub(super) mailbox: Mailbox,
    /// How large an offer the agent is known to refuse.
    pub(super) offer_limit: Option<OfferLimit>,
    pub(super) one_shots: OneShots,
    pub(super) map: MapQuestion,
    pub(super) doubt: AnswerDoubt,
    /// Answers to an earlier session's messages may pass for answers to this one's.
    pub(super) late_reply: Option<LateReply>,
    pub(super) live: LiveReplacements,
    /// What is still under way at the home that the session came from.
    pub(super) former_home: Option<FormerHome>,
    /// Whose link has brought the latest offer, as long as several may.
    pub(super) offer_of: Option<OfferSource>,
    /// A home has died: its successor says nothing to the server until then, unless the agent has said all before.
    pub(super) awaits_all: Option<Instant>,
    /// Agents that have asked for a uid of their own.
    pub(super) uid_requests: UidRequests,
    /// When a server's question was last passed on to the agent.
    pub(super) question_passed_on: Option<Instant>,
    /// Who speaks under the session's uid.
    pub(super) speakers: Speakers,
}

impl Cold {
    /// Whether the box is empty.
    pub(super) fn is_default(&self) -> bool {
        let quiet = self.map.is_closed() && self.doubt.is_settled() && self.late_reply.is_none();
        let live = self.live == LiveReplacements::default();
        let moved =
            self.former_home.is_some() || self.awaits_all.is_some() || self.offer_of.is_some();
        let asked =
            self.question_passed_on.is_some() || self.uid_requests != UidRequests::default();
        let live = live && self.speakers == Speakers::default();
        let limited = self.offer_limit.is_some();
        let empty = self.mailbox.is_idle() && self.one_shots.is_empty() && !limited;
        empty && quiet && live && !moved && !asked
    }

    fn is_idle(&self, now: Instant) -> bool {
        let quiet = self.map.is_closed() && self.doubt.is_settled() && self.late_reply.is_none();
        let moved = self.offer_of.is_some()
            || self.awaits_all.is_some()
            || self.former_home.is_some_and(|former| !former.is_past(now));
        let live = !self.live.is_idle(now) || !self.speakers.is_idle(now);
        let passed_on = self.question_passed_on.is_some_and(|at| !may_pass_on(at, now));
        let asked = passed_on || !self.uid_requests.is_idle(now);
        let limited = self.offer_limit.is_some_and(|limit| !limit.is_past(now));
        let empty = self.mailbox.is_idle() && self.one_shots.is_empty() && !limited;
        empty && quiet && !live && !moved && !asked
    }
}

impl Session {
    pub(super) fn cold_mut(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// Gives the box back once all in it is past.
    pub(super) fn drop_idle_cold(&mut self, now: Instant) {
        if let Some(cold) = self.cold.as_mut().filter(|_| self.outstanding.former().is_empty()) {
            cold.offer_of = None;
        }
        self.cold.take_if(|cold| cold.is_idle(now));
    }

    pub(super) fn has_offers(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.mailbox.has_offers())
    }

    pub(super) fn has_one_shots(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| !cold.one_shots.is_empty())
    }
}

/// Nothing more of the agent's is waited for before the server hears of it.
pub(super) fn all_said(session: &mut Session, now: Instant) {
    if session.cold.as_mut().is_some_and(|cold| cold.awaits_all.take().is_some()) {
        session.drop_idle_cold(now);
    }
}
