//! Whether the agent must be asked for its full state: whether the gateway lacks any of it.
//!
//! ```text
//!              a gap, an unknown agent's delta, bytes no longer kept
//!   Reported ───────────────────────────────────────────────────────────► Wanted
//!      ▲                                                                  │  ▲
//!      │ a full report                                    its turn, paced │  │ no answer in ASK_AGAIN,
//!      └──────────────────────────────────── Asked ◄──────────────────────┘  │ or another connection
//!                                              └─────────────────────────────┘
//! ```
//!
//! What the server lacks is another matter ([`super::picture`]): it gets it from what is kept.
//!
//! Wanting is not asking: the question goes out when the session's turn comes ([`super::Turn`]), so
//! that a server's restart is not answered with a storm of the gateway's making.

use std::time::{Duration, Instant};

use super::{Presence, Session};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};

/// An agent that was asked and sends something else for this long is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullState {
    /// The gateway has everything, as far as it can know.
    #[default]
    Reported,
    /// Something is missing.
    Wanted,
    /// The agent has been asked.
    Asked(Instant),
}

impl FullState {
    /// An agent that does not answer the question is asked again, but not at once. `unacknowledged`: the
    /// question still waits for the agent's poll.
    pub(super) fn after_report(self, unacknowledged: bool, now: Instant) -> Self {
        match self {
            Self::Asked(_) if unacknowledged => Self::Asked(now),
            Self::Asked(at) if now.saturating_duration_since(at) >= ASK_AGAIN => Self::Wanted,
            other => other,
        }
    }

    /// A new connection of the agent: the question may have died with the old one.
    pub(super) const fn after_arrival(self) -> Self {
        match self {
            Self::Asked(_) => Self::Wanted,
            other => other,
        }
    }

    /// Whether with this report the picture is whole.
    pub(super) fn made_whole_by(self, scan: &AgentScan<'_>) -> bool {
        self == Self::Reported || self.is_mended_by(scan)
    }

    /// Whether this report makes up for everything that was lost before it. An agent that was
    /// asked sends all it has, even where that is less than its capabilities promise: were it asked
    /// for more, one that miscounts its messages would be asked for ever.
    pub(super) fn is_mended_by(self, scan: &AgentScan<'_>) -> bool {
        is_complete(scan) || matches!(self, Self::Asked(_)) && scan.is_full()
    }
}

/// Whether a polling agent's answer to the question was one. A reply to a poll may be lost, and the question
/// with it, without anybody noticing. If the agent's next report has its description, because that has
/// changed, it passes for the answer, and what else was missing stays so for ever. So an answer that does
/// not carry all that the agent's capabilities promise is taken, and the agent asked once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Doubt {
    /// There is none.
    #[default]
    None,
    /// It is asked again then.
    Until(Instant),
    /// It is, and whatever it says then is believed.
    Settling,
}

impl Session {
    /// The reply to the agent's last poll may be lost, and the questions with it.
    pub(super) const fn questions_may_be_lost(&mut self) {
        self.full_state = self.full_state.after_arrival();
        if let Some(rare) = &mut self.rare {
            rare.map = rare.map.after_arrival();
        }
    }

    /// A report has come that passes for the answer to the question for the full state.
    pub(super) fn doubt_answer(&mut self, scan: &AgentScan<'_>, now: Instant) {
        let sure = is_complete(scan) || !matches!(self.presence(), Presence::Polling { .. });
        match &mut self.rare {
            Some(rare) if sure || rare.answer != Doubt::None => rare.answer = Doubt::None,
            _ if sure => {}
            _ => self.rare_mut().answer = Doubt::Until(now + ASK_AGAIN),
        }
    }

    /// Has the agent asked once more if its answer may have been none.
    pub(super) fn settle_doubt(&mut self, now: Instant) {
        if let Some(rare) = &mut self.rare
            && matches!(rare.answer, Doubt::Until(until) if until <= now)
        {
            rare.answer = Doubt::Settling;
            self.want_full_state();
        }
    }
}

/// `AgentCapabilities` that promise a status field, and the field. That of connection settings does not:
/// there is none before an offer, and opamp-go leaves it out of full reports.
const PROMISES: [(u64, u32); 5] = [
    (0x0004, agent_field::EFFECTIVE_CONFIG),
    (0x0010, agent_field::PACKAGE_STATUSES),
    (0x0800, agent_field::HEALTH),
    (0x1000, agent_field::REMOTE_CONFIG_STATUS),
    (0x4000, agent_field::AVAILABLE_COMPONENTS),
];

/// Whether a report carries every field that the agent's capabilities promise. The first report of
/// a connection often does not (opamp-go leaves out health): it is the agent's word on what it
/// carries, and says nothing of the rest.
fn is_complete(scan: &AgentScan<'_>) -> bool {
    has_all_promised(scan.capabilities, scan.present)
}

/// Whether these are all the fields that an agent's capabilities promise.
pub(super) fn has_all_promised(capabilities: u64, present: FieldSet) -> bool {
    let mut promised = FieldSet::of(&[agent_field::AGENT_DESCRIPTION]);
    for (capability, field) in PROMISES {
        if capabilities & capability != 0 {
            promised.insert(field);
        }
    }
    promised.is_subset(present)
}
