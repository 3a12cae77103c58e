//! Who may come in, who waits for it, and when those are to come again who cannot: a storm turned
//! into a queue.
//!
//! What is rationed here is *entry*, connections a second, which protects the gateway's own
//! processor. It is decided after TLS and the request's head, before anything is answered, and it is
//! the last chance to be obeyed: an agent honours `Retry-After` on a 503 before the upgrade and
//! nothing after it (field-notes.md, section 1).
//!
//! ```text
//!            nobody waits, a token is there
//!  arrival ───────────────────────────────────► Admit
//!     │  room in the park        a token, in turn  ▲
//!     ├───────────────────────► Park ──────────────┤
//!     │                          │ ├──► Left       │ the agent went away
//!     │ none, or not for         │ ▼ park_ttl      │
//!     └──────────────────────► Refuse ─────────────┘ it comes again at its slot
//!         those like it
//! ```
//!
//! - [`bucket`](super::bucket): the rate, with one second of burst. What is admitted in any stretch
//!   of time is at most the rate summed over it, and one burst.
//! - `park`: a bounded line, first in, first out. One attempt, one handshake, no identity needed.
//! - `slots`: whoever finds the line full is told to come when its end is in and the rate has room.
//!   More are told than can be let in ([`AdmissionParams::overbook_percent`]): too many costs
//!   attempts, too few costs time.
//! - `keys`: slots kept for those who can be recognised.
//! - Fairness: whoever counts arrivals by source (the edge does, by address and by credential) says
//!   whether a source is over its share, and the last part of the park is not for those.
//! - `automatic_rate`: what the rate is where nobody has set one. `fleet`: how many may be outside.
//!
//! Nothing here knows sockets, tasks, the clock or chance: `now` and random numbers are arguments.
//! Everything is bounded: the park by rate and horizon, the calendar by the longest wait, kept slots
//! and held refusals by number. Under pressure of memory or descriptors one does not get here at
//! all: then nothing more is accepted.
//!
//! What a storm costs is simulated by `loadtest admission-table`. What it has taught:
//! - Whoever errs in the number of those outside should err high: half of it costs nearly an
//!   attempt for each agent. But high costs time if many do not obey (a fifth of the fleet, a storm
//!   of 300 s: 1.00 of the ideal with the true number, 1.8 with twice of it, 2.5 with none).
//! - Those who are parked must not be counted as line and as backlog, and draws inside of the backlog
//!   are overbooked as slots are: with that, those who obey lose no time to those who do not (1.00
//!   instead of 1.16).
//! - A shortest wait above the park's horizon leaves the gate idle for the difference, once a storm.

mod automatic_rate;
mod crowd;
mod decide;
mod fleet;
mod keys;
mod park;
mod share;
mod slots;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

pub use automatic_rate::{AutomaticRate, Observed};
pub use decide::Admission;
pub use fleet::Fleet;
pub use keys::Identity;
pub use park::Ticket;
pub use share::{Cluster, time_for};

/// The bounds of entry at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionParams {
    /// Entries a second, to begin with.
    pub rate: NonZeroU32,
    /// So much of the rate's time may be saved up while nobody comes, and is then let in at once.
    pub burst: Duration,
    /// The park holds what the rate lets in during this time. Zero: nobody is parked.
    pub park_horizon: Duration,
    /// Whoever has been parked for so long is refused with a slot. Below the shortest time after
    /// which an agent, or a proxy before it, gives up: 45 s for opamp-go, 15 s for some proxies.
    pub park_ttl: Duration,
    /// So many more are told to come than can be let in, for some will not: of a hundred. It cannot
    /// be less than none, which is the mistake that costs time.
    pub overbook_percent: u16,
    /// The shortest wait that is told. Beyond the park's horizon the gate stands idle in between.
    pub retry_min: Duration,
    /// The longest wait that is told, counted from the end of the line; also while nobody knows how
    /// many are outside.
    pub wait_max: Duration,
    /// A refusal is held so long at most before it is sent: slows those down who do not obey.
    pub hold_max: Duration,
    /// So many refusals are held at once at most.
    pub held_max: usize,
    /// The part of the park, of a hundred, that is not for sources over their share.
    pub reserve_percent: u8,
    /// What all who are refused are told instead of a slot. Zero, and the wise: slots.
    pub retry_fixed: Duration,
    /// So many slots are kept at most for those who can be recognised.
    pub kept_max: usize,
}

