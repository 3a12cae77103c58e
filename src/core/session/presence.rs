//! Whether the agent is there: arrival, loss, linger, leaving for good (R8, R10).

use std::time::{Duration, Instant};

use super::{FullState, Policy, Session};
use crate::ident::ConnectionId;
use crate::mutation::{Breach, is_on};

/// Whether the agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// On a WebSocket.
    Connected {
        /// Which one: an older connection's end must not end the newer one's session.
        connection: ConnectionId,
    },
    /// Over plain HTTP.
    Polling {
        /// When it was last heard.
        heard: Instant,
    },
    /// Its connection is gone; the server has not been told.
    Absent {
        /// When the server will be told.
        until: Instant,
    },
    /// It will not come back; the server is yet to be told.
    Disconnecting,
    /// The server has been told: the session may go.
    Gone,
}

/// What the arrival of a connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody was there.
    Admitted,
    /// The newest wins: the named connection is to be closed (R10).
    Replaces(ConnectionId),
    /// Two live agents use this uid: the newcomer needs another (R10).
    Cloned,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The agent said so.
    AgentDisconnect,
    /// It did not return in time.
    GraceExpired,
    /// It stopped polling.
    PollExpired,
    /// It goes on under another uid.
    ReplacedUid,
    /// Seawall drains, and the agent went to another node.
    Moved,
}

/// What a deadline's passing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Look again then.
    At(Instant),
    /// The agent is there, or leaving already: no deadline.
    Never,
    /// The session has just ended; the server is to be told.
    Ended(EndReason),
}

/// A uid counts as cloned when this many replaced connections in a row turned out to be alive.
const LIVE_REPLACEMENTS_MAX: u8 = 2;
/// A longer pause between two of them starts the count again.
pub(super) const LIVE_REPLACEMENT_MEMORY: Duration = Duration::from_secs(300);
/// Content written to an agent counts as arrived when the agent is heard this much later.
const DOUBT_CLEARED_AFTER: Duration = Duration::from_secs(5);

/// However long the gate is besieged, so much longer than it may a session outlives its agent.
const EXCUSED_MAX: Duration = Duration::from_secs(1_800);

impl Session {
    /// A WebSocket speaks for this agent for the first time.
    pub fn arrive(&mut self, connection: ConnectionId, now: Instant) -> Arrival {
        let before = self.presence;
        if let Presence::Connected { connection: old } = before {
            if old == connection {
                return Arrival::Admitted;
            }
            if self.is_cloned(now) {
                return Arrival::Cloned;
            }
        }
        self.presence = Presence::Connected { connection };
        self.begin_anew();
        if let Presence::Connected { connection: old } = before {
            return Arrival::Replaces(old);
        }
        Arrival::Admitted
    }

    /// A plain-HTTP request speaks for this agent: [`Session::request`] is its number. One that is
    /// still waiting is answered by the gateway: an agent has one request under way at a time, so
    /// it has most likely given up the older.
    pub fn poll(&mut self, now: Instant) -> Arrival {
        let before = self.presence;
        self.presence = Presence::Polling { heard: now };
        self.request = self.request.wrapping_add(1);
        if let Presence::Polling { .. } = before {
            self.waive_replies();
            return Arrival::Admitted;
        }
        self.begin_anew();
        if let Presence::Connected { connection } = before {
            return Arrival::Replaces(connection);
        }
        Arrival::Admitted
    }

    /// The latest plain-HTTP request.
    pub const fn request(&self) -> u32 {
        self.request
    }

    /// Whether it is this plain-HTTP request that gets what the server says.
    pub const fn is_answered_by(&self, request: u32) -> bool {
        matches!(self.presence, Presence::Polling { .. }) && self.request == request
    }

    /// The agent is there over another connection than before.
    fn begin_anew(&mut self) {
        // Replies were owed on the old connection; this one is owed none yet.
        self.waive_replies();
        self.hello_sent = false;
        self.full_state = self.full_state.after_arrival();
        self.question_may_be_lost();
        if is_on(Breach::R7ForgetsKept) {
            self.drop_offers();
        }
        self.reply_may_be_lost();
    }

    /// What was written to the agent last may not have arrived. If that was an offer, the agent's
    /// state shows the server which configuration it really has.
    pub(super) fn reply_may_be_lost(&mut self) {
        if self.rare.as_mut().is_some_and(|rare| rare.in_doubt.take().is_some()) {
            self.offer_may_be_lost();
        }
    }

