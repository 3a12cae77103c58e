//! The node's one gate behind its lock, and the task that gives turns.
//!
//! The lock is held for as long as `core::admission` takes for one arrival or a bounded number of
//! turns, and never across an await.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::AdmissionStatus;
use super::params::AdmissionSettings;
use crate::clock;
use crate::core::admission::{
    Admission, Arrival, AutomaticRate, Fleet, Observed, Refusal, Room, Ticket, Turn, Verdict,
};
use crate::telemetry::events::admission::{AdmissionMeasured, Delayed, StormChanged};

/// Whoever is expected then has dialled, and said who it is, so much later.
const EXPECTED_MARGIN: Duration = Duration::from_secs(2);

pub(super) struct SharedAdmission {
    state: Mutex<State>,
    /// Turns are about to be given.
    beating: AtomicBool,
    room: RoomNow,
}

/// Says how many more connections the node can bear now.
pub(in crate::edge) type RoomNow = Box<dyn Fn() -> Room + Send + Sync>;

struct State {
    admission: Admission,
    /// Where those who are parked wait for their turn.
    waiting: HashMap<Ticket, oneshot::Sender<Turn>>,
    /// None: the rate is set.
    automatic: Option<AutomaticRate>,
    /// The burst of a rate that is set.
    burst: Duration,
    /// When turns were last given. While the rate is automatic, time at the gate goes by these steps,
    /// so that nothing enters that the machine's state was not asked for.
    stepped: Instant,
    /// Somebody has had to wait since turns were last given, and since the last observation.
    wanted: bool,
    waited: bool,
    /// Somebody has been refused since the last observation.
    refused: bool,
    fleet: Fleet,
    /// The latest moment at which anybody who was refused was told to come again.
    told: Option<Instant>,
    /// A storm has been told of in the log.
    storm: bool,
    /// So many have come in since it began.
    admitted: u64,
}

/// What becomes of an arrival.
pub(super) enum Answer {
    Admit,
    Park(Parked),
    Refuse(Refused),
}

impl SharedAdmission {
    pub(super) fn new(params: &AdmissionSettings, room: RoomNow, now: Instant) -> Self {
        let mut admission = params.admission;
        let burst = admission.burst;
        let automatic = params.rate.is_none().then(|| AutomaticRate::from_rate(admission.rate));
        match params.rate {
            Some(rate) => admission.rate = rate,
            None => admission.burst = AutomaticRate::BURST,
        }
        Self {
            beating: AtomicBool::new(false),
            room,
            state: Mutex::new(State {
                admission: Admission::new(admission, now),
                waiting: HashMap::new(),
                automatic,
                burst,
                stepped: now,
                wanted: false,
                waited: false,
                refused: false,
                fleet: Fleet::new(params.fleet_size, now),
                told: None,
                storm: false,
                admitted: 0,
            }),
        }
    }

    pub(super) fn arrive(self: &Arc<Self>, arrival: Arrival) -> Answer {
        let room = (self.room)();
        let mut state = self.state.lock();
        let now = state.now();
        state.admission.set_room(room);
        let verdict = state.admission.arrive(arrival, now, &mut rand::random::<f64>);
        state.wanted |= verdict != Verdict::Admit;
        state.refused |= matches!(verdict, Verdict::Refuse(_));
        match verdict {
            Verdict::Admit => {
                state.admitted += 1;
                Answer::Admit
            }
            Verdict::Park { ticket, .. } => {
                let (told, turn) = oneshot::channel();
                state.waiting.insert(ticket, told);
                drop(state);
                Answer::Park(Parked { shared: Arc::clone(self), ticket, turn })
            }
            Verdict::Refuse(refusal) => {
                state.tell(&refusal, now);
                drop(state);
                Answer::Refuse(Refused::new(self, refusal))
            }
        }
    }

    /// Gives the turns that are due, a bounded number. `true`: there are more.
    fn step(&self, delay: Duration, now: Instant) -> bool {
        let mut turns = Vec::new();
        let room = (self.room)();
        let mut state = self.state.lock();
        state.admission.set_room(room);
        let State { admission, automatic, stepped, wanted, waited, .. } = &mut *state;
        let passed = now.saturating_duration_since(*stepped);
        *stepped = now;
        let wanted = std::mem::take(wanted) | (admission.parked() > 0);
        *waited |= wanted;
        if let Some(automatic) = automatic {
            let seen = Observed { delay, wanted };
            admission.set_rate(automatic.observe(seen, passed), now);
        }
        let next = admission.poll(now, &mut rand::random::<f64>, &mut turns);
        for (_, turn) in &turns {
            match turn {
                Turn::Admit => state.admitted += 1,
                Turn::Refuse(refusal) => state.tell(refusal, now),
            }
        }
        let senders: Vec<_> =
            turns.iter().map(|(ticket, _)| state.waiting.remove(ticket)).collect();
        if state.waiting.is_empty() && state.waiting.capacity() > 1024 {
            // What a storm took is given back.
            state.waiting = HashMap::new();
        }
        drop(state);
        let mut unused = 0;
        for ((_, turn), sender) in turns.into_iter().zip(senders) {
            let reached = sender.is_some_and(|sender| sender.send(turn).is_ok());
            unused += u32::from(!reached && turn == Turn::Admit);
        }
        if unused > 0 {
            let mut state = self.state.lock();
            (0..unused).for_each(|_| state.admission.refund());
        }
        next.is_some_and(|next| next <= now)
    }

