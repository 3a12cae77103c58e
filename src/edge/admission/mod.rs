//! Admission, between a request's head and its answer. `core::admission` decides; this module asks it and
//! carries out what it decides. It knows arrivals, and leaves it to each transport how an agent is found to
//! have gone and how it is refused ([`Applicant`]).
//!
//! ```text
//!  head read ──► arrive ──► Admit ─────────────────────────────────► upgrade, or plain HTTP
//!                 │ │  (or Pass)             its verdict  ▲
//!                 │ └──► Park: unanswered, watched ───────┤
//!                 │             the agent goes ──► its place is free at once
//!                 └────► Refuse: held, then told in its client's form ──► closed
//! ```
//!
//! - `shared`: the one lock, and the arrivals that wait. `probe`: the thread and task by which parked arrivals
//!   are decided.
//! - `waker`: wakes that thread. `sources`: where arrivals come from.
//! - `enter`: what an arrival does meanwhile. `params`: the settings.
//!
//! A WebSocket asks once, with its upgrade, for its first agent; further agents on it ask by their first messages
//! (`agents::newcomers`). Over plain HTTP agents ask, not connections: one that has a session owes no
//! entry, whichever connection its request comes on, and a new one owes one on a connection that others use, too
//! (`request_admission`). The operators' port is outside of admission.

mod enter;
pub(super) mod params;
mod probe;
mod shared;
mod sources;
mod waker;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;

pub(super) use enter::{Applicant, CountedArrival, Entered, LetIn, SharingApplicant, enter};
pub(in crate::edge) use shared::CapacityNow;
pub(super) use sources::{ArrivalSource, named_agent};

pub(crate) use crate::core::admission::{
    AdmissionStatus, FleetShare, Limit, SlotSeries, StormRecord, StormsSeen,
};
pub(super) use crate::core::admission::{ClientPatience, ClientTransport, RefusalForm};

use crate::clock;
use crate::core::admission::{Arrival, ClientTable, SourceShares, SourceTerms, TopSources};
use crate::ident::InstanceUid;
use crate::telemetry::events::admission::{AdmissionMeasured, RateSet};
use params::AdmissionSettings;
use shared::SharedAdmission;
use sources::SourceReader;
pub(crate) use sources::{NamedSource, SourceFigures};

/// Admission of one node.
pub(super) struct AdmissionService {
    shared: Arc<SharedAdmission>,
    reader: SourceReader,
    shares: RwLock<SourceShares>,
    top: Mutex<TopSources<NamedSource>>,
}

impl AdmissionService {
    /// `agents_max`: how many connections of agents there may be. `answer`: how long an answer over plain HTTP takes at
    /// most.
    pub(super) fn new(
        settings: &AdmissionSettings,
        capacity: CapacityNow,
        (agents_max, answer): (usize, Duration),
    ) -> Self {
        let now = clock::now();
        let shared = Arc::new(SharedAdmission::new(settings, (capacity, agents_max), now));
        let status = shared.status(now);
        let terms = SourceTerms {
            percent: settings.source_share_percent,
            burst_min: settings.source_burst_min,
        };
        let shares = SourceShares::new(terms, status.rate, status.park_places, now);
        let clients = ClientTable::new(settings.clients.clone(), answer);
        let reader = SourceReader::new(settings.source, clients);
        let top = Mutex::new(TopSources::new(now));
        Self { shared, reader, shares: RwLock::new(shares), top }
    }

    /// Starts the probe, by which parked arrivals are decided on the runtime that serves agents.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start_probe(&self, serving: Handle) -> io::Result<()> {
        probe::start(&self.shared, serving)
    }

    /// Takes note of how many agents are connected, and of the time: a few times a second.
    pub(super) fn observe(&self, connected: u64) -> AdmissionStatus {
        let now = clock::now();
        let status = self.shared.observe(connected, now);
        let sources = {
            let mut shares = self.shares.write();
            shares.update(status.planned, status.park_places, now);
            shares.sources()
        };
        AdmissionMeasured { status: &status, sources }.emit();
        status
    }

    /// Reads from a request's headers who sends it.
    pub(super) fn source_of<'a>(
        &self,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        (peer, transport): (SocketAddr, ClientTransport),
    ) -> ArrivalSource {
        self.reader.read(headers, (peer, transport))
    }

    /// The same for an agent that comes on a connection which others use.
    pub(super) fn source_of_agent(&self, uid: InstanceUid, peer: SocketAddr) -> ArrivalSource {
        self.reader.of_agent(uid, peer)
    }

    /// Counts an arrival for its sources, if it owes an entry.
    fn arrival(&self, source: ArrivalSource) -> Arrival {
        let now = clock::now();
        let over_share = !source.in_session && self.shares.read().count(source.sources, now);
        if !source.in_session {
            let mut top = self.top.lock();
            source.named.iter().flatten().for_each(|named| top.count(*named, over_share, now));
        }
        let ArrivalSource { identity, needs_no_place, in_session, patience, .. } = source;
        Arrival { over_share, identity, needs_no_place, in_session, patience }
    }

    /// The sources that have sent the most in the last minute or two.
    pub(super) fn top_sources(&self) -> SourceFigures {
        SourceFigures::of(&mut self.top.lock(), clock::now())
    }

    /// The storm under way, and the last one.
    pub(super) fn storms(&self) -> StormsSeen {
        self.shared.storms(clock::now())
    }

    pub(super) fn status(&self) -> AdmissionStatus {
        self.shared.status(clock::now())
    }

    /// How many were admitted when, in the last minutes.
    pub(super) fn admitted(&self) -> SlotSeries {
        self.shared.admitted(clock::now())
    }

    /// Sets another rate; empty: automatic.
    pub(super) fn set_rate(&self, rate: Option<NonZeroU32>) {
        RateSet { rate: rate.map(NonZeroU32::get) }.emit();
        self.shared.set_rate(rate, clock::now());
    }

    /// From now on a rate that is set is a fleet's, and this node admits its share.
    pub(super) fn join_fleet(&self) {
        self.shared.join_fleet(clock::now());
    }

    /// Sets what this node may take of the fleet's rate.
    pub(super) fn set_share(&self, share: FleetShare) {
        self.shared.set_share(share, clock::now());
    }

    /// The rate that is set; empty: automatic.
    pub(super) fn rate_set(&self) -> Option<NonZeroU32> {
        self.shared.rate_set()
    }

    /// Completes when arrivals begin to wait for more than the share.
    pub(super) async fn need_begins(&self) {
        self.shared.need_begins().await;
    }

    /// Gives an entry back that was not needed.
    pub(super) fn give_back(&self) {
        self.shared.give_back();
    }

    /// Stops admitting; parked arrivals are sent away.
    pub(super) fn close(&self) {
        self.shared.close();
    }
}
