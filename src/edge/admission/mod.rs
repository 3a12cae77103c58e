//! Entry: between a request's head and its answer. Who comes in is decided by `core::admission`; here
//! it is asked, and what it decides is carried out.
//!
//! ```text
//!  head read ──► gate ──► Admit ───────────────────────────────► upgrade, or plain HTTP
//!                 │ │                       its turn ▲
//!                 │ └──► Park: unanswered, watched ──┤
//!                 │             the agent goes ──► its place is free at once
//!                 └────► Refuse: held, then 503 ──► closed
//! ```
//!
//! - `shared`: the one lock, and who gives turns.
//! - `fairness`: where arrivals come from, and which sources send more than their share.
//! - `wait`: what a connection does meanwhile. `params`: what can be set.
//!
//! Agents that are in are never here again: a WebSocket asks once, a plain-HTTP connection with its
//! first request. The operators' port does not ask at all.

mod fairness;
pub(super) mod params;
mod shared;
mod wait;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

pub(super) use fairness::ArrivalSource;
pub(in crate::edge) use shared::RoomNow;
pub(super) use wait::{Counted, enter};

use crate::clock;
use crate::telemetry::events::admission::RateSet;
use crate::websocket::RequestHead;
use fairness::Fairness;
use params::AdmissionSettings;
use shared::SharedAdmission;

/// Entry of one node.
pub(super) struct AdmissionService {
    shared: Arc<SharedAdmission>,
    fairness: Fairness,
}

/// How things stand at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionStatus {
    /// Whether the rate follows the machine.
    pub automatic: bool,
    /// Entries a second.
    pub rate: NonZeroU32,
    /// Connections that wait for their turn, and for how many there is room.
    pub parked: usize,
    /// For how many there is room at this rate.
    pub park_places: usize,
    /// Refusals held back.
    pub held: usize,
    /// Agents that may be outside; none: nobody knows.
    pub outside: Option<u64>,
    /// When the last of them will be in, if the rate stays.
    pub last_in: Option<Duration>,
    /// Until then agents may be away because they were told to, or wait; none: nobody is.
    pub expected_until: Option<Instant>,
}

impl AdmissionService {
    pub(super) fn new(params: &AdmissionSettings, room: RoomNow) -> Self {
        let shared = Arc::new(SharedAdmission::new(params, room, clock::now()));
        let status = shared.status();
        let fairness = Fairness::new(params, status.rate, status.park_places);
        Self { shared, fairness }
    }

    /// Has turns given on this runtime.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn begin(&self, inside: Handle) -> io::Result<()> {
        shared::beat(&self.shared, inside)
    }

    /// Takes note of how many agents are connected, and of the time: a few times a second.
    pub(super) fn observe(&self, connected: u64) -> AdmissionStatus {
        let status = self.shared.observe(connected, clock::now());
        self.fairness.keep_step(status.rate, status.park_places);
        shared::show(&status, self.fairness.sources());
        status
    }

    /// Reads from a request's head who sends it.
    pub(super) fn read(&self, head: &RequestHead<'_>, peer: SocketAddr) -> ArrivalSource {
        self.fairness.read(head, peer)
    }

    pub(super) fn status(&self) -> AdmissionStatus {
        self.shared.status()
    }

    /// Another rate; none: automatic.
    pub(super) fn set_rate(&self, rate: Option<NonZeroU32>) {
        RateSet { rate: rate.map(NonZeroU32::get) }.emit();
        self.shared.set_rate(rate, clock::now());
    }

    /// Lets nobody in any more; those who wait are sent away.
    pub(super) fn close(&self) {
        self.shared.close();
    }
}

/// What came of asking.
pub(super) enum Entered {
    /// It is in.
    In,
    /// It has been told to come again; the connection is over.
    Refused,
    /// It has gone.
    Left,
}