    fn is_cloned(&self, now: Instant) -> bool {
        let Some(rare) = &self.rare else { return false };
        let recent = rare
            .replaced_alive_at
            .is_some_and(|at| now.saturating_duration_since(at) < LIVE_REPLACEMENT_MEMORY);
        recent && rare.live_replacements >= LIVE_REPLACEMENTS_MAX
    }

    /// The connection that was replaced answered its Close: the agent behind it was alive. A stale
    /// socket, the usual case, never answers.
    pub fn replaced_was_alive(&mut self, now: Instant) {
        let rare = self.rare_mut();
        let fresh = rare
            .replaced_alive_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LIVE_REPLACEMENT_MEMORY);
        rare.live_replacements = if fresh { 1 } else { rare.live_replacements.saturating_add(1) };
        rare.replaced_alive_at = Some(now);
    }

    /// A connection ended. Returns whether it was this session's: then the session lingers.
    pub fn lost(&mut self, connection: ConnectionId, now: Instant, policy: &Policy) -> bool {
        if self.presence != (Presence::Connected { connection }) {
            return false;
        }
        self.presence = if is_on(Breach::R8TellsAtOnce) {
            Presence::Disconnecting
        } else {
            Presence::Absent { until: now + policy.grace_period }
        };
        self.waive_replies();
        true
    }

    /// The agent is no more under this uid. The server is told even if nothing has been sent to it
    /// yet: it may know the agent from before this process.
    pub const fn leave(&mut self) {
        self.presence = Presence::Disconnecting;
        self.waive_replies();
    }

    /// When [`Session::expire`] has to look at this session, if it has.
    pub fn deadline(&self, policy: &Policy) -> Option<Instant> {
        match self.presence {
            Presence::Absent { until } => Some(until),
            Presence::Polling { heard } => Some(heard + policy.poll_timeout),
            Presence::Connected { .. } | Presence::Disconnecting | Presence::Gone => None,
        }
    }

    /// Looks whether the agent has been away too long. `excused`: until then it may have been told to
    /// stay away by the gateway itself, or wait for its answer: it has that time too.
    pub fn expire(&mut self, now: Instant, excused: Option<Instant>, policy: &Policy) -> Expiry {
        let (until, reason) = match self.presence {
            Presence::Absent { until } => (until, EndReason::GraceExpired),
            Presence::Polling { heard } => (heard + policy.poll_timeout, EndReason::PollExpired),
            Presence::Connected { .. } | Presence::Disconnecting | Presence::Gone => {
                return Expiry::Never;
            }
        };
        let until = excused.map_or(until, |excused| until.max(excused.min(until + EXCUSED_MAX)));
        if now < until || is_on(Breach::R8NeverTells) {
            return Expiry::At(until);
        }
        self.leave();
        Expiry::Ended(reason)
    }

    /// Whether the agent is on a WebSocket.
    pub const fn is_connected(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. })
    }

    /// Whether nothing is left to do for the session.
    pub const fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone)
    }

    /// Whether the agent is there, or may come back at any time.
    pub const fn is_kept(&self) -> bool {
        !matches!(self.presence, Presence::Disconnecting | Presence::Gone)
    }

    /// Whether the agent can be spoken to now or at its next poll.
    pub(super) const fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. } | Presence::Polling { .. })
    }

    /// Content, not only an acknowledgement, was written to the agent's socket.
    pub fn content_written(&mut self, now: Instant) {
        self.rare_mut().in_doubt = Some(now);
    }

    /// Whoever was given something is gone, and what it made of it is of no concern any more.
    pub(super) fn forget_doubt(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.in_doubt = None;
        }
    }

    /// The agent was heard: what was written well before has arrived.
    pub fn heard(&mut self, now: Instant) {
        if let Some(rare) = &mut self.rare {
            rare.in_doubt.take_if(|at| now.saturating_duration_since(*at) > DOUBT_CLEARED_AFTER);
            self.tidy(now);
        }
    }

    /// An offer may not have reached the agent: the server is told again what the agent has, also
    /// where nothing changed, for that is how it finds out.
    pub fn offer_may_be_lost(&mut self) {
        match &mut self.picture {
            Some(picture) => picture.owe_all_again(),
            None => self.want_full_state(),
        }
    }

    /// Something is missing that only the agent has.
    pub fn want_full_state(&mut self) {
        self.full_state = FullState::Wanted;
    }
}