    pub(super) fn set_rate(&self, rate: Option<NonZeroU32>, now: Instant) {
        let mut state = self.state.lock();
        let State { admission, automatic, burst, .. } = &mut *state;
        match rate {
            Some(rate) => {
                // A burst that is emptied for nothing would cost a second's worth of entries.
                if automatic.take().is_some() {
                    admission.set_burst(*burst, now);
                }
                admission.set_rate(rate, now);
            }
            None if automatic.is_none() => {
                *automatic = Some(AutomaticRate::from_rate(admission.rate()));
                admission.set_burst(AutomaticRate::BURST, now);
            }
            None => {}
        }
    }

    /// Takes note of how many agents are connected.
    pub(super) fn observe(&self, connected: u64, now: Instant) -> AdmissionStatus {
        let mut state = self.state.lock();
        let waited = std::mem::take(&mut state.waited);
        state.fleet.observe(connected, waited, now);
        let parked = state.admission.parked() as u64;
        // A wait of some milliseconds is no storm, and a log that tells of it would hide those that are.
        let refused = std::mem::take(&mut state.refused);
        let begins = refused || parked >= u64::from(state.admission.rate().get());
        let begun = if state.storm { waited } else { waited && begins };
        let was = std::mem::replace(&mut state.storm, begun);
        let outside = state.outside(connected).map(|outside| outside.max(parked));
        state.admission.set_backlog(outside);
        drop(state);
        let status = self.status();
        if begun != was {
            let (rate, last_in) = (status.rate.get(), status.last_in);
            StormChanged { begun, rate, outside, last_in }.emit();
        }
        status
    }

    pub(super) fn status(&self) -> AdmissionStatus {
        let state = self.state.lock();
        let admission = &state.admission;
        AdmissionStatus {
            automatic: state.automatic.is_some(),
            rate: admission.rate(),
            parked: admission.parked(),
            park_places: admission.park_places(),
            held: admission.held(),
            outside: admission.backlog(),
            last_in: admission.last_in(),
            expected_until: state.expected_until(clock::now()),
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().admission.close();
    }
}

impl State {
    fn now(&self) -> Instant {
        if self.automatic.is_some() { self.stepped } else { clock::now() }
    }

    /// How many may be outside, being connected no more than so many. In a storm that may be fewer: of
    /// some whose balancer has moved away nobody has told that they are gone, and agents that poll are
    /// here until they have not come for long. So it is all that have not come in since it began, too.
    fn outside(&mut self, connected: u64) -> Option<u64> {
        if !self.storm {
            self.admitted = 0;
            return self.fleet.outside(connected);
        }
        let not_come = self.fleet.size().saturating_sub(self.admitted);
        self.fleet.outside(connected).map(|outside| outside.max(not_come))
    }

    fn tell(&mut self, refusal: &Refusal, now: Instant) {
        self.told = self.told.max(Some(now + refusal.hold + refusal.retry_after));
    }

    /// Until when agents may be away because the gate sent them away, or keeps them waiting.
    fn expected_until(&self, now: Instant) -> Option<Instant> {
        // Agents' clocks go a tenth wrong.
        let told = self.told.filter(|told| *told > now).map(|told| told + (told - now) / 10);
        let line = self.admission.line();
        let line = (!line.is_zero()).then(|| now + line);
        told.max(line).map(|until| until + EXPECTED_MARGIN)
    }
}

/// A place in the line. Dropped, it is given up.
pub(super) struct Parked {
    shared: Arc<SharedAdmission>,
    ticket: Ticket,
    turn: oneshot::Receiver<Turn>,
}

impl Parked {
    /// Waits for the turn. None: the gate itself is gone.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        (&mut self.turn).await.ok()
    }

    pub(super) fn shared(&self) -> &Arc<SharedAdmission> {
        &self.shared
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.admission.leave(self.ticket) {
            state.waiting.remove(&self.ticket);
        }
    }
}

/// A refusal. While it is held it takes a place, which it gives back when dropped.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    shared: Arc<SharedAdmission>,
}

impl Refused {
    pub(super) fn new(shared: &Arc<SharedAdmission>, refusal: Refusal) -> Self {
        Self { refusal, shared: Arc::clone(shared) }
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        if !self.refusal.hold.is_zero() {
            self.shared.state.lock().admission.hold_ended();
        }
    }
}

/// Has turns given on this runtime, a hundred times a second, for as long as there is the gate.
///
/// A thread of its own says when: what it spawns stands in line behind those whom earlier turns have let
/// in, and how long it stands there is what entry costs. A task of the runtime's own would go past them.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn beat(shared: &Arc<SharedAdmission>, inside: Handle) -> io::Result<()> {
    let shared = Arc::downgrade(shared);
    let beats = move || {
        while let Some(shared) = shared.upgrade() {
            // One that stands in line does for those that would come behind it.
            if !shared.beating.swap(true, Ordering::AcqRel) {
                inside.spawn(give_turns(Beat(shared), clock::now()));
            }
            std::thread::sleep(AutomaticRate::INTERVAL);
        }
    };
    std::thread::Builder::new().name("seawall-beat".to_owned()).spawn(beats).map(drop)
}

/// Turns that are about to be given. However that ends, there will be others.
struct Beat(Arc<SharedAdmission>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.beating.store(false, Ordering::Release);
    }
}

/// Gives the turns that were due at this time.
async fn give_turns(beat: Beat, due: Instant) {
    let delay = clock::now().saturating_duration_since(due);
    Delayed { delay }.emit();
    while beat.0.step(delay, clock::now()) {
        tokio::task::yield_now().await;
    }
}

/// Shows how things stand.
pub(super) fn show(status: &AdmissionStatus, sources: usize) {
    let AdmissionStatus { rate, parked, held, outside, last_in, .. } = *status;
    AdmissionMeasured { rate: rate.get(), parked, held, outside, last_in, sources }.emit();
}
