//! R3 and R4: what the agent has to be asked for, because the gateway lacks it.
//!
//! ```text
//!              a gap, an unknown agent's delta, bytes that are gone from the store
//!   Reported ───────────────────────────────────────────────────────────────────► Wanted
//!      ▲                                                                          │  ▲
//!      │ a full report                                         a permit, at a pace│  │ no answer in ASK_AGAIN,
//!      └────────────────────────────────────── Asked ◄────────────────────────────┘  │ or another connection
//!                                                └──────────────────────────────────┘
//! ```
//!
//! What the server lacks is another matter (`replica`): it gets that from the store. Wanting is one thing
//! and asking another: the question goes out with a permit, so that a server's restart meets a steady
//! pace of questions instead of a storm of the gateway's making.
//!
//! The component map, of which agents report the hash alone until they are asked, has a question of its
//! own ([`MapQuestion`]) with the same diagram.

use std::time::{Duration, Instant};

use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};

/// An agent that was asked and sends something else for this long is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Whether the gateway knows the agent's whole state.
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
    /// The agent has spoken. One that leaves the question open is asked again after a while.
    /// `question_waits`: the question still waits for the agent's poll.
    fn after_report(self, question_waits: bool, now: Instant) -> Self {
        match self {
            Self::Asked(_) if question_waits => Self::Asked(now),
            Self::Asked(at) if now.saturating_duration_since(at) >= ASK_AGAIN => Self::Wanted,
            other => other,
        }
    }

    /// The question may have died with a connection or a reply.
    const fn maybe_lost(self) -> Self {
        match self {
            Self::Asked(_) => Self::Wanted,
            other => other,
        }
    }
}

/// What a session's record says of its questions to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionsRecord {
    /// The question for the full state.
    pub full_state: FullState,
    /// The agent was asked for everything and answered; `false` while it is asked.
    pub said_all: bool,
    /// A server's question for the component map.
    pub map: FullState,
    /// Whether the agent's answer was one.
    pub doubt: AnswerDoubt,
}

/// The question for the full state. One word more would cost each of a million sessions eight bytes, so
/// what the agent has said of itself is kept with the state to which it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Questions {
    /// See [`FullState::Reported`].
    Reported {
        /// The agent was asked for everything and answered: it has reported all that it has.
        said_all: bool,
    },
    /// See [`FullState::Wanted`].
    Wanted {
        /// As above.
        said_all: bool,
    },
    /// See [`FullState::Asked`].
    Asked(Instant),
}

impl Default for Questions {
    fn default() -> Self {
        Self::Reported { said_all: false }
    }
}

impl Questions {
    pub(super) const fn full_state(self) -> FullState {
        match self {
            Self::Reported { .. } => FullState::Reported,
            Self::Wanted { .. } => FullState::Wanted,
            Self::Asked(at) => FullState::Asked(at),
        }
    }

    /// Whether the agent has reported all that it has, and said so when it was asked.
    pub(super) const fn said_all(self) -> bool {
        matches!(self, Self::Reported { said_all: true } | Self::Wanted { said_all: true })
    }

    const fn set(&mut self, state: FullState) {
        *self = Self::from_record(state, self.said_all());
    }

    pub(super) const fn from_record(state: FullState, said_all: bool) -> Self {
        match state {
            FullState::Reported => Self::Reported { said_all },
            FullState::Wanted => Self::Wanted { said_all },
            FullState::Asked(at) => Self::Asked(at),
        }
    }

    /// Something is missing that only the agent has.
    pub(super) const fn want(&mut self) {
        self.set(FullState::Wanted);
    }

