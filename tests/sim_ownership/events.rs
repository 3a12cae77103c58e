//! What can happen in a story.

use seawall::core::ownership::{CallId, MoveNumber, ShardId};

use crate::process::Key;

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
    /// The sessions of a frozen shard go to its new home; whether they are all there is looked at.
    SessionsGo(Key, ShardId, MoveNumber),
    Received(Key, ShardId, MoveNumber),
    /// A fault ends.
    StoreStarts,
    StoreHeals,
    SplitEnds,
    NodeHeals(usize),
    LinksHeal(usize, usize),
    /// A node that has handed over leaves.
    Leaves(Key),
    SceneGoesOn,
    LinkCut(usize, usize),
    Crash(Key),
    /// The oracle looks at everything.
    Observe,
    Fault,
    /// From here on everything works.
    Calm,
    /// In the calm: a node dies, and starts again.
    CalmCrash,
    CalmStart,
    /// Or it hands over, and leaves.
    CalmHandOver,
    CalmLeave,
}