impl AdmissionParams {
    /// The defaults, at a rate.
    pub const fn new(rate: NonZeroU32) -> Self {
        Self {
            rate,
            burst: Duration::from_secs(1),
            park_horizon: Duration::from_secs(20),
            park_ttl: Duration::from_secs(30),
            overbook_percent: 15,
            retry_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(600),
            hold_max: Duration::from_secs(10),
            held_max: 4_096,
            reserve_percent: 25,
            retry_fixed: Duration::ZERO,
            kept_max: 100_000,
        }
    }
}

/// The highest rate that can be set: no machine is meant by more, but a mistake.
pub const RATE_MAX: u32 = 10_000_000;

/// How many more connections the node can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// So many.
    pub free: usize,
    /// The last of them are for those who are refused: were all taken by agents that wait, the others
    /// would get no answer, and nobody would tell them when to come.
    pub reserve: usize,
    /// As many agents are here as may be. One more would be closed after its upgrade, and dial again at
    /// once.
    pub taken: bool,
}

impl Room {
    /// More than anybody needs.
    pub const PLENTY: Self = Self { free: usize::MAX, reserve: 0, taken: false };

    /// Whether another one may stay.
    const fn admits(self) -> bool {
        self.free >= self.reserve && !self.taken
    }

    /// Whether a refusal may be held: it keeps its connection for as long.
    const fn holds(self) -> bool {
        self.free >= self.reserve / 2
    }
}

/// Somebody who wants to come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// More have come from where it comes from than is its share.
    pub over_share: bool,
    /// Who it is, if that can be told already.
    pub identity: Option<Identity>,
}

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in.
    Admit,
    /// It waits, unanswered, until [`Admission::poll`] says what becomes of the ticket. If it goes
    /// away meanwhile, [`Admission::leave`].
    Park {
        /// Its place.
        ticket: Ticket,
        /// When it will be refused at the latest, if `poll` is called.
        until: std::time::Instant,
    },
    /// It is to come again.
    Refuse(Refusal),
}

/// How somebody is refused: status 503, an empty body, and the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// How long the answer is to be held back. If that is not zero, one of a bounded number of
    /// places is taken until [`Admission::hold_ended`].
    pub hold: Duration,
    /// What the answer says, in whole seconds, at least one. It counts from when the answer is sent.
    pub retry_after: Duration,
}

/// What a ticket has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is in.
    Admit,
    /// It has waited too long and is to come again.
    Refuse(Refusal),
}

/// Why somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The park is full.
    ParkFull,
    /// There is hardly room for another connection, or none for another agent, on this node.
    NoRoom,
    /// What room the park still has is for others than its source, which is over its share.
    SourceShare,
    /// It was parked, and its turn did not come in time.
    ParkTtl,
    /// It has a slot, came before it, and there is no room yet.
    BeforeItsTime,
    /// The gate is closing: it is to come again, to another node.
    Closing,
}

/// Every way in which an arrival can end. Each arrival has exactly one, those excepted who are still
/// parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Let in at once.
    Admitted,
    /// Let in after having been parked.
    AdmittedFromPark,
    /// Refused.
    Refused(Reason),
    /// Went away while parked.
    Left,
    /// Ended before it asked, or was answered otherwise (404, 431, ...) before it could.
    NotAsked,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Admitted,
        Self::AdmittedFromPark,
        Self::Refused(Reason::ParkFull),
        Self::Refused(Reason::NoRoom),
        Self::Refused(Reason::SourceShare),
        Self::Refused(Reason::ParkTtl),
        Self::Refused(Reason::BeforeItsTime),
        Self::Refused(Reason::Closing),
        Self::Left,
        Self::NotAsked,
    ];

    /// For a label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::AdmittedFromPark => "admitted_from_park",
            Self::Refused(Reason::NoRoom) => "refused_no_room",
            Self::Refused(Reason::ParkFull) => "refused_park_full",
            Self::Refused(Reason::SourceShare) => "refused_source_share",
            Self::Refused(Reason::ParkTtl) => "refused_park_ttl",
            Self::Refused(Reason::BeforeItsTime) => "refused_before_its_time",
            Self::Refused(Reason::Closing) => "refused_closing",
            Self::Left => "left",
            Self::NotAsked => "not_asked",
        }
    }
}

impl Verdict {
    /// How the arrival has ended; none while it is parked.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Admit => Some(Outcome::Admitted),
            Self::Park { .. } => None,
            Self::Refuse(refusal) => Some(Outcome::Refused(refusal.reason)),
        }
    }
}

impl Turn {
    /// How the arrival has ended.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Admit => Outcome::AdmittedFromPark,
            Self::Refuse(refusal) => Outcome::Refused(refusal.reason),
        }
    }
}
