//! The gate of one node: bucket, park, slots and keys, together.
//!
//! Work for each call is bounded, so that a lock around a gate is never held for long.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::keys::Kept;
use super::park::Park;
use super::slots::{Bounds, Slots, whole_seconds};
use super::{AdmissionParams, Arrival, Reason, Refusal, Room, Ticket, Turn, Verdict, time_for};
use crate::core::bucket::Bucket;

/// So many turns are given in one call at most.
const TURNS_AT_ONCE: usize = 256;

/// Decides who comes in at one node, and when the others are to come again.
#[derive(Debug)]
pub struct Admission {
    params: AdmissionParams,
    rate: NonZeroU32,
    recovered: Option<NonZeroU32>,
    bucket: Bucket,
    park: Park,
    slots: Slots,
    kept: Kept,
    held: usize,
    closing: bool,
    backlog: Option<u64>,
    room: Room,
    crowd: Crowd,
}

impl Admission {
    /// Nobody waits, and the backlog is unknown.
    pub fn new(params: AdmissionParams, now: Instant) -> Self {
        Self {
            params,
            rate: params.rate,
            recovered: None,
            bucket: Bucket::with_depth(params.rate, params.burst, now),
            park: Park::default(),
            slots: Slots::new(now),
            kept: Kept::new(params.kept_max, now),
            held: 0,
            closing: false,
            backlog: None,
            room: Room::PLENTY,
            crowd: Crowd::new(now),
        }
    }

    /// Another burst, as the time in which the rate brings it. Nothing is saved up in it yet.
    pub fn set_burst(&mut self, burst: Duration, now: Instant) {
        self.params.burst = burst;
        self.bucket = Bucket::with_depth(self.rate, burst, now);
        self.bucket.empty(now);
    }

    /// Another rate, from now on. Slots that were given stay what they are, points in time, and
    /// those who are parked stay.
    pub fn set_rate(&mut self, rate: NonZeroU32, now: Instant) {
        self.bucket.set_rate(rate, now);
        if rate > self.rate {
            self.slots.look_again();
        }
        self.rate = rate;
    }

    /// What the rate is expected to rise to while those sleep who are refused now: so many are told
    /// to come, since nobody can be called back earlier. Too much of it costs attempts, and none
    /// costs the time that they sleep too long. None, or less than the rate: it stays as it is.
    pub fn expect_rate(&mut self, rate: Option<NonZeroU32>) {
        self.recovered = rate;
        self.slots.look_again();
    }

    /// How many agents may be outside at most, those who are parked included: registered and not
    /// connected, of this node's part of the fleet. It should err high. None: nobody knows.
    pub const fn set_backlog(&mut self, agents: Option<u64>) {
        self.backlog = agents;
    }

    /// What room there is now, without what those have who are here.
    pub const fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Somebody has come. `chance` gives numbers in 0..1.
    pub fn arrive(
        &mut self,
        arrival: Arrival,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> Verdict {
        if self.closing {
            return Verdict::Refuse(self.send_away(chance));
        }
        if !self.room.admits() {
            return Verdict::Refuse(self.refuse(arrival, Reason::NoRoom, now, chance));
        }
        if self.park.len() == 0 && self.bucket.take(now).is_ok() {
            return Verdict::Admit;
        }
        let reason = if self.park.len() >= self.park_places() {
            Reason::ParkFull
        } else if arrival.over_share && self.park.len() >= self.places_for_all() {
            Reason::SourceShare
        } else {
            let until = now + self.params.park_ttl;
            match self.park.push(arrival, until) {
                Some(ticket) => return Verdict::Park { ticket, until },
                None => Reason::ParkFull,
            }
        };
        Verdict::Refuse(self.refuse(arrival, reason, now, chance))
    }

    /// The agent with this ticket has gone away. `false`: it had no place any more.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.park.remove(ticket).is_some()
    }

