//! The node's admission behind its lock, with the arrivals that wait.
//!
//! The lock is held for as long as `core::admission` takes for one arrival or a bounded number of verdicts,
//! and is free across each await.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::params::AdmissionSettings;
use super::waker::ProbeWaker;
use crate::clock;
use crate::core::admission::{
    AdmissionParams, AdmissionStatus, AdmissionVerdict, Arrival, Capacity, FleetShare,
    NodeAdmission, ParkVerdict, PassReason, ProbeTick, Refusal, SlotSeries, StormsSeen, Ticket,
};
use crate::telemetry::events::admission::StormChanged;

pub(super) struct SharedAdmission {
    state: Mutex<SharedState>,
    capacity: CapacityNow,
    /// Arrivals have begun to wait.
    need: Notify,
    /// Arrivals wake the probe.
    pub(super) waker: Arc<ProbeWaker>,
}

/// Says how many more connections the node can bear now.
pub(in crate::edge) type CapacityNow = Box<dyn Fn() -> Capacity + Send + Sync>;

struct SharedState {
    node: NodeAdmission,
    /// Whether `need` has been told of the arrivals that wait now.
    need_told: bool,
    /// Where parked arrivals wait for their verdicts.
    waiting: HashMap<Ticket, oneshot::Sender<ParkVerdict>>,
}

/// A waiting map with a greater capacity than this gives its memory back when it is empty: storms are rare.
const RETAINED_CAPACITY: usize = 1024;

/// What becomes of an arrival, with the guard for what it occupies meanwhile.
pub(super) enum Decided {
    Admit,
    Pass(PassReason),
    Park(Parked),
    Refuse(HeldRefusal),
}

impl SharedAdmission {
    /// `agents_max`: how many connections of agents there may be.
    pub(super) fn new(
        settings: &AdmissionSettings,
        (capacity, agents_max): (CapacityNow, usize),
        now: Instant,
    ) -> Self {
        let AdmissionSettings { rate, admission, fleet_size, .. } = settings;
        let admission = AdmissionParams { park_max: agents_max, ..*admission };
        let node = NodeAdmission::new(admission, *rate, *fleet_size, now);
        let state = SharedState { node, need_told: false, waiting: HashMap::new() };
        let waker = Arc::default();
        Self { state: Mutex::new(state), capacity, need: Notify::new(), waker }
    }

    pub(super) fn arrive(self: &Arc<Self>, arrival: Arrival) -> Decided {
        let capacity = (self.capacity)();
        let mut state = self.state.lock();
        let verdict = state.node.arrive(arrival, capacity, clock::now(), &mut rand::random::<f64>);
        let let_in = matches!(verdict, AdmissionVerdict::Admit | AdmissionVerdict::Pass(_));
        if !let_in && !std::mem::replace(&mut state.need_told, true) {
            self.need.notify_one();
        }
        self.waker.arrived();
        match verdict {
            AdmissionVerdict::Admit => Decided::Admit,
            AdmissionVerdict::Pass(pass) => Decided::Pass(pass),
            AdmissionVerdict::Park { ticket, .. } => {
                let (tell, verdict) = oneshot::channel();
                state.waiting.insert(ticket, tell);
                drop(state);
                let since = clock::now();
                Decided::Park(Parked { shared: Arc::clone(self), ticket, verdict, since })
            }
            AdmissionVerdict::Refuse(refusal) => {
                drop(state);
                Decided::Refuse(HeldRefusal::new(self, refusal))
            }
        }
    }

    /// Tells parked arrivals the verdicts that are due, a bounded number. `true`: there are more.
    pub(super) fn tick(&self, delay: Duration, now: Instant) -> bool {
        let tick = ProbeTick { delay, capacity: (self.capacity)() };
        let mut decided = Vec::new();
        let mut state = self.state.lock();
        let more = state.node.tick(tick, now, &mut rand::random::<f64>, &mut decided);
        let waiting: Vec<_> =
            decided.iter().map(|(ticket, _)| state.waiting.remove(ticket)).collect();
        if state.waiting.is_empty() && state.waiting.capacity() > RETAINED_CAPACITY {
            state.waiting = HashMap::new();
        }
        drop(state);
        let mut unused = 0;
        for ((_, verdict), tell) in decided.into_iter().zip(waiting) {
            let reached = tell.is_some_and(|tell| tell.send(verdict).is_ok());
            unused += u32::from(!reached && verdict == ParkVerdict::Admit);
        }
        if unused > 0 {
            let mut state = self.state.lock();
            (0..unused).for_each(|_| state.node.refund(now));
        }
        more
    }

