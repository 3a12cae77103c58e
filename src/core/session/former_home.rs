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
//! What was on its way over a former home's link may arrive after what this node says. So it is told again when
//! its fate is known, 30 s later at most. All of this goes on if the session moves on.

use std::time::{Duration, Instant};

use super::doubts::{Doubt, Doubts};
use super::former_links::FormerLink;
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
    pub(super) home: Peer,
    /// What was on its way over links of former homes.
    pub(super) doubts: Doubts,
    /// Until then nothing is said to the server.
    pub(super) silent_until: Option<Instant>,
    /// When all of this is past.
    pub(super) until: Instant,
    /// How often the server has renamed the agent.
    pub(super) renames: u8,
}

impl FormerHome {
    /// A session has moved here from `home`.
    pub(super) fn new(home: Peer, now: Instant) -> Self {
        Self {
            home,
            doubts: Doubts::default(),
            silent_until: None,
            until: now + REMEMBERED_FOR,
            renames: 0,
        }
    }

    /// The session has moved on, from `home`.
    pub(super) const fn moved_on(&mut self, home: Peer) {
        self.home = home;
    }

    /// This was on its way there.
    pub(super) fn doubt(&mut self, doubt: Doubt, now: Instant) {
        self.doubts.add(doubt);
        self.until = self.until.max(now + REMEMBERED_FOR);
    }

    /// The answers of `home` come another way, and are told apart no more.
    pub(super) fn lose_sight_of(&mut self, home: Peer) {
        self.doubts.lose_sight_of(home);
    }

    /// Which node it is.
    pub(super) const fn home(&self) -> Peer {
        self.home
    }

    /// Whether something was on its way over links of `home`.
    pub(super) fn doubts(&self, home: Peer) -> bool {
        self.doubts.iter().any(|doubt| doubt.home == home)
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

    /// The server has answered a message on a link of `home`. Returns the parts to tell again.
    pub(super) fn answered(&mut self, home: Peer) -> FieldSet {
        self.doubts.answered(home)
    }

    /// Links of which `has_ended` says so have ended, or a goodbye was said there. Returns the parts to tell again.
    pub(super) fn links_ended(
        &mut self,
        has_ended: impl Fn(FormerLink) -> bool,
        now: Instant,
    ) -> FieldSet {
        self.silent_until = None;
        self.until = self.until.max(now + REMEMBERED_FOR);
        self.settle(has_ended)
    }

    /// The same, where the server remembers the agent all the same.
    pub(super) fn settle(&mut self, has_ended: impl Fn(FormerLink) -> bool) -> FieldSet {
        let link = |doubt: Doubt| FormerLink { home: doubt.home, incarnation: doubt.incarnation };
        self.doubts.settle(|doubt| has_ended(link(doubt)))
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
        if self.until <= now { self.doubts.settle(|_| true) } else { FieldSet::EMPTY }
    }

    /// Whether a message may be under way there that the server has yet to answer.
    pub(super) fn awaits_answer(&self, now: Instant) -> bool {
        self.doubts.iter().any(|doubt| doubt.unanswered > 0) && now < self.until
    }

    /// Whether all of this is past.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        self.until <= now && self.silent_until.is_none() && self.doubts.is_empty()
    }
}

/// Whether nothing may be said to the server yet.
pub(super) fn is_held_back(session: &Session, now: Instant) -> bool {
    let awaits = session.cold.as_ref().and_then(|cold| cold.awaits_all);
    awaits.is_some_and(|until| now < until)
        || former_home(session).is_some_and(|former| former.is_silent(now))
}

/// What is still under way at the former home.
pub(super) fn former_home(session: &Session) -> Option<&FormerHome> {
    session.cold.as_ref().and_then(|cold| cold.former_home.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Incarnation;
    use crate::opamp::field_set::agent_field;

    const HEALTH: FieldSet = FieldSet::of(&[agent_field::HEALTH]);
    const SECOND: Duration = Duration::from_secs(1);

    fn home() -> Peer {
        Peer::of(crate::core::ownership::NodeIncarnation::new(5).unwrap())
    }

    fn other() -> Peer {
        Peer::of(crate::core::ownership::NodeIncarnation::new(6).unwrap())
    }

    fn in_doubt(now: Instant) -> FormerHome {
        let mut former = FormerHome::new(home(), now);
        let (incarnation, parts) = (Incarnation(3), HEALTH);
        former.doubt(Doubt { home: home(), incarnation, parts, unanswered: 2 }, now);
        former
    }

    #[test]
    fn what_was_on_its_way_is_told_again_when_its_fate_is_known() {
        let now = crate::clock::now();
        let mut former = in_doubt(now);
        assert!(!former.is_silent(now) && former.doubts(home()) && !former.doubts(other()));
        for of in [other(), home(), other()] {
            assert_eq!(former.answered(of), FieldSet::EMPTY);
        }
        assert_eq!(former.answered(home()), HEALTH);
        assert_eq!(former.answered(home()), FieldSet::EMPTY);
        let mut former = in_doubt(now);
        assert_eq!(former.links_ended(|link| link.home == other(), now), FieldSet::EMPTY);
        assert_eq!(former.links_ended(|link| link.incarnation.0 < 3, now), FieldSet::EMPTY);
        assert_eq!(former.links_ended(|link| link.incarnation.0 == 3, now), HEALTH);
        let mut former = in_doubt(now);
        assert_eq!(former.pass_time(now + SECOND * 29), FieldSet::EMPTY);
        assert_eq!(former.pass_time(now + SECOND * 30), HEALTH);
        assert!(former.is_past(now + SECOND * 30));
    }

    #[test]
    fn what_was_on_its_way_stays_so_when_the_session_moves_on() {
        let now = crate::clock::now();
        let mut former = in_doubt(now);
        former.moved_on(other());
        assert_eq!(former.home(), other());
        assert_eq!(former.answered(other()), FieldSet::EMPTY);
        former.answered(home());
        assert_eq!(former.answered(home()), HEALTH);
    }

    #[test]
    fn the_goodbye_is_waited_for_and_not_for_long() {
        let now = crate::clock::now();
        let mut former = FormerHome::new(home(), now);
        former.wait_for_goodbye(now);
        assert!(former.is_silent(now + SECOND * 4) && !former.is_silent(now + SECOND * 5));
        assert_eq!(former.deadline(), now + SECOND * 5);
        former.pass_time(now + SECOND * 5);
        assert_eq!(former.deadline(), now + SECOND * 30);
        let mut former = FormerHome::new(home(), now);
        former.wait_for_goodbye(now);
        former.links_ended(|_| true, now + SECOND);
        assert!(!former.is_silent(now + SECOND));
    }

    #[test]
    fn a_renamed_agent_is_introduced_later_each_time() {
        let now = crate::clock::now();
        let mut former = FormerHome::new(home(), now);
        for wait in [5, 10, 20, 40, 80, 160, 320, 320] {
            former.renamed(now);
            assert_eq!(former.deadline(), now + SECOND * wait);
        }
    }
}
