//! Bucket, park, calendar and remembered reservations, together: the decision on each arrival.
//!
//! The work of each call is bounded, so that a lock around it is held for a short time.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::arrival::{Arrival, Ticket};
use super::calendar::{Calendar, ReservationBounds, whole_seconds};
use super::crowd::Crowd;
use super::entries::Entries;
use super::lines::{LineKind, ParkLines};
use super::machine_share::MachineShare;
use super::params::{AdmissionParams, Capacity, RATE_MAX};
use super::patience::Queue;
use super::reserved::Reserved;
use super::share::time_for;
use super::verdict::{AdmissionVerdict, ParkVerdict, PassReason, Reason, Refusal};
use crate::mutation::{Breach, is_on};

/// At most this many parked arrivals are decided in one call.
const DECIDED_AT_ONCE: usize = 256;
/// Clients that can be told nothing are served at this rate at most, all of them together.
const UNTOLD_MOST: NonZeroU32 = NonZeroU32::new(5_000).expect("not zero");
/// Agents that have sessions: as many as the machine bears.
const SESSION_MOST: NonZeroU32 = NonZeroU32::new(RATE_MAX).expect("not zero");
/// Agents that have sessions and find no room come again within this time, which is their interval of polls: theirs is
/// the work of every day, and no reservation is needed for it.
const SESSION_RETRY: Duration = Duration::from_secs(30);

/// Decides which arrivals one node admits, and when the others come again.
#[derive(Debug)]
pub struct Admission {
    params: AdmissionParams,
    /// Entries a second that reservations and the park reckon with.
    rate: NonZeroU32,
    recovered: Option<NonZeroU32>,
    entries: Entries,
    lines: ParkLines,
    /// Whether the patient line is next, if the park waits too.
    patient_next: bool,
    /// For agents that have sessions.
    session: MachineShare,
    /// For clients that can be told nothing.
    untold: MachineShare,
    calendar: Calendar,
    reserved: Reserved,
    held: usize,
    closing: bool,
    backlog: Option<u64>,
    capacity: Capacity,
    crowd: Crowd,
}

impl Admission {
    /// With an empty park and an unknown backlog.
    pub fn new(params: AdmissionParams, now: Instant) -> Self {
        Self {
            params,
            rate: params.rate,
            recovered: None,
            entries: Entries::new(params.rate, params.burst, now),
            lines: ParkLines::default(),
            patient_next: false,
            session: MachineShare::new(params.machine_rate, SESSION_MOST, now),
            untold: MachineShare::new(UNTOLD_MOST, UNTOLD_MOST, now),
            calendar: Calendar::new(now),
            reserved: Reserved::new(params.reservations_max, now),
            held: 0,
            closing: false,
            backlog: None,
            capacity: Capacity::AMPLE,
            crowd: Crowd::new(now),
        }
    }

    /// Sets another burst, as the time in which the rate brings it. It begins empty.
    pub fn set_burst(&mut self, burst: Duration, now: Instant) {
        self.params.burst = burst;
        self.entries.set_burst(burst, now);
    }

    /// Sets another rate, from now on. Reservations stay what they are, points in time, and parked arrivals
    /// stay parked.
    pub fn set_rate(&mut self, rate: NonZeroU32, now: Instant) {
        self.entries.set_shared(false, self.params.burst, now);
        self.entries.set_rate(rate, now);
        self.plan(rate);
    }

    /// Sets this node's share of a fleet's rate, from now on: `rate` now, `soon` while agents refused now sleep. No
    /// second sees more entries than the share brings in it.
    pub fn set_share(&mut self, rate: NonZeroU32, soon: NonZeroU32, now: Instant) {
        self.entries.set_shared(true, self.params.burst, now);
        self.entries.set_rate(rate, now);
        self.plan(soon.max(rate));
    }

    fn plan(&mut self, rate: NonZeroU32) {
        if rate > self.rate {
            self.calendar.look_again();
        }
        self.rate = rate;
    }

