//! The words by which the metrics of a node of a fleet are split.

use crate::telemetry::label::label;

label! {
    /// By what right a node speaks to servers, or why it holds still.
    pub(crate) enum StandingLabel("standing") {
        /// Its lease is valid.
        Leased = "leased",
        /// Every other member confirms it.
        Confirmed = "confirmed",
        /// It is the only member.
        Lone = "lone",
        /// It holds still: it is no member.
        NoMember = "no_member",
        /// It holds still: some member does not confirm it.
        Unconfirmed = "unconfirmed",
        /// It holds still: it may have been taken over unnoticed.
        InDoubt = "in_doubt",
        /// It holds still: it is the only member.
        Alone = "alone",
        /// It holds still: it has gone on without the store for as long as it may.
        AutonomyOver = "autonomy_over",
    }
}

label! {
    /// How a call to the store ended.
    pub(crate) enum StoreCallResult("result") {
        /// The store answered.
        Answered = "answered",
        /// No answer: the call may have been carried out.
        Unknown = "unknown",
        /// The call was not sent.
        Unreachable = "unreachable",
        /// The store refused it.
        Refused = "refused",
        /// A value in the store is no value of Seawall's.
        Corrupt = "corrupt",
    }
}

label! {
    /// What the store was called for.
    pub(crate) enum StoreCallKind("call") {
        /// To read everything.
        Read = "read",
        /// To renew the lease.
        Renew = "renew",
        /// To change members or homes.
        Change = "change",
    }
}

label! {
    /// How a shard's hand-over ended.
    pub(crate) enum HandOverResult("result") {
        /// Another node is its home now.
        Given = "given",
        /// It stays here.
        Stayed = "stayed",
        /// This node is its home now, and has its sessions.
        Taken = "taken",
        /// What came here of it is of no use.
        Void = "void",
    }
}

label! {
    /// What happened to a shard.
    pub(crate) enum ShardStep("step") {
        /// It is at home here, and was at home nowhere before.
        FirstHome = "first_home",
        /// It is at home here, without its sessions.
        TakenOver = "taken_over",
        /// It is at home here, with its sessions.
        HandedToUs = "handed_to_us",
        /// It is at home here no longer.
        Released = "released",
        /// It is about to be handed over.
        Frozen = "frozen",
        /// It stays after all.
        Unfrozen = "unfrozen",
        /// Its sessions are on their way here.
        Receiving = "receiving",
        /// They were in vain.
        Discarded = "discarded",
    }
}
