//! What a server asks for, and that it is answered once (R4).
//!
//! ```text
//!              asks                   the whole state went
//!   content ─────────► full_owed ────────────────────────► full_given: asks are passed over
//!      ▲                                                       │
//!      └── a new state, a new incarnation, or all is answered ─┘
//!          and the last answer did not ask
//! ```
//!
//! Some servers ask on every reply: they get each state once. One that was content and asks again has
//! lost the agent's state in the meantime, and gets it again.
//!
//! The component map, of which agents report the hash alone until they are asked, is passed on as a
//! question if it is not kept. Such a question outlives the agent's connection: an agent that does not
//! get it, or does not answer, is asked again by the gateway.

use std::time::Instant;

use super::full_state::has_all_promised;
use super::{FullState, Session};
use crate::mutation::{Breach, is_on};
use crate::opamp::field_set::agent_field;
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE, ServerScan};

impl Session {
    /// Takes note of what the server asks for; returns the flags that the agent need not see, because
    /// the question is answered from what is kept, or has been.
    pub(super) fn note_asks(&mut self, scan: &ServerScan<'_>, now: Instant) -> u64 {
        self.note_content(scan);
        let mut answered = 0;
        if scan.reports_full_state_wanted() {
            answered |= REPORT_FULL_STATE;
            self.full_state_asked();
        }
        if scan.available_components_wanted() && self.components_asked(now) {
            answered |= REPORT_AVAILABLE_COMPONENTS;
        }
        answered
    }

    /// The server has seen everything sent, and does not ask.
    fn note_content(&mut self, scan: &ServerScan<'_>) {
        if self.unanswered > 0 {
            return;
        }
        if let Some(picture) = &mut self.picture {
            picture.full_given &= scan.reports_full_state_wanted();
            picture.components_given &= scan.available_components_wanted();
        }
    }

    fn full_state_asked(&mut self) {
        let may_have_more = !self.said_all
            && !self
                .picture
                .as_ref()
                .is_some_and(|picture| has_all_promised(self.capabilities, picture.reported()));
        if let Some(picture) = &mut self.picture
            && (!picture.full_given || is_on(Breach::R4MeetsEveryWish))
        {
            picture.owe_all();
        }
        if may_have_more && self.full_state == FullState::Reported {
            self.want_full_state();
        }
    }

    /// The agent may not have heard that it was asked for its component map: it is asked again, unless
    /// the question still waits for it.
    pub(super) fn question_may_be_lost(&mut self) {
        if let Some(picture) = &mut self.picture {
            picture.components_given &= picture.has_components;
        }
        if !self.asks_for_map_wait()
            && let Some(rare) = &mut self.rare
        {
            rare.map = rare.map.after_arrival();
        }
    }

    /// Whether a server's question for the component map is still without an answer.
    pub(super) fn map_question(&self) -> FullState {
        self.rare.as_ref().map_or(FullState::Reported, |rare| rare.map)
    }

    /// The agent has spoken.
    pub(super) fn map_may_be_late(&mut self, now: Instant) {
        let unacknowledged = self.has_offers();
        if let Some(rare) = &mut self.rare {
            rare.map = rare.map.after_report(unacknowledged, now);
        }
    }

    /// The map is there, or the server that wanted it is not.
    pub(super) fn close_map_question(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.map = FullState::Reported;
        }
    }

    /// Whether the gateway has something to ask the agent itself.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.full_state == FullState::Wanted || self.map_question() == FullState::Wanted
    }

    /// Notes that the agent is asked all that there is to ask it. Returns the flags.
    pub(super) fn ask(&mut self, now: Instant) -> u64 {
        let mut flags = 0;
        if self.full_state == FullState::Wanted {
            self.full_state = FullState::Asked(now);
            flags |= REPORT_FULL_STATE;
        }
        if let Some(rare) = &mut self.rare
            && rare.map == FullState::Wanted
        {
            rare.map = FullState::Asked(now);
            flags |= REPORT_AVAILABLE_COMPONENTS;
        }
        flags
    }

    /// Returns whether the agent need not be asked.
    fn components_asked(&mut self, now: Instant) -> bool {
        let Some(picture) = &mut self.picture else { return false };
        if std::mem::replace(&mut picture.components_given, true) {
            return true;
        }
        if picture.has_components {
            picture.owe_components();
            return true;
        }
        picture.forget_components();
        // One that has reported no hash may have no components, and never answer.
        if picture.reported().contains(agent_field::AVAILABLE_COMPONENTS) {
            self.rare_mut().map = FullState::Asked(now);
        }
        false
    }
}
