//! The classes in which a session waits for a permit of its server, and what a permit is owed to. Knows
//! nothing of the pacer, which grants them.

use crate::core::pacing::Class;

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSet(u8);

impl ClassSet {
    /// The empty set.
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

    /// Members of this set alone.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the class is a member.
    pub const fn contains(self, class: Class) -> bool {
        self.0 & Self::bit(class) != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number, for a record.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// The set of which [`ClassSet::bits`] gave this number; `None` if it names a class that there is not.
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        if bits >> Class::ALL.len() == 0 { Some(Self(bits)) } else { None }
    }

    /// The members, most urgent first.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

/// What a session's record says of its permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitsRecord {
    /// The classes in which it stands in its server's queue. A home that takes the session over enqueues it
    /// in them.
    pub queued: ClassSet,
    /// The server is to hear that the agent is there.
    pub announce_due: bool,
    /// A permit is reserved for the agent's answer.
    pub answer_goes_first: bool,
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Permits {
    /// The classes in which the session stands in its server's queue: it stands there once in each.
    queued: ClassSet,
    /// The server is to hear that the agent is there (R9).
    announce_due: bool,
    /// A permit went unused because only the agent has what was to be sent. The agent's answer uses it.
    answer_goes_first: bool,
}

impl Permits {
    /// The classes in which the session waits.
    pub(super) const fn queued(&self) -> ClassSet {
        self.queued
    }

    /// The pacer has taken the session out of its queue.
    pub(super) const fn dequeued(&mut self, class: Class) {
        self.queued.remove(class);
    }

    /// The pacer keeps, or puts, the session in its queue.
    pub(super) const fn stays_queued(&mut self, class: Class) {
        self.queued.insert(class);
    }

    /// The session has moved: it stands in no queue of this node's yet.
    pub(super) const fn leave_queues(&mut self) {
        self.queued = ClassSet::EMPTY;
    }

    /// Adds the classes that are wanted and says which of them are new.
    pub(super) const fn want(&mut self, wanted: ClassSet) -> ClassSet {
        let new = wanted.minus(self.queued);
        self.queued = self.queued.union(new);
        new
    }

    /// Whether the server is to hear of the agent.
    pub(super) const fn announce_due(&self) -> bool {
        self.announce_due
    }

    /// The server is to hear of the agent when the session gets a permit.
    pub(super) const fn announce_later(&mut self) {
        self.announce_due = true;
    }

    /// A message went: with it the server has heard of the agent.
    pub(super) const fn announced(&mut self) {
        self.announce_due = false;
    }

    /// The permit of now waits for the agent's answer.
    pub(super) const fn reserve_for_answer(&mut self) {
        self.answer_goes_first = true;
    }

    /// Uses the reserved permit, if there is one.
    pub(super) const fn take_reserved(&mut self) -> bool {
        std::mem::replace(&mut self.answer_goes_first, false)
    }

    pub(super) const fn to_record(self) -> PermitsRecord {
        let Self { mut queued, announce_due, answer_goes_first } = self;
        // The next home hears for itself that the agent is alive.
        queued.remove(Class::Liveness);
        PermitsRecord { queued, announce_due, answer_goes_first }
    }

    pub(super) const fn from_record(record: &PermitsRecord) -> Self {
        let PermitsRecord { queued, announce_due, answer_goes_first } = *record;
        Self { queued, announce_due, answer_goes_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stands_in_each_class_once() {
        let mut permits = Permits::default();
        let mut wanted = ClassSet::EMPTY;
        wanted.insert(Class::Change);
        wanted.insert(Class::Urgent);
        assert_eq!(permits.want(wanted), wanted);
        assert_eq!(permits.want(wanted), ClassSet::EMPTY);
        permits.dequeued(Class::Change);
        assert_eq!(permits.want(wanted).iter().collect::<Vec<_>>(), [Class::Change]);
        let queued: Vec<_> = permits.queued().iter().collect();
        assert_eq!(queued, [Class::Urgent, Class::Change], "the most urgent first");
    }

    #[test]
    fn a_reserved_permit_is_used_once() {
        let mut permits = Permits::default();
        assert!(!permits.take_reserved());
        permits.reserve_for_answer();
        assert!(permits.take_reserved() && !permits.take_reserved());
        permits.announce_later();
        assert!(permits.announce_due());
        permits.announced();
        assert!(!permits.announce_due());
    }
}
