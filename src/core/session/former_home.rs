//! What a session that came from another home has yet to see the end of there: messages that its server has still to
//! answer, the former home's goodbye, and how the server takes it that the agent comes another way.
//!
//! ```text
//!                  keyed by connection and uid          said goodbye, its link ended, or 5 s
//!   moved here ──┬────────────────────────────► Silent ─────────────────────────────────────┐
//!                │                                 ▲ the server renames the agent           │
//!                │                                 │ (later each time)                      ▼
//!                └────────────────────────────────►├──────────────────────────────────── Speaks ──► past
//!                                                                                              30 s
//! ```
//!
//! What was on its way over the former home's link may arrive after what this node says. So it is told again when
//! its fate is known, 30 s later at most.

use std::time::{Duration, Instant};

use super::{Peer, Session};
use crate::opamp::field_set::FieldSet;

/// How long the former home's goodbye is waited for.
const GOODBYE_WAIT: Duration = Duration::from_secs(5);
/// How long the former home's messages may be under way, and how long the move explains what its server does.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);
/// The wait after a rename doubles this many times at most: 5 s become 320 s.
const DOUBLINGS_MAX: u8 = 6;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerHome {
    home: Peer,
    /// Parts that were on their way over its link.
    in_doubt: FieldSet,
    /// Messages that the server has yet to answer there.
    unanswered: u32,
    /// Until then nothing is said to the server.
    silent_until: Option<Instant>,
    /// When all of this is past.
    until: Instant,
    /// How often the server has renamed the agent.
    renames: u8,
    /// The agent is introduced again because the former home's link has ended.
    link_ended: bool,
}

impl FormerHome {
    /// These parts may be under way at a home before the last one, of which nothing more is known.
    pub(super) fn unknown(in_doubt: FieldSet, now: Instant) -> Self {
        Self::new(Peer::UNKNOWN, (in_doubt, 0), now)
    }

    /// A session has moved here from `home`, and these parts were on their way, in this many messages.
    pub(super) fn new(home: Peer, (in_doubt, unanswered): (FieldSet, u32), now: Instant) -> Self {
        Self {
            home,
            in_doubt,
            unanswered,
            silent_until: None,
            until: now + REMEMBERED_FOR,
            renames: 0,
            link_ended: false,
        }
    }

    /// Which node it is.
    pub(super) const fn home(&self) -> Peer {
        self.home
    }

    /// The former home says goodbye first.
    pub(super) fn wait_for_goodbye(&mut self, now: Instant) {
        self.silent_until = Some(now + GOODBYE_WAIT);
    }

    /// Whether nothing may be said to the server yet.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    /// The same, as far as it has been noticed.
    pub(super) const fn holds_back(&self) -> bool {
        self.silent_until.is_some()
    }

    /// When something changes by itself.
    pub(super) fn deadline(&self) -> Instant {
        self.silent_until.map_or(self.until, |silent| silent.min(self.until))
    }

    /// The server has answered a message on a link of `home`.
    pub(super) fn answered(&mut self, home: Peer) -> FieldSet {
        if home != self.home || self.unanswered == 0 {
            return FieldSet::EMPTY;
        }
        self.unanswered -= 1;
        if self.unanswered == 0 { self.take_doubt() } else { FieldSet::EMPTY }
    }

    /// The link of `home` has ended, or it has said goodbye there. Returns the parts to tell again.
    pub(super) fn link_ended(&mut self, home: Peer, now: Instant) -> FieldSet {
        self.silent_until = None;
        self.link_ended = true;
        self.until = self.until.max(now + REMEMBERED_FOR);
        if home != self.home {
            return FieldSet::EMPTY;
        }
        self.unanswered = 0;
        self.take_doubt()
    }

    /// The server has taken the agent for another one, because it still has it elsewhere. It is introduced later.
    pub(super) fn renamed(&mut self, now: Instant) {
        let wait = GOODBYE_WAIT * (1 << self.renames.min(DOUBLINGS_MAX));
        self.renames = self.renames.saturating_add(1);
        self.silent_until = Some(now + wait);
        self.until = now + wait + REMEMBERED_FOR;
    }

