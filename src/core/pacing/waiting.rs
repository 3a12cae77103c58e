//! The sessions that wait, each class in order of arrival, and which class is next.
//!
//! Stride scheduling: a class has a *pass*, which each permit moves on by its stride, the inverse of
//! its weight; the lowest pass is next. A class that was empty joins at the present pass, so that
//! it gets its share from now on and no more.
//!
//! A session stands at most once in a class at a time, which the session itself sees to, so the table
//! of sessions bounds what waits here.

use std::collections::VecDeque;

use super::Class;
use crate::ident::InstanceUid;

/// The least common multiple of the weights: every stride is whole.
const STRIDE_OF_WEIGHT_ONE: u64 = 8;

/// An emptied queue that had room for more gives its memory back: storms are rare.
const KEPT_CAPACITY: usize = 1024;

/// A class's share of the server's pace, relative to the others that have something to say.
///
/// Each class gets twice what the next one does: what is said once before what has just changed, that
/// before the catching up, and full states before announcements, since each announcement may make the
/// server ask for another full state.
pub(super) const fn weight(class: Class) -> u64 {
    match class {
        Class::Urgent => 8,
        Class::Change => 4,
        Class::FullState => 2,
        // An Ask has a pace of its own; its weight plays no part.
        Class::Announce | Class::Liveness | Class::Ask => 1,
    }
}

const fn stride(class: Class) -> u64 {
    STRIDE_OF_WEIGHT_ONE / weight(class)
}

#[derive(Debug, Default)]
struct ClassQueue {
    sessions: VecDeque<InstanceUid>,
    pass: u64,
}

/// What waits, by class.
#[derive(Debug, Default)]
pub(super) struct WaitingSessions {
    queues: [ClassQueue; Class::ALL.len()],
    /// The pass of the class that went last.
    pass: u64,
}

impl WaitingSessions {
    pub(super) fn push(&mut self, uid: InstanceUid, class: Class) {
        let present = self.pass;
        let queue = &mut self.queues[class.index()];
        if queue.sessions.is_empty() {
            queue.pass = queue.pass.max(present);
        }
        queue.sessions.push_back(uid);
    }

    /// The next session that the server's pace is for. `liveness`: it may be one whose agent is alive.
    pub(super) fn pop_paced(&mut self, liveness: bool) -> Option<(InstanceUid, Class)> {
        let waits = |class: &Class| !self.queues[class.index()].sessions.is_empty();
        // The first of equals is the most urgent.
        let classes = Class::PACED.into_iter().chain(liveness.then_some(Class::Liveness));
        let class = classes.filter(waits).min_by_key(|c| self.queues[c.index()].pass)?;
        let uid = self.pop(class)?;
        let queue = &mut self.queues[class.index()];
        self.pass = queue.pass;
        queue.pass += stride(class);
        Some((uid, class))
    }

    pub(super) fn pop_ask(&mut self) -> Option<InstanceUid> {
        self.pop(Class::Ask)
    }

    fn pop(&mut self, class: Class) -> Option<InstanceUid> {
        let sessions = &mut self.queues[class.index()].sessions;
        let uid = sessions.pop_front()?;
        if sessions.is_empty() && sessions.capacity() > KEPT_CAPACITY {
            *sessions = VecDeque::new();
        }
        Some(uid)
    }

    /// A permit of this class was left unused: the class keeps its place.
    pub(super) fn refund(&mut self, class: Class) {
        let present = self.pass;
        let queue = &mut self.queues[class.index()];
        queue.pass = queue.pass.saturating_sub(stride(class)).max(present);
    }

    /// How many permits pass until a session enqueued now in `class` has had its own, as things stand.
    pub(super) fn permits_until(&self, class: Class) -> u64 {
        let waits = |other: &Class| *other == class || self.len_of(*other) > 0;
        let weights: u64 = Class::PACED.into_iter().filter(waits).map(weight).sum();
        let own = self.len_of(class) as u64 + 1;
        let by_share = (own * weights).div_ceil(weight(class));
        by_share.min(self.len_paced() as u64 + 1)
    }

    pub(super) fn len_of(&self, class: Class) -> usize {
        self.queues[class.index()].sessions.len()
    }

    pub(super) fn len_paced(&self) -> usize {
        Class::PACED.into_iter().map(|class| self.len_of(class)).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.len_paced() + self.len_of(Class::Ask) + self.len_of(Class::Liveness)
    }

    pub(super) fn drain(&mut self) -> Vec<(InstanceUid, Class)> {
        let mut all = Vec::with_capacity(self.len());
        for class in Class::ALL {
            let sessions = std::mem::take(&mut self.queues[class.index()].sessions);
            all.extend(sessions.into_iter().map(|uid| (uid, class)));
        }
        all
    }
}
