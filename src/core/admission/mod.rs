//! Admission: which arrivals are admitted now, which of them wait, and when the others come again. It turns
//! a storm into a queue.
//!
//! What is rationed is *entry*, in arrivals a second. That protects the gateway's own processor. Admission
//! decides after TLS and the request's head, before anything is answered: this is the last moment at which
//! an agent obeys. An agent honours `Retry-After` on a 503 before the upgrade only (docs/FIELD-NOTES.md,
//! section 1).
//!
//! ```text
//!            the park is empty and a token is there
//!  arrival ───────────────────────────────────► Admit
//!     │  a free place in the park        a token   ▲
//!     ├───────────────────────► Park ──────────────┤
//!     │                          │ ├──► Left       │ the agent went away
//!     │ the park is full, or     │ ▼ park_ttl      │
//!     └──────────────────────► Refuse ─────────────┘ the agent comes again at its reservation
//!         its source is over its share
//! ```
//!
//! - [`bucket`](super::bucket): the rate, with one second of burst. Admission admits in any stretch of time
//!   at most the rate summed over it and one burst.
//! - `park`: a bounded line, first in, first out. A parked agent needs one dial and one handshake; it may be
//!   anonymous. `lines`: one for each length of patience.
//! - `clients`, `patience`: which kind of client asks, how long it waits, and which answer it obeys.
//! - `machine_share`: what is let in beside the rate. An agent that has a session and comes over HTTP owes no entry;
//!   some clients give up too early to be told anything. The machine's own pace bounds both.
//! - `calendar`: an agent that finds the park full gets a reservation, the moment when the line's end has
//!   been admitted and the rate has room. Admission reserves more than the rate can admit
//!   ([`AdmissionParams::overbook_percent`]): overbooking costs attempts, underbooking costs time.
//! - `reserved`: remembers the reservations of agents that can be recognised.
//! - `room`: a node that is full, and how long agents then stay away. `storm_record`: what a storm came to.
//!   `top_sources`: who sends the most.
//! - `sources`: which sources send more than their share. The last part of the park is closed to them.
//! - `automatic_rate`: the rate where the operator sets none. `fleet`, `storm`: how many agents may be
//!   disconnected, and whether that is a storm.
//! - `decide`: [`Admission`], these together. `node`: [`NodeAdmission`], one node's admission with its rate,
//!   its storm and its fleet.
//!
//! # How to drive it
//! The shell (`edge::admission`) and the simulation drive one [`NodeAdmission`] with these events. Each takes
//! `now`, some a source of random numbers; the return value says what to carry out.
//!
//! 1. [`NodeAdmission::arrive`] for each arrival. `Admit`, `Pass`: serve it. `Park`: keep it unanswered under its
//!    ticket. `Refuse`: wait for `hold`, tell `retry_after` in the client's form, close; call
//!    [`NodeAdmission::hold_ended`] after a hold above zero, also if the agent goes during it.
//! 2. [`NodeAdmission::tick`] every [`AutomaticRate::INTERVAL`] (10 ms). It decides on parked arrivals. While
//!    it returns `true`, call it again. A ticket with the verdict `Admit` whose agent has just gone:
//!    [`NodeAdmission::refund`].
//! 3. [`NodeAdmission::leave`] when a parked agent goes away.
//! 4. [`NodeAdmission::observe`] a few times a second, with the number of connected agents. If the status
//!    says `expected_until`, sessions excuse absences until then (`Sessions::excuse_absence`).
//! 5. [`NodeAdmission::close`] when the node drains.
//!
//! Sockets, tasks, the clock and chance stay outside. Everything is bounded: the park by rate and horizon,
//! the calendar by the longest wait, remembered reservations and held refusals by number. Under pressure of
//! memory or descriptors the node accepts fewer connections (`core::pressure`), so such arrivals stay in the
//! kernel's queue.
//!
//! `loadtest admission-table` simulates what a storm costs. What it has taught:
//! - Err high in the number of disconnected agents: half of it costs nearly an attempt for each agent. But
//!   high costs time if many agents disobey (a fifth of the fleet, a storm of 300 s: 1.00 of the ideal with
//!   the true number, 1.8 with twice of it, 2.5 if the number is unknown).
//! - Count a parked agent once: in the line, and subtract it from the backlog. Draws inside of the backlog
//!   are overbooked as reservations are. With both, obedient agents lose 0 % to disobedient ones (1.00
//!   instead of 1.16).
//! - A shortest wait above the park's horizon leaves the rate unused for the difference, once a storm.

mod arrival;
mod automatic_rate;
mod calendar;
mod clients;
mod crowd;
mod decide;
mod entries;
mod fleet;
mod lines;
mod machine_share;
mod node;
mod params;
mod park;
mod patience;
mod reserved;
mod room;
mod share;
mod slots;
mod sources;
mod storm;
mod storm_record;
mod top_sources;
mod verdict;

#[cfg(test)]
mod fleet_storms;
#[cfg(test)]
mod patience_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use arrival::{Arrival, Identity, Ticket};
pub use automatic_rate::{AutomaticRate, Observed};
pub use clients::{CLIENT_RULES_MAX, ClientHead, ClientRule, ClientTable, ClientTransport};
pub use decide::Admission;
pub use fleet::Fleet;
pub use node::{AdmissionStatus, NodeAdmission, ProbeTick};
pub use params::{AdmissionParams, Capacity, RATE_MAX};
pub use patience::{ClientPatience, Queue, RefusalForm};
pub use room::{Limit, RoomChange, RoomWatch};
pub use share::{Cluster, FleetShare, time_for};
pub use slots::SlotSeries;
pub use sources::{SourceShares, SourceTerms};
pub use storm_record::{StormEvent, StormRecord, StormsSeen};
pub use top_sources::{SourceCount, TopSources};
pub use verdict::{AdmissionVerdict, Outcome, ParkVerdict, PassReason, Reason, Refusal};
