//! Deliberate breaches of the rules R1 to R9 (docs/PROTOCOL.md), of admission, of the drain, of mode
//! `http`, of ownership and of attachments, one at a time, which the simulations must notice: a check proves
//! something only if it has been seen to complain. Rank 0: it stands alone.
//!
//! The code asks [`is_on`] where it would break a rule. In a build outside of the feature
//! `simulation` that is the constant `false`, and the compiler removes it.

/// One way to break one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// A report that says something new is answered here as if the server had it.
    R1SuppressesNews,
    /// A report goes on though the server has all that it says.
    R1ForwardsUnchanged,
    /// A compressed report lacks a part that changed.
    R2DropsChange,
    /// A report of which a part changed goes on whole.
    R2SendsUnchanged,
    /// A message that waited goes with a number that is used again.
    R3RepeatsNumber,
    /// A message that a link refuses uses a number up.
    R3SkipsNumber,
    /// Every wish for full state is met, however often the same one comes.
    R4MeetsEveryWish,
    /// What the server says late is one more acknowledgement.
    R5AnswersTwice,
    /// An agent whose server is late is left to wait.
    R5NeverAnswers,
    /// A gap in the agent's numbers is overlooked.
    R6IgnoresGap,
    /// An agent that is new to this process is taken to have reported everything to it.
    R6IgnoresRestart,
    /// What a link left unanswered counts as arrived.
    R6IgnoresLostLink,
    /// Of the offers that wait for an agent the first stays, instead of the latest.
    R7KeepsFirst,
    /// What waited for an absent agent is forgotten when it returns.
    R7ForgetsKept,
    /// What was written to an agent counts as read.
    R7ForgetsWritten,
    /// A restart command outlives the process it was meant for.
    R7RestartsNewProcess,
    /// A server's message goes to another agent than the one it names.
    R7WrongAgent,
    /// The loss of a connection is told to the server at once.
    R8TellsAtOnce,
    /// The server is left to believe in an agent whose grace period is over.
    R8NeverTells,
    /// Every heartbeat goes on.
    R9ForwardsAll,
    /// All heartbeats stay here.
    R9ForwardsNone,
    /// A node that drains tells the server of an agent that goes to another node.
    DrainTellsDisconnect,
    /// A node that drains closes connections faster than it may.
    DrainClosesFaster,
    /// A node that drains lets agents go before their servers have answered.
    DrainForgetsUnanswered,
    /// A node that drains drops the goodbye of an agent that leaves for good.
    DrainDropsGoodbye,
    /// Mode `http`: a message is posted while the server wants a pause.
    HttpIgnoresPause,
    /// Mode `http`: a message that the server has put off is dropped.
    HttpDropsThrottled,
    /// Mode `http`: a message that the server refuses goes again.
    HttpRepeatsRefused,
    /// Mode `http`: a message that is lost with its connection counts as taken.
    HttpForgetsLost,
    /// Mode `http`: the second message of a channel that waits goes before the first.
    HttpReordersPosts,
    /// Mode `http`: a failing server stays unprobed.
    HttpNeverProbes,
    /// Mode `http`: only the agents of one part of the interval are polled for.
    HttpNeverPolls,
    /// A node that must hold still goes on speaking to servers.
    HoldStillSpeaks,
    /// Admission admits more arrivals than the rate allows.
    AdmissionPassesRate,
    /// Admission admits arrivals beyond the node's capacity.
    AdmissionPassesCapacity,
    /// Admission gives an agent another reservation in place of the one that it has.
    AdmissionForgetsReservation,
    /// Admission spends an entry on a parked agent that has gone.
    AdmissionDecidesOnGone,
    /// Admission takes the place of a held refusal for ever.
    AdmissionLeaksHold,
    /// Sessions end while admission keeps their agents away.
    AdmissionExcusesNoAbsence,
    /// Ownership: a change that takes a node over goes without the counter that stood still.
    OwnershipTakesWithoutCounter,
    /// Ownership: a node goes on confirming one that it has asked to take over.
    OwnershipAskingLeavesFree,
    /// Ownership: a node asks to take over one that it has just confirmed.
    OwnershipTakesConfirmed,
    /// Ownership: a node confirms whatever the asker holds true.
    OwnershipConfirmsAnyView,
    /// Ownership: a lease counts at once in a store that went back.
    OwnershipTrustsStoreThatWentBack,
    /// Ownership: a lease counts though a member's store is another one.
    OwnershipIgnoresOtherRuns,
    /// Ownership: a renewal counts from its answer instead of its sending.
    OwnershipCountsFromAnswer,
    /// Ownership: a lease is measured by the monotonic clock alone.
    OwnershipIgnoresWallClock,
    /// Ownership: a node takes over one that need not know of it.
    OwnershipTakesAsStranger,
    /// Ownership: a node takes what has no home in its first lease time.
    OwnershipTakesInFirstLease,
    /// Ownership: a new home speaks for a shard before it has read that the map gives it.
    OwnershipInstallsUnread,
    /// Ownership: a store that went back is believed, whatever was seen before.
    OwnershipAcceptsLowerEpochs,
    /// Ownership: a change that is not answered counts as refused.
    OwnershipTakesSilenceForNo,
    /// Ownership: the only member goes on without the store, unasked.
    OwnershipLoneSpeaks,
    /// Ownership: what waits for servers is sent after the right to speak was lost.
    OwnershipKeepsWhatWaits,
    /// Ownership: a node that joins asks for nothing.
    OwnershipNeverBalances,
    /// Ownership: a node goes on without a lease that counts for as long as the others confirm it.
    OwnershipAutonomyNeverEnds,
    /// Ownership: a node that was silent when the store went back is as sure of itself as one that spoke.
    OwnershipNeverDoubts,
    /// Ownership: records count of an attempt that came to nothing.
    OwnershipTakesOldAttempt,
    /// Ownership: a node that is to hand over keeps what it has.
    OwnershipHandsNothingOver,
    /// Ownership: a node that has handed over ends its membership, though it was not told to.
    OwnershipHandOverLeaves,
    /// An attachment that goes on takes the session from a later one.
    AttachmentLowerDisplaces,
    /// A home takes a message that it has had once more.
    AttachmentTakesAgain,
    /// A front keeps what was on its way when a link was lost, and never sends it again.
    AttachmentForgetsHeld,
    /// A front passes a late reply on as one more reply.
    AttachmentAnswersTwice,
    /// A front leaves an agent without a reply when its home is out of reach.
    AttachmentForgetsReply,
    /// A front passes on what a former home has for its agent.
    AttachmentTakesOldEpoch,
    /// A newcomer takes the session of a connection whose front was never asked.
    AttachmentDisplacesUnasked,
    /// A front sends a message without the heartbeats that came before it.
    AttachmentHeartbeatsLate,
    /// A home that knows nothing of what came before goes on as if it had had everything.
    AttachmentIgnoresGap,
    /// A home forgets what was on its way to an agent when a link was lost.
    AttachmentForgetsUnwritten,
    /// A connection that attaches late has the session, though its agent has gone on elsewhere.
    AttachmentTakesOld,
}

