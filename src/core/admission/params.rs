//! The bounds of admission at one node, and the capacity that the node reports to it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::arrival::Arrival;
use crate::mutation::{Breach, is_on};

/// The bounds of admission at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionParams {
    /// Entries a second, to begin with.
    pub rate: NonZeroU32,
    /// What is let in a second beside the rate, to begin with: agents that have sessions. It follows the machine.
    pub machine_rate: NonZeroU32,
    /// How much unused rate can be used at once, as a time.
    pub burst: Duration,
    /// The park holds what the rate admits during this time. Zero: the park is closed.
    pub park_horizon: Duration,
    /// The park holds at most this many: a parked agent occupies a connection.
    pub park_max: usize,
    /// After this time a parked agent is refused with a reservation. Keep it below the shortest time after
    /// which an agent, or a proxy before it, gives up: 45 s for opamp-go, 15 s for some proxies.
    pub park_ttl: Duration,
    /// The same for an agent in the patient line.
    pub patient_ttl: Duration,
    /// By how many percent more agents get reservations than the rate admits, because some will stay away.
    /// At least 0: underbooking is the mistake that costs time.
    pub overbook_percent: u16,
    /// The shortest wait that a refusal tells. Above the park's horizon the rate stays unused in between.
    pub retry_min: Duration,
    /// The longest wait that a refusal tells, counted from the end of the line; also while the number of
    /// disconnected agents is unknown.
    pub retry_max: Duration,
    /// The longest time for which a refusal is held before it is sent. This slows agents that disobey.
    pub hold_max: Duration,
    /// At most this many refusals are held at once.
    pub held_max: usize,
    /// The part of the park, in percent, that is closed to sources over their share.
    pub reserve_percent: u8,
    /// Above zero: each refusal tells this wait instead of a reservation. Zero, the better choice:
    /// reservations.
    pub retry_fixed: Duration,
    /// At most this many reservations of recognised agents are remembered.
    pub reservations_max: usize,
}

impl AdmissionParams {
    /// The defaults, at a rate.
    pub const fn new(rate: NonZeroU32) -> Self {
        Self {
            rate,
            machine_rate: rate,
            burst: Duration::from_secs(1),
            park_horizon: Duration::from_secs(20),
            park_max: usize::MAX,
            park_ttl: Duration::from_secs(30),
            patient_ttl: Duration::from_secs(90),
            overbook_percent: 15,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(600),
            hold_max: Duration::from_secs(10),
            held_max: 4_096,
            reserve_percent: 25,
            retry_fixed: Duration::ZERO,
            reservations_max: 100_000,
        }
    }
}

/// The highest rate that can be set, in entries a second: more is a mistake on any machine.
pub const RATE_MAX: u32 = 10_000_000;

/// How many more connections the node can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Connections that are free.
    pub free: usize,
    /// The last of them are reserved for refusals. If parked agents took all, the others would get an answer
    /// from the kernel alone, and would dial again at once.
    pub reserve: usize,
    /// The table of sessions is full of connected agents. One more would be closed after its upgrade and
    /// dial again at once; an agent that has a session takes no new place.
    pub sessions_full: bool,
}

/// One connection in this many is reserved for refusals.
const REFUSAL_SHARE: usize = 16;

impl Capacity {
    /// Of this many connections, how many are reserved for refusals.
    pub const fn reserve_of(connections: usize) -> usize {
        connections / REFUSAL_SHARE
    }

    /// More than any node needs.
    pub const AMPLE: Self = Self { free: usize::MAX, reserve: 0, sessions_full: false };

    /// Whether the agent of this arrival may stay.
    pub(super) fn admits(self, arrival: Arrival) -> bool {
        let free = self.free >= self.reserve || is_on(Breach::AdmissionPassesCapacity);
        free && self.has_place(arrival)
    }

    /// Whether the table of sessions has a place for this arrival's agent.
    pub(super) const fn has_place(self, arrival: Arrival) -> bool {
        !self.sessions_full || arrival.needs_no_place
    }

    /// Whether a refusal may be held: it occupies its connection meanwhile.
    pub(super) const fn holds(self) -> bool {
        self.free >= self.reserve / 2
    }
}
