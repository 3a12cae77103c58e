//! What a session waits for at its server, and what it does when its turn comes: one message.

use std::time::{Duration, Instant};

use super::picture::says_something;
use super::{Presence, Route, Session};
use crate::core::pacing::Class;
use crate::opamp::field_set::FieldSet;

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSet(u8);

impl ClassSet {
    /// No class.
    pub const EMPTY: Self = Self(0);

    const fn bit(class: Class) -> u8 {
        1 << class.index()
    }

    /// Adds a class.
    pub const fn insert(&mut self, class: Class) {
        self.0 |= Self::bit(class);
    }

    /// Takes a class out.
    pub const fn remove(&mut self, class: Class) {
        self.0 &= !Self::bit(class);
    }

    /// Members of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of this set that are not in the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the class is a member.
    pub const fn contains(self, class: Class) -> bool {
        self.0 & Self::bit(class) != 0
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, most urgent first.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

/// What a session does when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is left to do.
    Nothing,
    /// Ask the agent for its full state or its component map, by these flags.
    AskAgent(u64),
    /// Introduce the agent to this incarnation of the server, or say that it is alive.
    Announce,
    /// Send these parts of the agent's state from what is kept; [`Session::lacks`] if they are not.
    Report(FieldSet),
    /// Send what waited first: [`Session::first_pending`].
    OneShot,
    /// Tell the server that the agent has left.
    Disconnect,
}

impl Session {
    /// As what the session has to be put into its server's queue.
    pub fn wanted_turns(&self) -> ClassSet {
        let mut wanted = ClassSet::EMPTY;
        if self.is_gone() {
            return wanted;
        }
        let leaves = self.presence == Presence::Disconnecting;
        if leaves || self.has_pending() {
            wanted.insert(Class::Urgent);
        }
        if !leaves && self.owes_full_state() {
            wanted.insert(Class::FullState);
        } else if !leaves && says_something(self.owed_parts()) {
            wanted.insert(Class::Change);
        }
        if !leaves && (self.announce_due || self.owes_capabilities()) {
            wanted.insert(Class::Announce);
        }
        if self.wants_to_ask() && self.is_present() {
            wanted.insert(Class::Ask);
        }
        wanted.minus(self.queued)
    }

    /// Whether the agent has to be introduced on `route`, having spoken before.
    pub fn needs_introduction(&self, route: Option<Route>) -> bool {
        let leaves = matches!(self.presence, Presence::Disconnecting | Presence::Gone);
        self.sent_on.is_some() && !self.is_introduced(route) && !leaves
    }

    /// The heartbeat that the server was to hear could not go on now (R9).
    pub const fn announce_later(&mut self) {
        self.announce_due = true;
    }

    /// Has the server asked, in the session's turn, whether it has something for the agent. `false`: it
    /// is asked already, or has heard of the agent less than `silence` ago.
    pub fn poll_server(&mut self, silence: Duration, now: Instant) -> bool {
        let lately = self.sent_at.is_some_and(|at| now.saturating_duration_since(at) < silence);
        if lately || self.announce_due {
            return false;
        }
        self.announce_due = true;
        true
    }

    /// The session's turn has come on a link that is up. `state_lost`: the server has asked
    /// for everything wherever it was told of an agent, and so it will this time.
    pub fn turn(&mut self, class: Class, route: Route, state_lost: bool, now: Instant) -> Turn {
        self.note_incarnation(route);
        let leaves = matches!(self.presence, Presence::Disconnecting | Presence::Gone);
        match class {
            Class::Ask if self.wants_to_ask() && self.is_present() => Turn::AskAgent(self.ask(now)),
            Class::Urgent if self.has_pending() => Turn::OneShot,
            Class::Urgent if self.presence == Presence::Disconnecting => Turn::Disconnect,
            Class::Change | Class::FullState | Class::Announce if !leaves => {
                self.state_turn(class, route, state_lost)
            }
            _ => Turn::Nothing,
        }
    }

    /// What waits in one class may go with another's turn: a change introduces the agent. If it would
    /// pass for the whole state, the whole state does: a server that has lost the agent would not
    /// know that there is more.
    fn state_turn(&mut self, class: Class, route: Route, state_lost: bool) -> Turn {
        let introduces = self.needs_introduction(Some(route));
        // What has introduced it may have been refused: then a touch is due, and nothing held.
        let knows_nothing = self.picture.as_ref().is_some_and(|picture| picture.holds_nothing());
        let introduces_again = introduces || self.announce_due && knows_nothing;
        if let Some(picture) = &mut self.picture
            && (introduces && state_lost || introduces_again && picture.passes_for_all())
        {
            picture.owe_all();
        }
        let owed = self.owed_parts();
        if says_something(owed) {
            return Turn::Report(owed);
        }
        if class == Class::Announce && (self.owes_announce(route) || self.owes_capabilities()) {
            return Turn::Announce;
        }
        Turn::Nothing
    }

    /// Whether the server is to hear of the agent, also where there is nothing to say of it.
    pub(super) fn owes_announce(&self, route: Route) -> bool {
        self.announce_due || self.needs_introduction(Some(route))
    }

    /// Whether the server is to get the agent's capabilities, with which nothing else goes: a touch
    /// has them, as every message does.
    fn owes_capabilities(&self) -> bool {
        let owed = self.owed_parts();
        !owed.is_empty() && !says_something(owed) && !self.has_pending()
    }
}
