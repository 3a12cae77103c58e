//! Bucket, park, calendar and remembered reservations, together: the decision on each arrival.
//!
//! The work of each call is bounded, so that a lock around it is held for a short time.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::arrival::{Arrival, Ticket};
use super::calendar::{Calendar, ReservationBounds, whole_seconds};
use super::crowd::Crowd;
use super::entries::Entries;
use super::params::{AdmissionParams, Capacity};
use super::park::Park;
use super::reserved::Reserved;
use super::share::time_for;
use super::verdict::{AdmissionVerdict, ParkVerdict, Reason, Refusal};
use crate::mutation::{Breach, is_on};

/// At most this many parked arrivals are decided in one call.
const DECIDED_AT_ONCE: usize = 256;

/// Decides which arrivals one node admits, and when the others come again.
#[derive(Debug)]
pub struct Admission {
    params: AdmissionParams,
    /// Entries a second that reservations and the park reckon with.
    rate: NonZeroU32,
    recovered: Option<NonZeroU32>,
    entries: Entries,
    park: Park,
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
            park: Park::default(),
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
        // The bucket is asked only while the park is empty: a token taken behind others would be lost.
        if self.park.len() == 0
            && (self.entries.take(now).is_ok() || is_on(Breach::AdmissionPassesRate))
        {
            return AdmissionVerdict::Admit;
        }
        let reason = if self.park.len() >= self.park_places() {
            Reason::ParkFull
        } else if arrival.over_share && self.park.len() >= self.places_for_all() {
            Reason::SourceShare
        } else {
            let until = now + self.params.park_ttl;
            match self.park.push(arrival, until) {
                Some(ticket) => return AdmissionVerdict::Park { ticket, until },
                None => Reason::ParkFull,
            }
        };
        AdmissionVerdict::Refuse(self.refuse(arrival, reason, now, chance))
    }

    /// The agent with this ticket has gone away. `false`: its place was free already.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        is_on(Breach::AdmissionDecidesOnGone) || self.park.remove(ticket).is_some()
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
            let (front, until) = self.park.front()?;
            if self.closing {
                let (ticket, _) = self.park.pop_front()?;
                decided.push((ticket, ParkVerdict::Refuse(self.send_away(chance))));
                continue;
            }
            if !self.capacity.has_place(front) {
                let (ticket, arrival) = self.park.pop_front()?;
                let refusal = self.refuse(arrival, Reason::NoRoom, now, chance);
                decided.push((ticket, ParkVerdict::Refuse(refusal)));
                continue;
            }
            let token = self.entries.take(now);
            if let Err(wait) = token
                && now < until
            {
                return Some((now + wait).min(until));
            }
            let (ticket, arrival) = self.park.pop_front()?;
            let verdict = match token {
                Ok(()) => ParkVerdict::Admit,
                Err(_) => ParkVerdict::Refuse(self.refuse(arrival, Reason::ParkTtl, now, chance)),
            };
            decided.push((ticket, verdict));
        }
        self.park.front().map(|_| now)
    }

    /// Stops admitting: each arrival, and with the next polls each parked one, is refused.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    /// Whether it has stopped admitting.
    pub const fn is_closing(&self) -> bool {
        self.closing
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
        let bounds = self.bounds(refused);
        let explained = |at: &Instant| *at <= now + bounds.wait_max();
        let remembered = arrival.identity.and_then(|identity| self.reserved.find(identity, now));
        let remembered = remembered.filter(explained);
        let remembered = remembered.filter(|_| !is_on(Breach::AdmissionForgetsReservation));
        let at = remembered.unwrap_or_else(|| self.calendar.reserve(bounds, now, chance()));
        if let (Some(identity), None) = (arrival.identity, remembered) {
            self.reserved.remember(identity, at, now);
        }
        let parked = reason == Reason::ParkTtl;
        let wait = at.saturating_duration_since(now).max(self.params.retry_min);
        // An agent that was parked has waited for as long as agents can be trusted to.
        let hold = if parked { Duration::ZERO } else { self.hold(wait) };
        let early = remembered.is_some() && !parked && reason != Reason::NoRoom;
        let reason = if early { Reason::BeforeItsTime } else { reason };
        Refusal { reason, hold, retry_after: whole_seconds(wait - hold, chance()) }
    }

    /// What bounds a reservation, while at least `refused` agents sleep.
    fn bounds(&self, refused: u64) -> ReservationBounds {
        let rate = self.recovered.unwrap_or(self.rate).max(self.rate);
        let overbook = 1.0 + f64::from(self.params.overbook_percent) / 100.0;
        // If the rate fell, part of the line will be refused before it is admitted.
        let line = self.line();
        // Parked agents are the line already.
        let asleep = self.backlog.map(|agents| agents.saturating_sub(self.park.len() as u64));
        let asleep =
            asleep.map(|agents| time_for(agents.max(refused), self.rate).div_f64(overbook));
        ReservationBounds {
            per_second: f64::from(rate.get()) * overbook,
            lead: line.max(self.params.retry_min),
            explained: asleep.map_or(self.params.retry_max, |time| time.min(self.params.retry_max)),
        }
    }

    /// How long to hold the answer to an agent that has to wait; takes the place for it.
    fn hold(&mut self, wait: Duration) -> Duration {
        if self.held >= self.params.held_max || !self.capacity.holds() {
            return Duration::ZERO;
        }
        let hold = wait.saturating_sub(self.params.retry_min).min(self.params.hold_max);
        self.held += usize::from(!hold.is_zero());
        hold
    }

    /// How many arrivals the park holds at this rate.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn park_places(&self) -> usize {
        let places = f64::from(self.rate.get()) * self.params.park_horizon.as_secs_f64();
        (places as usize).min(self.params.park_max)
    }

    /// These places are open to each source; the rest to sources within their share.
    fn places_for_all(&self) -> usize {
        let reserve = usize::from(self.params.reserve_percent.min(100));
        self.park_places() * (100 - reserve) / 100
    }

    /// When the last of the disconnected agents will be admitted, from now, if the rate stays; empty while
    /// their number is unknown.
    pub fn last_in(&self) -> Option<Duration> {
        let parked = self.park.len() as u64;
        self.backlog.map(|agents| time_for(agents.max(parked), self.rate))
    }

    /// How many agents are disconnected at most, as set last.
    pub const fn backlog(&self) -> Option<u64> {
        self.backlog
    }

    /// How long the last parked arrival will wait, at this rate.
    pub fn line(&self) -> Duration {
        time_for(self.park.len() as u64, self.rate).min(self.params.park_ttl)
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
    pub const fn parked(&self) -> usize {
        self.park.len()
    }

    /// Agents that wait: parked ones, and those that were told moments still to come.
    pub fn waiting(&self, now: Instant) -> u64 {
        self.park.len() as u64 + self.calendar.ahead(now)
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
