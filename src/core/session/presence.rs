//! R8 and R10: whether the agent is there, and which of two connections speaks for it.
//!
//! ```text
//!              a connection opens             it is lost (R8)
//!   (new) ─────────────────────────► Connected ───────────────► Absent
//!                                     ▲  │ ▲  agent_disconnect    │  │ the grace period is over
//!                   a newer connection│  │ └────── returns ───────┘  │
//!                                     └──┤                           ▼
//!   Gone ◄── the server has been told ───┴──────────────► Disconnecting
//! ```
//!
//! `Polling` is `Connected` over plain HTTP, where the absence of polls is the only sign of a loss: it
//! goes to `Disconnecting` and skips `Absent`. A node that drains takes every state to `Gone`.
//! [`Presence::may_become`] is this diagram as code; each change of state is checked against it.

use std::time::{Duration, Instant};

use super::Policy;
use crate::ident::ConnectionId;
use crate::mutation::{Breach, is_on};

/// Whether the agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// On a WebSocket.
    Connected {
        /// Which one: the end of an older connection leaves the session of the newer one alone.
        connection: ConnectionId,
    },
    /// Over plain HTTP.
    Polling {
        /// When it was last heard.
        heard: Instant,
        /// Its latest request is here, and has yet to be answered.
        waits: bool,
    },
    /// Its connection is gone, and the server believes it is there.
    Absent {
        /// When the server will be told.
        until: Instant,
    },
    /// It will stay away, and the server is yet to be told.
    Disconnecting,
    /// The server has been told: the session is over.
    Gone,
}

impl Presence {
    /// Whether the diagram in the module's text has a line from this state to `next`. `Gone` leads back
    /// to `Disconnecting` alone: an agent that said goodbye while it moved to another server has left
    /// the former one, and the other could not be told in the same instant.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Gone, Self::Connected { .. } | Self::Polling { .. } | Self::Absent { .. }) => {
                false
            }
            (Self::Connected { .. }, Self::Absent { .. }) => true,
            (_, Self::Absent { .. }) => false,
            _ => true,
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The agent said goodbye.
    AgentDisconnect,
    /// It stayed away for longer than the grace period.
    GraceExpired,
    /// It stopped polling.
    PollExpired,
    /// It was away, and a newcomer took its place.
    GaveWay,
    /// It goes on under another uid.
    ReplacedUid,
    /// The node drains, and the agent went to another.
    Moved,
}

/// Longest time by which the gateway's own admission prolongs an absence.
const EXCUSED_MAX: Duration = Duration::from_secs(1_800);

/// What the passing of a deadline means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbsenceCheck {
    /// The agent is there, or has left already: it has no deadline.
    NoDeadline,
    /// The agent has until then.
    Until(Instant),
    /// The absence has lasted too long.
    Over(EndReason),
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attendance {
    presence: Presence,
}

impl Attendance {
    /// An agent of which the first message has just come.
    pub(super) const fn new(now: Instant) -> Self {
        Self { presence: Presence::Absent { until: now } }
    }

    /// Restores what [`Attendance::presence`] said.
    pub(super) const fn restored(presence: Presence) -> Self {
        Self { presence }
    }

    pub(super) const fn presence(&self) -> Presence {
        self.presence
    }

    /// Changes the state.
    pub(super) fn enter(&mut self, next: Presence) {
        debug_assert!(self.presence.may_become(next), "{:?} became {next:?}", self.presence);
        self.presence = next;
    }

    /// The agent is heard over plain HTTP, or its request gets its answer.
    pub(super) const fn set_waits(&mut self, waits: bool) {
        if let Presence::Polling { heard, .. } = self.presence {
            self.presence = Presence::Polling { heard, waits };
        }
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. })
    }

    pub(super) fn is_on(&self, connection: ConnectionId) -> bool {
        self.presence == (Presence::Connected { connection })
    }

    pub(super) const fn is_polling(&self) -> bool {
        matches!(self.presence, Presence::Polling { .. })
    }

    /// When the agent was last heard over plain HTTP, if it polls.
    pub(super) const fn polled_at(&self) -> Option<Instant> {
        if let Presence::Polling { heard, .. } = self.presence { Some(heard) } else { None }
    }

    /// Whether a plain-HTTP request has yet to be answered.
    pub(super) const fn request_waits(&self) -> bool {
        matches!(self.presence, Presence::Polling { waits: true, .. })
    }

    /// Whether the agent can be spoken to now or at its next poll.
    pub(super) const fn is_there(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. } | Presence::Polling { .. })
    }

    /// Whether the agent has left for good.
    pub(super) const fn has_left(&self) -> bool {
        matches!(self.presence, Presence::Disconnecting | Presence::Gone)
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone)
    }

    /// The state that the loss of the connection leads to.
    pub(super) fn after_loss(now: Instant, policy: &Policy) -> Presence {
        if is_on(Breach::R8TellsAtOnce) {
            return Presence::Disconnecting;
        }
        Presence::Absent { until: now + policy.grace_period }
    }

    /// Until when the agent may stay away, or be silent for `silence_max` if it polls, and what it means if it does.
    fn absence(&self, silence_max: Duration) -> Option<(Instant, EndReason)> {
        match self.presence {
            Presence::Absent { until } => Some((until, EndReason::GraceExpired)),
            Presence::Polling { heard, .. } => Some((heard + silence_max, EndReason::PollExpired)),
            Presence::Connected { .. } | Presence::Disconnecting | Presence::Gone => None,
        }
    }

    /// When [`Attendance::check`] has to look at this session.
    pub(super) fn deadline(&self, silence_max: Duration) -> Option<Instant> {
        self.absence(silence_max).map(|(until, _)| until)
    }

    /// Looks whether the agent has been away too long. `excused`: until then the gateway itself may have
    /// told it to stay away, or may keep it waiting. The agent has that time too.
    pub(super) fn check(
        &self,
        now: Instant,
        excused: Option<Instant>,
        silence_max: Duration,
    ) -> AbsenceCheck {
        let Some((until, end)) = self.absence(silence_max) else { return AbsenceCheck::NoDeadline };
        let until = excused.map_or(until, |excused| until.max(excused.min(until + EXCUSED_MAX)));
        if now < until || is_on(Breach::R8NeverTells) {
            return AbsenceCheck::Until(until);
        }
        AbsenceCheck::Over(end)
    }
}