    /// The agent is asked now, if it has to be. Returns whether it is.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let asks = self.full_state() == FullState::Wanted;
        if asks {
            *self = Self::Asked(now);
        }
        asks
    }

    /// The agent has spoken; see [`FullState`].
    pub(super) fn after_report(&mut self, question_waits: bool, now: Instant) {
        self.set(self.full_state().after_report(question_waits, now));
    }

    /// The question may be lost: it is asked again.
    pub(super) const fn maybe_lost(&mut self) {
        self.set(self.full_state().maybe_lost());
    }

    /// The agent's process is a new one, and what the old one said of itself is past.
    pub(super) const fn forget_said_all(&mut self) {
        match self {
            Self::Reported { said_all } | Self::Wanted { said_all } => *said_all = false,
            Self::Asked(_) => {}
        }
    }

    /// Takes a report that may complete what the gateway knows, of an agent with these capabilities. Returns whether it
    /// passes for the answer to the question.
    pub(super) fn take_report(&mut self, scan: &AgentScan<'_>, capabilities: u64) -> bool {
        match *self {
            Self::Reported { .. } => false,
            _ if !self.is_mended_by(scan, capabilities) => false,
            Self::Asked(_) => {
                *self = Self::Reported { said_all: scan.is_full() };
                scan.is_full()
            }
            Self::Wanted { said_all } => {
                *self = Self::Reported { said_all };
                false
            }
        }
    }

    /// Whether this report makes up for everything that was lost before it. An agent that was asked sends
    /// all it has, even where that is less than its capabilities promise: were it asked for more, one that
    /// miscounts its messages would be asked for ever.
    pub(super) fn is_mended_by(self, scan: &AgentScan<'_>, capabilities: u64) -> bool {
        has_all_promised(capabilities, scan.present)
            || matches!(self, Self::Asked(_)) && scan.is_full()
    }
}

/// A server's question for the component map, which only the agent has. It outlives the agent's connection:
/// an agent that misses it, or leaves it open, is asked again by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MapQuestion {
    state: FullState,
}

impl MapQuestion {
    pub(super) const fn from_record(state: FullState) -> Self {
        Self { state }
    }

    pub(super) const fn to_record(self) -> FullState {
        self.state
    }

    /// Whether the question is closed.
    pub(super) fn is_closed(self) -> bool {
        self.state == FullState::Reported
    }

    /// The server's own message asks the agent.
    pub(super) const fn passed_on(&mut self, now: Instant) {
        self.state = FullState::Asked(now);
    }

    /// The map is there, or the server that wanted it is gone.
    pub(super) const fn close(&mut self) {
        self.state = FullState::Reported;
    }

    /// The agent has spoken; see [`FullState`].
    pub(super) fn after_report(&mut self, question_waits: bool, now: Instant) {
        self.state = self.state.after_report(question_waits, now);
    }

    /// The question may be lost: it is asked again.
    pub(super) const fn maybe_lost(&mut self) {
        self.state = self.state.maybe_lost();
    }

    /// Whether the gateway has to ask the agent itself.
    pub(super) fn is_wanted(self) -> bool {
        self.state == FullState::Wanted
    }

    /// The agent is asked now, if it has to be. Returns whether it is.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let asks = self.is_wanted();
        if asks {
            self.state = FullState::Asked(now);
        }
        asks
    }
}

/// Whether an agent's answer to the question was one. The reply to a poll may be lost unseen, and a connection before the
/// agent has read what was written to it; the question is lost with them. If the agent's next report has its
/// description, because that has changed, it passes for the answer, and what else was missing would stay missing. So an
/// answer that lacks anything that the agent's capabilities promise is taken, and the agent is asked once more: a
/// polling one after a while, another one if its connection ends before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerDoubt {
    /// The answer is believed.
    #[default]
    Settled,
    /// The agent is asked again then, or when it comes over another connection before.
    Until(Instant),
    /// It is being asked, and whatever it says then is believed.
    Settling,
}

impl AnswerDoubt {
    pub(super) fn is_settled(self) -> bool {
        self == Self::Settled
    }

    /// A report has come that passes for the answer. `sure`: it is one.
    pub(super) fn after_answer(self, sure: bool, now: Instant) -> Self {
        if sure || !self.is_settled() { Self::Settled } else { Self::Until(now + ASK_AGAIN) }
    }

