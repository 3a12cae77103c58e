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

use super::full_state::has_all_promised;
use super::{FullState, Session};
use crate::mutation::{Breach, is_on};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE, ServerScan};

impl Session {
    /// Takes note of what the server asks for; returns the flags that the agent need not see, because
    /// the question is answered from what is kept, or has been.
    pub(super) fn note_asks(&mut self, scan: &ServerScan<'_>) -> u64 {
        self.note_content(scan);
        let mut answered = 0;
        if scan.reports_full_state_wanted() {
            answered |= REPORT_FULL_STATE;
            self.full_state_asked();
        }
        if scan.available_components_wanted() && self.components_asked() {
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

    /// The agent may not have heard that it was asked for its components: it may be asked again.
    pub(super) fn question_may_be_lost(&mut self) {
        if let Some(picture) = &mut self.picture {
            picture.components_given &= picture.has_components;
        }
    }

    /// Returns whether the agent need not be asked.
    fn components_asked(&mut self) -> bool {
        let Some(picture) = &mut self.picture else { return false };
        if std::mem::replace(&mut picture.components_given, true) {
            return true;
        }
        if picture.has_components {
            picture.owe_components();
        } else {
            picture.forget_components();
        }
        picture.has_components
    }
}