    /// Time has passed. Returns the parts to tell again.
    pub(super) fn pass_time(&mut self, now: Instant) -> FieldSet {
        self.silent_until.take_if(|until| *until <= now);
        if self.until <= now { self.take_doubt() } else { FieldSet::EMPTY }
    }

    /// Whether a message may be under way there that the server has yet to answer.
    pub(super) fn awaits_answer(&self, now: Instant) -> bool {
        self.unanswered > 0 && now < self.until
    }

    /// Whether all of this is past.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        self.until <= now && self.silent_until.is_none() && self.in_doubt.is_empty()
    }

    /// Whether the agent is being introduced again because the former home's link has ended.
    pub(super) const fn introduces_again(&self) -> bool {
        self.link_ended
    }

    const fn take_doubt(&mut self) -> FieldSet {
        std::mem::replace(&mut self.in_doubt, FieldSet::EMPTY)
    }
}

/// Whether nothing may be said to the server yet.
pub(super) fn is_held_back(session: &Session, now: Instant) -> bool {
    former_home(session).is_some_and(|former| former.is_silent(now))
}

/// What is still under way at the former home.
pub(super) fn former_home(session: &Session) -> Option<&FormerHome> {
    session.cold.as_ref().and_then(|cold| cold.former_home.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::field_set::agent_field;

    const HEALTH: FieldSet = FieldSet::of(&[agent_field::HEALTH]);
    const SECOND: Duration = Duration::from_secs(1);

    fn home() -> Peer {
        Peer::of(crate::core::ownership::NodeIncarnation::new(5).unwrap())
    }

    fn other() -> Peer {
        Peer::of(crate::core::ownership::NodeIncarnation::new(6).unwrap())
    }

    #[test]
    fn what_was_on_its_way_is_told_again_when_its_fate_is_known() {
        let now = crate::clock::now();
        let mut former = FormerHome::new(home(), (HEALTH, 2), now);
        assert!(!former.is_silent(now));
        for of in [other(), home(), other()] {
            assert_eq!(former.answered(of), FieldSet::EMPTY);
        }
        assert_eq!(former.answered(home()), HEALTH);
        assert_eq!(former.answered(home()), FieldSet::EMPTY);
        let mut former = FormerHome::new(home(), (HEALTH, 2), now);
        assert_eq!(former.link_ended(other(), now), FieldSet::EMPTY);
        assert_eq!(former.link_ended(home(), now), HEALTH);
        let mut former = FormerHome::new(home(), (HEALTH, 2), now);
        assert_eq!(former.pass_time(now + SECOND * 29), FieldSet::EMPTY);
        assert_eq!(former.pass_time(now + SECOND * 30), HEALTH);
        assert!(former.is_past(now + SECOND * 30));
    }

    #[test]
    fn the_goodbye_is_waited_for_and_not_for_long() {
        let now = crate::clock::now();
        let mut former = FormerHome::new(home(), (FieldSet::EMPTY, 0), now);
        former.wait_for_goodbye(now);
        assert!(former.is_silent(now + SECOND * 4) && !former.is_silent(now + SECOND * 5));
        assert_eq!(former.deadline(), now + SECOND * 5);
        former.pass_time(now + SECOND * 5);
        assert_eq!(former.deadline(), now + SECOND * 30);
        let mut former = FormerHome::new(home(), (FieldSet::EMPTY, 0), now);
        former.wait_for_goodbye(now);
        former.link_ended(other(), now + SECOND);
        assert!(!former.is_silent(now + SECOND) && former.introduces_again());
    }

    #[test]
    fn a_renamed_agent_is_introduced_later_each_time() {
        let now = crate::clock::now();
        let mut former = FormerHome::new(home(), (FieldSet::EMPTY, 0), now);
        for wait in [5, 10, 20, 40, 80, 160, 320, 320] {
            former.renamed(now);
            assert_eq!(former.deadline(), now + SECOND * wait);
        }
    }
}