    /// A refusal that was to be held has been sent, or its agent has gone away.
    pub const fn hold_ended(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Gives turns: adds to `turns` those who are in and those who have waited too long, a bounded
    /// number in one call. Returns when to call again: at once if there is more, never if nobody is
    /// parked (until somebody is). Calling late costs nothing below a second.
    pub fn poll(
        &mut self,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
        turns: &mut Vec<(Ticket, Turn)>,
    ) -> Option<Instant> {
        for _ in 0..TURNS_AT_ONCE {
            self.kept.sweep_one(now);
            let until = self.park.front_until()?;
            if self.closing {
                let (ticket, _) = self.park.pop_front()?;
                turns.push((ticket, Turn::Refuse(self.send_away(chance))));
                continue;
            }
            if self.room.taken {
                let (ticket, arrival) = self.park.pop_front()?;
                let refusal = self.refuse(arrival, Reason::NoRoom, now, chance);
                turns.push((ticket, Turn::Refuse(refusal)));
                continue;
            }
            let token = self.bucket.take(now);
            if let Err(wait) = token
                && now < until
            {
                return Some((now + wait).min(until));
            }
            let (ticket, arrival) = self.park.pop_front()?;
            let turn = match token {
                Ok(()) => Turn::Admit,
                Err(_) => Turn::Refuse(self.refuse(arrival, Reason::ParkTtl, now, chance)),
            };
            turns.push((ticket, turn));
        }
        self.park.front_until().map(|_| now)
    }

    /// Lets nobody in any more: whoever comes and whoever is parked (with the next polls) is refused.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    /// A token was taken by a turn that reached nobody.
    pub const fn refund(&mut self) {
        self.bucket.refund();
    }

    /// Refuses somebody whom another node will let in. They do not all come there at one instant.
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
        let seen = self.crowd.refused(self.rate.get(), now);
        let bounds = self.bounds(seen);
        let explained = |slot: &Instant| *slot <= now + bounds.wait_max();
        let kept = arrival.identity.and_then(|identity| self.kept.slot(identity, now));
        let kept = kept.filter(explained);
        let slot = kept.unwrap_or_else(|| self.slots.book(bounds, now, chance()));
        if let (Some(identity), None) = (arrival.identity, kept) {
            self.kept.keep(identity, slot, now);
        }
        let parked = reason == Reason::ParkTtl;
        let wait = slot.saturating_duration_since(now).max(self.params.retry_min);
        // Whoever was parked has waited for as long as an agent can be trusted to.
        let hold = if parked { Duration::ZERO } else { self.hold(wait) };
        let early = kept.is_some() && !parked && reason != Reason::NoRoom;
        let reason = if early { Reason::BeforeItsTime } else { reason };
        Refusal { reason, hold, retry_after: whole_seconds(wait - hold, chance()) }
    }

    /// With so many `seen` asleep.
    fn bounds(&self, seen: u64) -> Bounds {
        let slots = self.recovered.unwrap_or(self.rate).max(self.rate);
        let overbook = 1.0 + f64::from(self.params.overbook_percent) / 100.0;
        // If the rate fell, part of the line will be refused before its turn.
        let line = self.line();
        // Those who are parked are the line, and not counted twice.
        let asleep = self.backlog.map(|agents| agents.saturating_sub(self.park.len() as u64));
        let asleep = asleep.map(|agents| time_for(agents.max(seen), self.rate).div_f64(overbook));
        Bounds {
            per_second: f64::from(slots.get()) * overbook,
            lead: line.max(self.params.retry_min),
            explained: asleep.map_or(self.params.wait_max, |time| time.min(self.params.wait_max)),
        }
    }

    /// How long to hold an answer to somebody who is to wait; takes the place for it.
    fn hold(&mut self, wait: Duration) -> Duration {
        if self.held >= self.params.held_max || !self.room.holds() {
            return Duration::ZERO;
        }
        let hold = wait.saturating_sub(self.params.retry_min).min(self.params.hold_max);
        self.held += usize::from(!hold.is_zero());
        hold
    }

    /// How many the park holds at this rate.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn park_places(&self) -> usize {
        (f64::from(self.rate.get()) * self.params.park_horizon.as_secs_f64()) as usize
    }

    /// Of these places anybody may have one; the rest is for sources within their share.
    fn places_for_all(&self) -> usize {
        let reserve = usize::from(self.params.reserve_percent.min(100));
        self.park_places() * (100 - reserve) / 100
    }

    /// When the last of those outside will be in, if the rate stays; none while nobody knows how
    /// many they are.
    pub fn last_in(&self) -> Option<Duration> {
        let parked = self.park.len() as u64;
        self.backlog.map(|agents| time_for(agents.max(parked), self.rate))
    }

    /// How many agents may be outside, as was told last.
    pub const fn backlog(&self) -> Option<u64> {
        self.backlog
    }

    /// How long the last of those who are parked will be, at this rate.
    pub fn line(&self) -> Duration {
        time_for(self.park.len() as u64, self.rate).min(self.params.park_ttl)
    }

    /// Entries a second.
    pub const fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// Those who are parked.
    pub const fn parked(&self) -> usize {
        self.park.len()
    }

    /// Refusals that are held.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Slots that are kept.
    pub const fn kept(&self) -> usize {
        self.kept.len()
    }
}