    /// Sets the rate that is expected while agents refused now sleep: reservations are given at it, because
    /// a sleeping agent cannot be called back earlier. Too high costs attempts; too low costs the time that
    /// agents sleep too long. Empty, or below the rate: the rate counts.
    pub fn expect_rate(&mut self, rate: Option<NonZeroU32>) {
        self.recovered = rate;
        self.calendar.look_again();
    }

    /// Sets how many agents are disconnected at most, parked ones included: known and now without a
    /// connection, of this node's part of the fleet. Err high. Empty: unknown.
    pub const fn set_backlog(&mut self, agents: Option<u64>) {
        self.backlog = agents;
    }

    /// Sets how much capacity is left now.
    pub const fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// Whether an agent that is new here could be admitted now, as far as the rate goes.
    pub fn has_room(&self) -> bool {
        self.capacity.admits(Arrival::default())
    }

    /// Decides on an arrival. `chance` gives numbers in 0..1.
    pub fn arrive(
        &mut self,
        arrival: Arrival,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> AdmissionVerdict {
        if self.closing {
            return AdmissionVerdict::Refuse(self.send_away(chance));
        }
        if !self.capacity.admits(arrival) {
            return AdmissionVerdict::Refuse(self.refuse(arrival, Reason::NoRoom, now, chance));
        }
        if arrival.in_session {
            return self.arrive_in_session(arrival, now, chance);
        }
        if arrival.patience.queue == Queue::Untold {
            return arrive_untold(&mut self.untold, self.params, arrival, now);
        }
        // The bucket is asked only while no arrival waits: a token taken behind others would be lost.
        if self.parked_for_entry() == 0
            && (self.entries.take(now).is_ok() || is_on(Breach::AdmissionPassesRate))
        {
            return AdmissionVerdict::Admit;
        }
        let (kind, ttl) = self.line_of(arrival);
        let (waiting, places) = (self.lines.len_of(kind), self.places(arrival));
        let reason = if waiting >= places {
            Reason::ParkFull
        } else if arrival.over_share && waiting >= open_to_all(places, self.params) {
            Reason::SourceShare
        } else {
            match self.lines.push(kind, arrival, (ttl, now)) {
                Some(ticket) => return AdmissionVerdict::Park { ticket, until: now + ttl },
                None => Reason::ParkFull,
            }
        };
        AdmissionVerdict::Refuse(self.refuse(arrival, reason, now, chance))
    }

    /// An agent that has a session owes no entry. The machine's own pace bounds how many come at once: what it cannot
    /// bear waits in a line of its own.
    fn arrive_in_session(
        &mut self,
        arrival: Arrival,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> AdmissionVerdict {
        let waiting = self.lines.len_of(LineKind::Session);
        if waiting == 0 && self.session.take(None, now) {
            return AdmissionVerdict::Pass(PassReason::Session);
        }
        if arrival.patience.queue == Queue::Untold {
            return arrive_untold(&mut self.untold, self.params, arrival, now);
        }
        let ttl = arrival.patience.park_max().min(self.params.park_ttl);
        let horizon = self.params.park_horizon.min(most_of(ttl));
        if waiting < places_for(self.session.rate(), horizon).min(self.params.park_max)
            && let Some(ticket) = self.lines.push(LineKind::Session, arrival, (ttl, now))
        {
            return AdmissionVerdict::Park { ticket, until: now + ttl };
        }
        AdmissionVerdict::Refuse(refuse_in_session(self.params, Reason::ParkFull, chance))
    }

    /// The agent with this ticket has gone away. `false`: its place was free already.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        is_on(Breach::AdmissionDecidesOnGone) || self.lines.remove(ticket).is_some()
    }

    /// A refusal with a hold has been sent, or its agent has gone away.
    pub fn hold_ended(&mut self) {
        if is_on(Breach::AdmissionLeaksHold) {
            return;
        }
        self.held = self.held.saturating_sub(1);
    }

    /// Decides on parked arrivals, a bounded number in one call: adds to `decided` each that is admitted or has
    /// waited too long. Returns when to call again: at once if there is more to decide;
    /// empty while the park is. A call that comes up to a second late costs nothing.
    pub fn poll(
        &mut self,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
        decided: &mut Vec<(Ticket, ParkVerdict)>,
    ) -> Option<Instant> {
        for _ in 0..DECIDED_AT_ONCE {
            self.reserved.sweep_one(now);
            let Some(decision) = self.decide_one(now, chance) else { return self.next_poll(now) };
            decided.push(decision);
        }
        (self.lines.len() > 0).then_some(now)
    }

    /// Decides on one parked arrival. Empty: none can be decided now.
    fn decide_one(
        &mut self,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> Option<(Ticket, ParkVerdict)> {
        if self.lines.len_of(LineKind::Session) > 0
            && (self.closing || self.session.take(None, now))
        {
            let (ticket, _) = self.lines.pop_front(LineKind::Session)?;
            let verdict = if self.closing {
                ParkVerdict::Refuse(self.send_away(chance))
            } else {
                ParkVerdict::Pass
            };
            return Some((ticket, verdict));
        }
        if let Some(kind) = self.next_line() {
            let front = self.lines.front(kind)?;
            if self.closing || !self.capacity.has_place(front) {
                let (ticket, arrival) = self.lines.pop_front(kind)?;
                let refusal = if self.closing {
                    self.send_away(chance)
                } else {
                    self.refuse(arrival, Reason::NoRoom, now, chance)
                };
                return Some((ticket, ParkVerdict::Refuse(refusal)));
            }
            if self.entries.take(now).is_ok() {
                self.patient_next = kind == LineKind::Park;
                let (ticket, _) = self.lines.pop_front(kind)?;
                return Some((ticket, ParkVerdict::Admit));
            }
        }
        let (ticket, arrival) = self.lines.pop_overdue(now)?;
        let refusal = if arrival.in_session {
            refuse_in_session(self.params, Reason::ParkTtl, chance)
        } else {
            self.refuse(arrival, Reason::ParkTtl, now, chance)
        };
        Some((ticket, ParkVerdict::Refuse(refusal)))
    }

    /// Which line the next entry goes to: the park and the patient line take turns.
    fn next_line(&self) -> Option<LineKind> {
        let waits = |kind| self.lines.len_of(kind) > 0;
        match (waits(LineKind::Park), waits(LineKind::Patient)) {
            (false, false) => None,
            (true, patient) if !(patient && self.patient_next) => Some(LineKind::Park),
            _ => Some(LineKind::Patient),
        }
    }

    /// When there may be something to decide, after all that could be is decided.
    fn next_poll(&mut self, now: Instant) -> Option<Instant> {
        let entry = self.next_line().map(|_| self.entries.until_next(now));
        let session = self.lines.len_of(LineKind::Session) > 0;
        let share = session.then(|| self.session.until_next(now));
        let due = self.lines.next_due()?;
        let soon = entry.into_iter().chain(share).min();
        Some(soon.map_or(due, |wait| (now + wait).min(due)))
    }

    /// Stops admitting: each arrival, and with the next polls each parked one, is refused.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    /// Whether it has stopped admitting.
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Follows the machine in what is let in beside the rate. `delay`: how long a probe had to wait for a processor.
    pub fn feel(&mut self, delay: Duration, passed: Duration, now: Instant) {
        self.session.observe(delay, passed, now);
        self.untold.observe(delay, passed, now);
    }

    /// Gives a token back: its agent had gone before the verdict reached it.
    pub fn refund(&mut self, now: Instant) {
        self.entries.refund(now);
    }

    /// Refuses an arrival that another node will admit. The waits are spread, so that those agents reach the
    /// other node at different times.
    fn send_away(&self, chance: &mut impl FnMut() -> f64) -> Refusal {
        let line = time_for(self.park_places() as u64, self.rate).min(self.params.park_horizon);
        let wait = self.params.retry_min + line.mul_f64(chance().clamp(0.0, 1.0));
        let retry_after = whole_seconds(wait, chance());
        Refusal { reason: Reason::Closing, hold: Duration::ZERO, retry_after }
    }

    fn refuse(
        &mut self,
        arrival: Arrival,
        reason: Reason,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> Refusal {
        if !self.params.retry_fixed.is_zero() {
            let retry_after = self.params.retry_fixed;
            return Refusal { reason, hold: Duration::ZERO, retry_after };
        }
        let refused = self.crowd.refused(self.rate.get(), now);
        let bounds = self.bounds(refused, arrival);
        let no_room = reason == Reason::NoRoom;
        let explained = |at: &Instant| no_room || *at <= now + bounds.wait_max();
        let remembered = arrival.identity.and_then(|identity| self.reserved.find(identity, now));
        let remembered = remembered.filter(explained);
        let remembered = remembered.filter(|_| !is_on(Breach::AdmissionForgetsReservation));
        let at = remembered.unwrap_or_else(|| {
            let at = self.calendar.reserve(bounds, now, chance());
            // A place that is free by then is more than the rate can promise.
            let away = if no_room { self.crowd.no_room(chance(), now) } else { Duration::ZERO };
            at.max(now + away.min(self.params.retry_max))
        });
        if let (Some(identity), None) = (arrival.identity, remembered) {
            self.reserved.remember(identity, at, now);
        }
        let parked = reason == Reason::ParkTtl;
        let wait = at.saturating_duration_since(now).max(self.retry_min(arrival));
        // An agent that was parked has waited for as long as agents can be trusted to.
        let hold = if parked { Duration::ZERO } else { self.hold(wait, arrival) };
        let early = remembered.is_some() && !parked && reason != Reason::NoRoom;
        let reason = if early { Reason::BeforeItsTime } else { reason };
        Refusal { reason, hold, retry_after: whole_seconds(wait - hold, chance()) }
    }

    /// What bounds a reservation, while at least `refused` agents sleep.
    fn bounds(&self, refused: u64, arrival: Arrival) -> ReservationBounds {
        let rate = self.recovered.unwrap_or(self.rate).max(self.rate);
        let overbook = 1.0 + f64::from(self.params.overbook_percent) / 100.0;
        // If the rate fell, part of the line will be refused before it is admitted.
        let line = self.line();
        // Parked agents are the line already.
        let waiting = self.parked_for_entry() as u64;
        let asleep = self.backlog.map(|agents| agents.saturating_sub(waiting));
        let asleep =
            asleep.map(|agents| time_for(agents.max(refused), self.rate).div_f64(overbook));
        ReservationBounds {
            per_second: f64::from(rate.get()) * overbook,
            lead: line.max(self.retry_min(arrival)),
            explained: asleep.map_or(self.params.retry_max, |time| time.min(self.params.retry_max)),
        }
    }

    /// The shortest wait that this agent can be told.
    fn retry_min(&self, arrival: Arrival) -> Duration {
        self.params.retry_min.max(arrival.patience.retry_min()).min(self.params.retry_max)
    }

    /// How long to hold the answer to an agent that has to wait; takes the place for it.
    fn hold(&mut self, wait: Duration, arrival: Arrival) -> Duration {
        if self.held >= self.params.held_max || !self.capacity.holds() {
            return Duration::ZERO;
        }
        let hold_max = self.params.hold_max.min(arrival.patience.hold());
        let hold = wait.saturating_sub(self.retry_min(arrival)).min(hold_max);
        self.held += usize::from(!hold.is_zero());
        hold
    }

    /// The line for an arrival that owes an entry, and how long it waits there at most.
    fn line_of(&self, arrival: Arrival) -> (LineKind, Duration) {
        let patience = arrival.patience;
        match patience.queue {
            Queue::Patient => (LineKind::Patient, patience.park_max().min(self.params.patient_ttl)),
            Queue::Park | Queue::Untold => {
                (LineKind::Park, patience.park_max().min(self.params.park_ttl))
            }
        }
    }

    /// Up to how many arrivals may wait in its line for this one to join it: who gives up early joins a short line only.
    fn places(&self, arrival: Arrival) -> usize {
        let (kind, ttl) = self.line_of(arrival);
        match kind {
            LineKind::Patient => {
                (self.park_places() * Queue::PATIENT_PARKS).min(self.params.park_max)
            }
            LineKind::Park | LineKind::Session => {
                let early = ttl < self.params.park_ttl;
                let horizon = if early { most_of(ttl) } else { self.params.park_horizon };
                let horizon = horizon.min(self.params.park_horizon);
                places_for(self.park_rate(), horizon).min(self.params.park_max)
            }
        }
    }

    /// Entries a second that the park gets: half of them while the patient line takes its turns.
    fn park_rate(&self) -> NonZeroU32 {
        if self.lines.len_of(LineKind::Patient) == 0 {
            return self.rate;
        }
        NonZeroU32::new(self.rate.get() / 2).unwrap_or(NonZeroU32::MIN)
    }

    /// How many arrivals the park holds at this rate.
    pub fn park_places(&self) -> usize {
        places_for(self.rate, self.params.park_horizon).min(self.params.park_max)
    }

    /// When the last of the disconnected agents will be admitted, from now, if the rate stays; empty while
    /// their number is unknown.
    pub fn last_in(&self) -> Option<Duration> {
        let parked = self.parked_for_entry() as u64;
        self.backlog.map(|agents| time_for(agents.max(parked), self.rate))
    }

    /// How many agents are disconnected at most, as set last.
    pub const fn backlog(&self) -> Option<u64> {
        self.backlog
    }

    /// How long the last parked arrival will wait, at this rate.
    pub fn line(&self) -> Duration {
        let line = self.lines.len_of(LineKind::Park) as u64;
        time_for(line, self.park_rate()).min(self.params.park_ttl)
    }

    /// Entries a second that reservations and the park reckon with.
    pub const fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// Entries a second now.
    pub const fn entry_rate(&self) -> NonZeroU32 {
        self.entries.rate()
    }

    /// Arrivals that are parked.
    pub fn parked(&self) -> usize {
        self.lines.len()
    }

    /// Those of them that wait for an entry.
    pub fn parked_for_entry(&self) -> usize {
        self.lines.len_of(LineKind::Park) + self.lines.len_of(LineKind::Patient)
    }

    /// Agents that wait: parked ones, and those that were told moments still to come.
    pub fn waiting(&self, now: Instant) -> u64 {
        self.parked_for_entry() as u64 + self.calendar.ahead(now)
    }

    /// Refusals that are held.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Reservations that are remembered.
    pub const fn reservations(&self) -> usize {
        self.reserved.len()
    }
}

/// How many come at this rate in this time.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn places_for(rate: NonZeroU32, horizon: Duration) -> usize {
    (f64::from(rate.get()) * horizon.as_secs_f64()) as usize
}

/// Nine tenths of the time that an arrival may wait: a line that is expected to take longer would often take too long.
fn most_of(ttl: Duration) -> Duration {
    ttl.mul_f64(0.9)
}

/// Of this many places these are open to each source; the rest to sources within their share.
fn open_to_all(places: usize, params: AdmissionParams) -> usize {
    places * (100 - usize::from(params.reserve_percent.min(100))) / 100
}

/// Tells an agent that has a session to come again.
fn refuse_in_session(
    params: AdmissionParams,
    reason: Reason,
    chance: &mut impl FnMut() -> f64,
) -> Refusal {
    let wait = params.retry_min + SESSION_RETRY.mul_f64(chance().clamp(0.0, 1.0));
    Refusal { reason, hold: Duration::ZERO, retry_after: whole_seconds(wait, chance()) }
}

/// A client that gives up before it could be told anything, and obeys nothing. It is served if that is possible: a
/// refusal costs half as much, and its next try comes all the same. A source over its share goes behind, so that a
/// client that only says that it is such a one takes nothing from real ones.
fn arrive_untold(
    untold: &mut MachineShare,
    params: AdmissionParams,
    arrival: Arrival,
    now: Instant,
) -> AdmissionVerdict {
    let reserved = f64::from(params.reserve_percent.min(100)) / 100.0;
    if untold.take(arrival.over_share.then_some(reserved), now) {
        return AdmissionVerdict::Pass(PassReason::Untold);
    }
    let reason = if arrival.over_share { Reason::SourceShare } else { Reason::Overload };
    let retry_after = params.retry_min.max(Duration::from_secs(1));
    AdmissionVerdict::Refuse(Refusal { reason, hold: Duration::ZERO, retry_after })
}