    /// The agent is there over another connection. Returns whether it must be asked once more.
    pub(super) fn connection_changed(&mut self) -> bool {
        let asks = matches!(self, Self::Until(_));
        if asks {
            *self = Self::Settling;
        }
        asks
    }

    /// The agent has spoken. Returns whether the time is over for which its answer was in doubt.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = matches!(*self, Self::Until(until) if until <= now);
        if due {
            *self = Self::Settling;
        }
        due
    }
}

/// `AgentCapabilities` that promise a status field, and the field. The one of connection settings is left
/// out: opamp-go leaves it out of full reports, and it exists only after an offer.
const PROMISES: [(u64, u32); 5] = [
    (0x0004, agent_field::EFFECTIVE_CONFIG),
    (0x0010, agent_field::PACKAGE_STATUSES),
    (0x0800, agent_field::HEALTH),
    (0x1000, agent_field::REMOTE_CONFIG_STATUS),
    (0x4000, agent_field::AVAILABLE_COMPONENTS),
];

/// Whether these are all the fields that an agent's capabilities promise. The first report of a connection often lacks
/// some (opamp-go leaves out health): it is the agent's word on what it carries, and says nothing of the rest.
pub(super) fn has_all_promised(capabilities: u64, present: FieldSet) -> bool {
    let mut promised = FieldSet::of(&[agent_field::AGENT_DESCRIPTION]);
    for (capability, field) in PROMISES {
        if capabilities & capability != 0 {
            promised.insert(field);
        }
    }
    promised.is_subset(present)
}

#[cfg(test)]
mod tests {
    use super::super::tests::message::{self, Status, bytes};
    use super::*;

    fn takes(questions: &mut Questions, status: Status) -> bool {
        let report = bytes(&message::report(1, status));
        questions.take_report(&AgentScan::parse(&report).unwrap(), message::CAPABILITIES)
    }

    #[test]
    fn an_agent_that_was_asked_has_said_all() {
        let now = crate::clock::now();
        let described = Status { description: Some(1), ..Status::default() };
        let mut questions = Questions::default();
        questions.want();
        assert!(!takes(&mut questions, described));
        assert_eq!(questions.full_state(), FullState::Wanted, "it says some of what it has");
        assert!(questions.ask(now) && !questions.ask(now));
        assert!(takes(&mut questions, described), "it has no more than that");
        assert_eq!((questions.full_state(), questions.said_all()), (FullState::Reported, true));
        questions.want();
        assert!(questions.said_all());
        questions.forget_said_all();
        assert!(!questions.said_all());
        takes(&mut questions, Status::FIRST);
        assert_eq!(questions, Questions::default());
    }

    #[test]
    fn a_question_is_asked_again_after_a_while_or_a_loss() {
        let now = crate::clock::now();
        let later = now + ASK_AGAIN;
        let asked = FullState::Asked(now);
        assert_eq!(asked.after_report(false, now), asked);
        assert_eq!(asked.after_report(true, later), FullState::Asked(later), "it still waits");
        assert_eq!(asked.after_report(false, later), FullState::Wanted);
        let mut map = MapQuestion::default();
        map.passed_on(now);
        map.maybe_lost();
        assert!(map.is_wanted() && map.ask(now) && !map.is_closed());
        map.close();
        map.maybe_lost();
        assert!(map.is_closed());
    }

    #[test]
    fn a_doubtful_answer_is_asked_for_once_more() {
        let now = crate::clock::now();
        let mut doubt = AnswerDoubt::default().after_answer(false, now);
        assert!(!doubt.is_due(now) && doubt.is_due(now + ASK_AGAIN));
        assert_eq!(doubt, AnswerDoubt::Settling);
        assert!(doubt.after_answer(false, now).is_settled());
        assert!(AnswerDoubt::default().after_answer(true, now).is_settled());
    }

    #[test]
    fn a_question_costs_two_words() {
        assert_eq!(size_of::<Questions>(), 16);
    }
}