/// A uid counts as cloned once this many replaced connections in a row turned out to be alive.
const LIVE_REPLACEMENTS_MAX: u8 = 2;
/// A longer pause between two of them starts the count again.
const LIVE_REPLACEMENT_MEMORY: Duration = Duration::from_secs(300);

/// What a session's record says of replaced connections that proved to be alive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveReplacementsRecord {
    /// How many in a row.
    pub in_a_row: u8,
    /// When the last one was.
    pub last: Option<Instant>,
}

/// R10: replaced connections that proved to be alive. A stale socket, the usual case, stays silent when it
/// is closed; two agents with one uid replace each other for ever, and both are alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LiveReplacements {
    in_a_row: u8,
    last: Option<Instant>,
}

impl LiveReplacements {
    pub(super) const fn to_record(self) -> LiveReplacementsRecord {
        LiveReplacementsRecord { in_a_row: self.in_a_row, last: self.last }
    }

    pub(super) const fn from_record(record: &LiveReplacementsRecord) -> Self {
        Self { in_a_row: record.in_a_row, last: record.last }
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|at| now.saturating_duration_since(at) < LIVE_REPLACEMENT_MEMORY)
    }

    /// A replaced connection answered its Close.
    pub(super) fn note(&mut self, now: Instant) {
        self.in_a_row = if self.is_recent(now) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(now);
    }

    /// Whether two live agents use this uid.
    pub(super) fn is_cloned(&self, now: Instant) -> bool {
        self.is_recent(now) && self.in_a_row >= LIVE_REPLACEMENTS_MAX
    }

    /// Whether all of this is past.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        !self.is_recent(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::POLICY;
    use super::*;

    fn states(now: Instant) -> [Presence; 5] {
        [
            Presence::Connected { connection: ConnectionId(1) },
            Presence::Polling { heard: now, waits: false },
            Presence::Absent { until: now },
            Presence::Disconnecting,
            Presence::Gone,
        ]
    }

    /// The diagram as a table: a row for each state, a column for each next state.
    #[test]
    fn states_follow_the_diagram() {
        let states = states(crate::clock::now());
        let allowed = states.map(|from| states.map(|to| u8::from(from.may_become(to))));
        assert_eq!(
            allowed,
            [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 1, 1],]
        );
    }

    #[test]
    #[should_panic(expected = "became")]
    fn a_step_that_the_diagram_lacks_is_noticed() {
        let now = crate::clock::now();
        let mut attendance = Attendance::new(now);
        attendance.enter(Presence::Gone);
        attendance.enter(Presence::Polling { heard: now, waits: true });
    }

    #[test]
    fn admission_prolongs_an_absence_and_within_limits() {
        let now = crate::clock::now();
        let attendance = Attendance::restored(Presence::Absent { until: now });
        let hour = now + Duration::from_secs(3_600);
        assert_eq!(
            attendance.check(now, Some(hour), POLICY.poll_timeout),
            AbsenceCheck::Until(now + EXCUSED_MAX)
        );
        let over = AbsenceCheck::Over(EndReason::GraceExpired);
        assert_eq!(attendance.check(hour, Some(hour), POLICY.poll_timeout), over);
        assert_eq!(attendance.check(now, None, POLICY.poll_timeout), over);
    }

    #[test]
    fn live_replacements_in_a_row_are_a_clone_and_are_forgotten() {
        let now = crate::clock::now();
        let mut live = LiveReplacements::default();
        assert!(live.is_idle(now));
        live.note(now);
        assert!(!live.is_cloned(now));
        live.note(now);
        assert!(live.is_cloned(now) && !live.is_idle(now));
        let later = now + LIVE_REPLACEMENT_MEMORY;
        assert!(!live.is_cloned(later) && live.is_idle(later));
        live.note(later);
        assert!(!live.is_cloned(later), "the count starts again");
    }
}
