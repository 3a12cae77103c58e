//! R6: late replies, answers that servers still owe to sessions that have ended.
//!
//! An answer carries the agent's uid alone. If the agent is back by the time it comes, it
//! passes for the answer to a message of the new session. That message would then be believed to have
//! arrived, although it may yet be lost or refused. So a new session is told which late replies it has
//! to expect ([`super::Session::new`]).
//!
//! Bounded in count and in time: a server that stays silent on an agent's last word stays so for good.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Answer, Route};
use crate::ident::{InstanceUid, LinkId};

/// How long an answer to a session that has ended is expected.
pub(super) const EXPECTED_FOR: Duration = Duration::from_secs(30);
/// Sessions whose late replies are expected at one time; the oldest make room for more.
const SESSIONS_MAX: usize = 1 << 16;

/// Where late replies may come, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateReply {
    /// The route that the ended session's last message took.
    pub route: Route,
    /// They are expected until then.
    pub until: Instant,
}

/// The late replies of all sessions that have ended. See the module's text.
#[derive(Debug, Default)]
pub struct LateReplies {
    /// With the number of answers that are owed.
    expected: BTreeMap<InstanceUid, (LateReply, u32)>,
    /// Oldest first. Some may have been answered, or replaced, since.
    order: VecDeque<(Instant, InstanceUid)>,
}

impl LateReplies {
    /// A session is over that left `unanswered` messages on `route`.
    pub fn ended(&mut self, uid: InstanceUid, (route, unanswered): (Route, u32), now: Instant) {
        self.forget(now);
        let until = now + EXPECTED_FOR;
        self.expected.insert(uid, (LateReply { route, until }, unanswered));
        self.order.push_back((until, uid));
    }

    /// A server's message has come for an agent that has no session. Returns what it is as an answer;
    /// `None` if none was to come.
    pub fn heard(&mut self, uid: InstanceUid, route: Route, now: Instant) -> Option<Answer> {
        let (late, owed) =
            self.expected.get_mut(&uid).filter(|(late, _)| late.route.wire() == route.wire())?;
        *owed -= 1;
        if *owed > 0 {
            return Some(Answer::ORPHAN);
        }
        // The session ended with the message that this answers.
        let left = late.until.saturating_duration_since(now);
        self.expected.remove(&uid);
        Some(Answer { after: Some(EXPECTED_FOR.saturating_sub(left)), ..Answer::ORPHAN })
    }

    /// The agent's own link has ended, and with it what was to come there. Returns the number of answers, and how long
    /// ago the session ended.
    pub fn link_ended(
        &mut self,
        uid: InstanceUid,
        link: LinkId,
        now: Instant,
    ) -> Option<(u32, Duration)> {
        let (late, owed) = *self.expected.get(&uid).filter(|(late, _)| late.route.link == link)?;
        self.expected.remove(&uid);
        let left = late.until.saturating_duration_since(now);
        Some((owed, EXPECTED_FOR.saturating_sub(left)))
    }

    /// A session is opened: what it has to expect.
    pub fn take(&mut self, uid: InstanceUid, now: Instant) -> Option<LateReply> {
        let (late, _) = self.expected.remove(&uid)?;
        (now < late.until).then_some(late)
    }

    /// Sessions whose late replies are expected, and places in the order.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.expected.len(), self.order.len())
    }

    /// Forgets what has been expected for long enough.
    pub fn forget(&mut self, now: Instant) {
        while let Some((until, uid)) = self.order.front().copied()
            && (until <= now || self.order.len() >= SESSIONS_MAX)
        {
            self.order.pop_front();
            if self.expected.get(&uid).is_some_and(|(late, _)| late.until == until) {
                self.expected.remove(&uid);
            }
        }
    }
}