    /// Whether a tick has something to decide.
    pub(super) fn has_work(&self) -> bool {
        self.state.lock().node.has_work()
    }

    /// The storm under way, and the last one.
    pub(super) fn storms(&self, now: Instant) -> StormsSeen {
        self.state.lock().node.storms(now)
    }

    pub(super) fn set_rate(&self, rate: Option<NonZeroU32>, now: Instant) {
        self.state.lock().node.set_rate(rate, now);
    }

    /// Takes note of how many agents are connected.
    pub(super) fn observe(&self, connected: u64, now: Instant) -> AdmissionStatus {
        let (changed, status) = {
            let mut state = self.state.lock();
            let (changed, status) = (state.node.observe(connected, now), state.node.status(now));
            state.need_told &= status.parked > 0;
            let dials = state.node.storms(now).now.map_or(0, |storm| storm.dials);
            (changed.map(|event| (event, dials)), status)
        };
        if let Some((event, dials)) = changed {
            StormChanged { event, dials, status: &status }.emit();
        }
        status
    }

    pub(super) fn join_fleet(&self, now: Instant) {
        self.state.lock().node.join_fleet(now);
    }

    pub(super) fn set_share(&self, share: FleetShare, now: Instant) {
        self.state.lock().node.set_share(share, now);
    }

    pub(super) fn rate_set(&self) -> Option<NonZeroU32> {
        self.state.lock().node.rate_set()
    }

    /// Completes when arrivals begin to wait. For one task.
    pub(super) async fn need_begins(&self) {
        self.need.notified().await;
    }

    pub(super) fn status(&self, now: Instant) -> AdmissionStatus {
        self.state.lock().node.status(now)
    }

    pub(super) fn admitted(&self, now: Instant) -> SlotSeries {
        self.state.lock().node.admitted(now)
    }

    /// Gives an entry back: its agent had gone, or did not need it.
    pub(super) fn give_back(&self) {
        self.state.lock().node.refund(clock::now());
    }

    pub(super) fn close(&self) {
        self.state.lock().node.close();
    }
}

/// A place in the park. Dropping it frees the place.
pub(super) struct Parked {
    shared: Arc<SharedAdmission>,
    ticket: Ticket,
    verdict: oneshot::Receiver<ParkVerdict>,
    since: Instant,
}

impl Parked {
    /// Waits for the verdict. Empty: the node's admission itself is gone.
    pub(super) async fn verdict(&mut self) -> Option<ParkVerdict> {
        (&mut self.verdict).await.ok()
    }

    /// It was admitted, and its agent has gone: the entry is another's.
    pub(super) fn give_back(&self) {
        self.shared.give_back();
    }

    /// The guard for this refusal.
    pub(super) fn refused(&self, refusal: Refusal) -> HeldRefusal {
        HeldRefusal::new(&self.shared, refusal)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // Admitted, and gone before it could hear of it.
        let unheard = matches!(self.verdict.try_recv(), Ok(ParkVerdict::Admit));
        let now = clock::now();
        let mut state = self.shared.state.lock();
        if unheard {
            state.node.refund(now);
        }
        state.node.was_parked(now.saturating_duration_since(self.since));
        if state.node.leave(self.ticket) {
            state.waiting.remove(&self.ticket);
        }
    }
}

/// A refusal. While it is held it takes one of the places for held refusals; dropping it frees the place.
pub(super) struct HeldRefusal {
    pub(super) refusal: Refusal,
    shared: Arc<SharedAdmission>,
}

impl HeldRefusal {
    fn new(shared: &Arc<SharedAdmission>, refusal: Refusal) -> Self {
        Self { refusal, shared: Arc::clone(shared) }
    }
}

impl Drop for HeldRefusal {
    fn drop(&mut self) {
        if !self.refusal.hold.is_zero() {
            self.shared.state.lock().node.hold_ended();
        }
    }
}
