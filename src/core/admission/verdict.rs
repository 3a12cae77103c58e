//! What admission decides, and every way in which an arrival can end.

use std::time::{Duration, Instant};

use super::arrival::Ticket;

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionVerdict {
    /// It is admitted: serve it.
    Admit,
    /// It is let in without an entry: serve its request.
    Pass(PassReason),
    /// It waits unanswered until [`Admission::poll`](super::Admission::poll) decides on its ticket. If the
    /// agent goes away meanwhile: [`Admission::leave`](super::Admission::leave).
    Park {
        /// Its place.
        ticket: Ticket,
        /// When it will be refused at the latest, provided that `poll` is called.
        until: Instant,
    },
    /// It has to come again.
    Refuse(Refusal),
}

/// What becomes of a parked arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkVerdict {
    /// It is admitted: serve it.
    Admit,
    /// It has a session, and owes no entry: serve its request.
    Pass,
    /// It has waited too long and has to come again.
    Refuse(Refusal),
}

/// Why an arrival is let in without an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PassReason {
    /// Its agent has a session.
    Session,
    /// Its client gives up before it could be told anything.
    Untold,
}

/// How an arrival is refused, in the form that its client obeys; then its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// How long the answer is held back. Above zero it occupies one of a bounded number of places until
    /// [`Admission::hold_ended`](super::Admission::hold_ended).
    pub hold: Duration,
    /// What the answer says, in whole seconds, at least one. It counts from when the answer is sent.
    pub retry_after: Duration,
}

/// Why an arrival is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The park is full.
    ParkFull,
    /// This node has hardly capacity for another connection, or the table of sessions is full.
    NoRoom,
    /// The free places of the park are reserved for other sources: this one is over its share.
    SourceShare,
    /// It was parked for as long as is allowed.
    ParkTtl,
    /// It has a reservation and came before it, while all places are taken.
    BeforeItsTime,
    /// This node drains: the agent comes again, to another node.
    Closing,
    /// The machine has no more to spare for clients that can be told nothing.
    Overload,
}

/// Every way in which an arrival can end. Each arrival has exactly one; those still parked have yet to get
/// theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Admitted at once.
    Admitted,
    /// Admitted after having been parked.
    AdmittedFromPark,
    /// Let in without an entry.
    Passed(PassReason),
    /// Refused.
    Refused(Reason),
    /// The agent had gone away before its moment came.
    Left,
    /// It ended before it asked, or was answered otherwise (404, 431, ...) before it could.
    NotAsked,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Admitted,
        Self::AdmittedFromPark,
        Self::Passed(PassReason::Session),
        Self::Passed(PassReason::Untold),
        Self::Refused(Reason::ParkFull),
        Self::Refused(Reason::NoRoom),
        Self::Refused(Reason::SourceShare),
        Self::Refused(Reason::ParkTtl),
        Self::Refused(Reason::BeforeItsTime),
        Self::Refused(Reason::Closing),
        Self::Refused(Reason::Overload),
        Self::Left,
        Self::NotAsked,
    ];

    /// For a label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::AdmittedFromPark => "admitted_from_park",
            Self::Passed(PassReason::Session) => "passed_session",
            Self::Passed(PassReason::Untold) => "passed_untold",
            Self::Refused(Reason::NoRoom) => "refused_no_room",
            Self::Refused(Reason::ParkFull) => "refused_park_full",
            Self::Refused(Reason::SourceShare) => "refused_source_share",
            Self::Refused(Reason::ParkTtl) => "refused_park_ttl",
            Self::Refused(Reason::BeforeItsTime) => "refused_before_its_time",
            Self::Refused(Reason::Closing) => "refused_closing",
            Self::Refused(Reason::Overload) => "refused_overload",
            Self::Left => "left",
            Self::NotAsked => "not_asked",
        }
    }
}

impl AdmissionVerdict {
    /// How the arrival has ended; empty while it is parked.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Admit => Some(Outcome::Admitted),
            Self::Pass(pass) => Some(Outcome::Passed(pass)),
            Self::Park { .. } => None,
            Self::Refuse(refusal) => Some(Outcome::Refused(refusal.reason)),
        }
    }
}

impl ParkVerdict {
    /// How the arrival has ended.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Admit => Outcome::AdmittedFromPark,
            Self::Pass => Outcome::Passed(PassReason::Session),
            Self::Refuse(refusal) => Outcome::Refused(refusal.reason),
        }
    }
}
