//! What can happen in a story.

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
