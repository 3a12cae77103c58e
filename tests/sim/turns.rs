//! Who gets its turn at a server next, and whether a message may go at once: the pace's part of the
//! simulation, in one place. A plain queue and chance for now.

use std::collections::VecDeque;

use seawall::core::pacing::{Admission, Class};
use seawall::ident::InstanceUid;

use crate::random::Random;

/// What waits for one server.
#[derive(Debug)]
pub(crate) struct Turns {
    waiting: VecDeque<(InstanceUid, Class)>,
    random: Random,
    /// How many of a hundred messages have to wait for a turn.
    pub(crate) refusals: u64,
}

impl Turns {
    pub(crate) const fn new(random: Random, refusals: u64) -> Self {
        Self { waiting: VecDeque::new(), random, refusals }
    }

    /// Whether a message that has just come may go to the server at once.
    pub(crate) const fn admit(&mut self) -> Admission {
        if self.random.percent(self.refusals) {
            return Admission::Wait { soon: self.random.percent(50) };
        }
        Admission::Go
    }

    /// A session stands in each class once at most.
    pub(crate) fn push(&mut self, uid: InstanceUid, class: Class) {
        if !self.waiting.contains(&(uid, class)) {
            self.waiting.push_back((uid, class));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(InstanceUid, Class)> {
        self.waiting.pop_front()
    }

    /// Takes everything, for another server.
    pub(crate) fn drain(&mut self) -> VecDeque<(InstanceUid, Class)> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
