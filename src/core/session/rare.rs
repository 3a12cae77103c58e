//! What few sessions have at any one time, in a box of its own: the sessions of a million idle
//! agents must stay small.

use std::time::Instant;

use super::full_state::Doubt;
use super::{Echo, FullState, Pending, Session};
use crate::opamp::offers::Offers;

/// See the module's text. `default()` says that there is nothing special about the session.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// When content was last written to the agent without proof since that it arrived.
    pub(super) in_doubt: Option<Instant>,
    /// Times in a row that a replaced connection proved to be alive: a cloned uid (R10).
    pub(super) live_replacements: u8,
    /// When that last happened.
    pub(super) replaced_alive_at: Option<Instant>,
    /// What waits for an agent that is away or polls (R7).
    pub(super) offers: Option<Box<Offers>>,
    /// A server wants the component map and only the agent has it: whether it is to be asked, as for its
    /// full state.
    pub(super) map: FullState,
    /// Whether the agent's answer to the question for its full state was one.
    pub(super) answer: Doubt,
    /// Answers to an earlier session's messages may pass for those to this one's.
    pub(super) echo: Option<Echo>,
    /// One-shot messages that wait for the server; see [`Pending`].
    pub(super) pending: Pending,
}

impl Session {
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Gives the box back once nothing in it matters any more.
    pub fn tidy(&mut self, now: Instant) {
        self.rare.take_if(|rare| {
            let watched = rare.replaced_alive_at.is_some_and(|at| {
                now.saturating_duration_since(at) < super::presence::LIVE_REPLACEMENT_MEMORY
            });
            let idle = rare.in_doubt.is_none() && rare.offers.is_none() && rare.pending.is_empty();
            let quiet = rare.map == FullState::Reported && rare.echo.is_none();
            idle && quiet && rare.answer == Doubt::None && !watched
        });
    }
}
