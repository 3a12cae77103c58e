//! Answers that servers still owe to sessions that have ended.
//!
//! An answer carries the agent's uid and nothing else. If the agent is back by the time it comes, it
//! passes for the answer to a message of the new session, which is then believed to have arrived, and
//! may be lost or refused. So whoever opens a session asks here whether such answers are still to come
//! ([`Session::expect_echoes`]).
//!
//! Bounded in count and in time: a server that does not answer the last word of an agent never will.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Answer, Route, Session};
use crate::ident::InstanceUid;

/// How long an answer to a session that has ended is expected.
pub(super) const EXPECTED_FOR: Duration = Duration::from_secs(30);
/// Sessions whose answers are expected at a time; of more, the oldest are forgotten.
const SESSIONS_MAX: usize = 1 << 16;

/// Where answers may come that are not the present session's, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    route: Route,
    until: Instant,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Echoes {
    /// With the number of answers that are owed.
    expected: BTreeMap<InstanceUid, (Echo, u32)>,
    /// Oldest first. Some may have been answered, or replaced, since.
    order: VecDeque<(Instant, InstanceUid)>,
}

impl Echoes {
    /// A session is over.
    pub fn ended(&mut self, session: &Session, now: Instant) {
        let Some((route, unanswered)) = session.unanswered_on() else { return };
        self.forget(now);
        let until = now + EXPECTED_FOR;
        self.expected.insert(session.uid, (Echo { route, until }, unanswered));
        self.order.push_back((until, session.uid));
    }

    /// A message of a server's has come for an agent that has no session. Returns what it is as an
    /// answer; `None` if none was to come.
    pub fn heard(&mut self, uid: InstanceUid, route: Route, now: Instant) -> Option<Answer> {
        let (echo, owed) = self.expected.get_mut(&uid).filter(|(echo, _)| echo.route == route)?;
        *owed -= 1;
        if *owed > 0 {
            return Some(Answer::ORPHAN);
        }
        // The session ended with the message that this answers.
        let left = echo.until.saturating_duration_since(now);
        self.expected.remove(&uid);
        Some(Answer { after: Some(EXPECTED_FOR.saturating_sub(left)), ..Answer::ORPHAN })
    }

    /// A session is opened: what it has to expect.
    pub fn take(&mut self, uid: InstanceUid, now: Instant) -> Option<Echo> {
        let (echo, _) = self.expected.remove(&uid)?;
        (now < echo.until).then_some(echo)
    }

    /// Sessions whose answers are expected, and places in the order.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.expected.len(), self.order.len())
    }

    /// Forgets what is no longer expected.
    pub fn forget(&mut self, now: Instant) {
        while let Some((until, uid)) = self.order.front().copied()
            && (until <= now || self.order.len() >= SESSIONS_MAX)
        {
            self.order.pop_front();
            if self.expected.get(&uid).is_some_and(|(echo, _)| echo.until == until) {
                self.expected.remove(&uid);
            }
        }
    }
}

impl Session {
    /// How many messages the server has not answered, and where they went. `None`: it has answered all.
    pub fn unanswered_on(&self) -> Option<(Route, u32)> {
        self.sent_on.filter(|_| self.unanswered > 0).map(|route| (route, self.unanswered))
    }

    /// Answers to an earlier session of the agent's may still come.
    pub fn expect_echoes(&mut self, echo: Echo) {
        self.rare_mut().echo = Some(echo);
    }

    /// Whether what seems to be answered may not have been.
    pub(super) fn hears_echoes(&self) -> bool {
        self.rare.as_ref().and_then(|rare| rare.echo).is_some()
    }

    /// An echo that has not come by now will not come.
    pub(super) fn end_echoes(&mut self, now: Instant) {
        if let Some(rare) = &mut self.rare {
            rare.echo.take_if(|echo| echo.until <= now);
        }
    }

    /// The messages go another way than before, which has no echoes of an earlier session.
    pub(super) fn leave_echoes(&mut self, route: Route) {
        if let Some(rare) = &mut self.rare {
            rare.echo.take_if(|echo| echo.route != route);
        }
    }
}