impl Breach {
    /// Those of attachments, which a simulation of their own must notice.
    pub const OF_ATTACHMENTS: [Self; 11] = [
        Self::AttachmentLowerDisplaces,
        Self::AttachmentTakesAgain,
        Self::AttachmentForgetsHeld,
        Self::AttachmentAnswersTwice,
        Self::AttachmentForgetsReply,
        Self::AttachmentTakesOldEpoch,
        Self::AttachmentDisplacesUnasked,
        Self::AttachmentHeartbeatsLate,
        Self::AttachmentIgnoresGap,
        Self::AttachmentForgetsUnwritten,
        Self::AttachmentTakesOld,
    ];

    /// Those that the simulation of fleets must notice, in the order of the rules.
    pub const ALL: [Self; 39] = [
        Self::R1SuppressesNews,
        Self::R1ForwardsUnchanged,
        Self::R2DropsChange,
        Self::R2SendsUnchanged,
        Self::R3RepeatsNumber,
        Self::R3SkipsNumber,
        Self::R4MeetsEveryWish,
        Self::R5AnswersTwice,
        Self::R5NeverAnswers,
        Self::R6IgnoresGap,
        Self::R6IgnoresRestart,
        Self::R6IgnoresLostLink,
        Self::R7KeepsFirst,
        Self::R7ForgetsKept,
        Self::R7ForgetsWritten,
        Self::R7RestartsNewProcess,
        Self::R7WrongAgent,
        Self::R8TellsAtOnce,
        Self::R8NeverTells,
        Self::R9ForwardsAll,
        Self::R9ForwardsNone,
        Self::AdmissionPassesRate,
        Self::AdmissionPassesCapacity,
        Self::AdmissionForgetsReservation,
        Self::AdmissionDecidesOnGone,
        Self::AdmissionLeaksHold,
        Self::AdmissionExcusesNoAbsence,
        Self::DrainTellsDisconnect,
        Self::DrainClosesFaster,
        Self::DrainForgetsUnanswered,
        Self::DrainDropsGoodbye,
        Self::HttpIgnoresPause,
        Self::HttpDropsThrottled,
        Self::HttpRepeatsRefused,
        Self::HttpForgetsLost,
        Self::HttpReordersPosts,
        Self::HttpNeverProbes,
        Self::HttpNeverPolls,
        Self::HoldStillSpeaks,
    ];

    /// Those of ownership, which the simulation of nodes must notice.
    pub const OWNERSHIP: [Self; 21] = [
        Self::OwnershipTakesWithoutCounter,
        Self::OwnershipAskingLeavesFree,
        Self::OwnershipTakesConfirmed,
        Self::OwnershipConfirmsAnyView,
        Self::OwnershipTrustsStoreThatWentBack,
        Self::OwnershipIgnoresOtherRuns,
        Self::OwnershipCountsFromAnswer,
        Self::OwnershipIgnoresWallClock,
        Self::OwnershipTakesAsStranger,
        Self::OwnershipTakesInFirstLease,
        Self::OwnershipInstallsUnread,
        Self::OwnershipAcceptsLowerEpochs,
        Self::OwnershipTakesSilenceForNo,
        Self::OwnershipLoneSpeaks,
        Self::OwnershipKeepsWhatWaits,
        Self::OwnershipNeverBalances,
        Self::OwnershipAutonomyNeverEnds,
        Self::OwnershipNeverDoubts,
        Self::OwnershipTakesOldAttempt,
        Self::OwnershipHandsNothingOver,
        Self::OwnershipHandOverLeaves,
    ];
}

#[cfg(feature = "simulation")]
mod switch {
    use std::cell::Cell;

    use super::Breach;

    thread_local! {
        static ON: Cell<Option<Breach>> = const { Cell::new(None) };
    }

    /// Switches a breach on for this thread, and any other off.
    pub fn switch(breach: Option<Breach>) {
        ON.set(breach);
    }

    /// Whether this thread breaks a rule in this way.
    pub fn is_on(breach: Breach) -> bool {
        ON.get() == Some(breach)
    }
}

#[cfg(feature = "simulation")]
pub use switch::{is_on, switch};

/// Whether this thread breaks a rule in this way: that is for the simulation's build.
#[cfg(not(feature = "simulation"))]
pub const fn is_on(_: Breach) -> bool {
    false
}
