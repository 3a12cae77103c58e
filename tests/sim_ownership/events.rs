//! What can happen in a story, and the order in which it does: the soonest first, and of two events of one moment
//! the one that was noted first.

use std::cmp::Ordering;

use seawall::core::ownership::{CallId, ShardId};

use crate::process::Key;
use crate::world::Time;

/// What happens next. Whatever it names may be gone by then.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A node's process starts, looks at the time, goes on after a stop.
    Start(usize),
    Tick(Key),
    Resume(Key),
    /// A call arrives at the store, its answer at the node, its time is over.
    CallArrives(u64),
    AnswerArrives(u64),
    ErrorArrives(Key, CallId),
    CallDue(Key, CallId),
    /// A message arrives at the other end of a node link.
    MessageArrives(u64),
    /// The records of a shard have arrived.
    Received(Key, ShardId),
    /// A fault ends.
    StoreStarts,
    StoreHeals,
    SplitEnds,
    NodeHeals(usize),
    LinksHeal(usize, usize),
    /// The oracle looks at everything.
    Observe,
    Fault,
    /// From here on everything works.
    Calm,
    /// In the calm: a node dies, and starts again.
    CalmCrash,
    CalmStart,
}

/// An event and its moment.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) at: Time,
    /// Tells two events of the same moment apart: the one noted first happens first.
    pub(crate) order: u64,
    pub(crate) event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The soonest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
