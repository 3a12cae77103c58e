//! Admission: entries at the rate at most, capacity respected, reservations kept, and obedient agents in
//! before long, with their sessions alive meanwhile.

use std::collections::{BTreeMap, VecDeque};

use seawall::core::admission::{AdmissionParams, Capacity, Reason, Refusal};

use super::Oracle;
use super::presence::Presence;
use crate::gate::GatePlan;
use crate::world::{NodeKey, Time};

/// What admission tells sessions has reached them by then.
const EXCUSED_IN: Time = Time::from_millis(1_500);
/// A moment told in whole seconds is up to one of them beside the reservation, each time.
const ROUNDING: Time = Time::from_secs(2);
const SECOND: Time = Time::from_secs(1);

/// An agent that asks to be admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) node: NodeKey,
    pub(crate) agent: usize,
    /// It comes at the moment that it is told.
    pub(crate) obeys: bool,
    /// Its request says which agent it is.
    pub(crate) known: bool,
}

/// A moment that an agent was told.
#[derive(Debug, Clone, Copy)]
struct ToldMoment {
    at: Time,
    until: Time,
    /// It is the moment of a reservation; the shortest wait may stand in for one that is about to pass.
    reserved: bool,
}

/// An agent outside.
#[derive(Debug, Default)]
struct Outside {
    obeys: bool,
    since: Option<Time>,
    parked_at: Option<Time>,
    told: Option<ToldMoment>,
}

/// A node's admission, as the oracle sees it.
#[derive(Debug)]
pub(super) struct GateSeen {
    /// Until then absent agents are expected back.
    pub(super) excused_until: Time,
    params: AdmissionParams,
    /// Entries a second, if the operator has set them.
    rate: Option<f64>,
    reserve: usize,
    /// How long an obedient agent may be outside.
    outside_max: Time,
    entries: VecDeque<Time>,
    outside: BTreeMap<usize, Outside>,
    /// The latest moment that each agent was ever told.
    remembered: BTreeMap<usize, Time>,
}

impl GateSeen {
    /// `crowded`: agents whose old connection still counts wait for its end.
    pub(super) fn new(plan: &GatePlan, agents: usize, crowded: bool) -> Self {
        let params = plan.params;
        let rate = plan.rate.map(|rate| f64::from(rate.get()));
        let waits = params.retry_max + params.retry_min + params.retry_fixed + params.hold_max;
        // Others have reservations too.
        let storm = Time::from_secs_f64(30.0 / rate.unwrap_or(100.0));
        let stale = Time::from_secs(if crowded { 60 } else { 0 });
        let ideal = Time::from_secs_f64(agents as f64 / rate.unwrap_or(100.0));
        Self {
            excused_until: Time::ZERO,
            params,
            rate,
            reserve: plan.connections_max / 16,
            outside_max: (waits + params.park_ttl) * 2
                + ideal * 4
                + storm
                + stale
                + Time::from_secs(20),
            entries: VecDeque::new(),
            outside: BTreeMap::new(),
            remembered: BTreeMap::new(),
        }
    }

    /// Counts an entry. Returns whether that is one more than the rate and the burst allow.
    fn passes_rate(&mut self, now: Time) -> bool {
        let Some(rate) = self.rate else { return false };
        let burst = (rate * self.params.burst.as_secs_f64()).max(1.0);
        self.entries.push_back(now);
        if self.entries.len() > 64 {
            self.entries.pop_front();
        }
        let allowed = |since: Time| (now - since).as_secs_f64().mul_add(rate, burst) + 1e-6;
        let counted = self.entries.iter().rev().zip(1_u32..);
        counted.into_iter().any(|(since, count)| f64::from(count) > allowed(*since))
    }

    /// The latest moment that this refusal may tell an agent that has a reservation.
    fn latest(&self, told: ToldMoment, now: Time) -> Time {
        (told.until + ROUNDING).max(now + self.params.retry_min + SECOND)
    }
}

impl Oracle {
    fn outside(&mut self, (node, agent): (NodeKey, usize)) -> Option<&mut Outside> {
        Some(self.gates.get_mut(&node)?.outside.entry(agent).or_default())
    }

    /// An agent asks.
    pub(crate) fn applies(&mut self, asked: Asked, now: Time) {
        if let Some(outside) = self.outside((asked.node, asked.agent)) {
            outside.obeys = asked.obeys;
            outside.since.get_or_insert(now);
        }
    }

    pub(crate) fn is_parked(&mut self, asked: Asked, now: Time) {
        if let Some(outside) = self.outside((asked.node, asked.agent)) {
            outside.parked_at = Some(now);
        }
    }

    pub(crate) fn leaves_park(&mut self, at: (NodeKey, usize)) {
        if let Some(outside) = self.outside(at) {
            outside.parked_at = None;
        }
    }

    /// An agent goes away for a reason of its own.
    pub(crate) fn withdraws(&mut self, at: (NodeKey, usize)) {
        if let Some(outside) = self.outside(at) {
            (outside.since, outside.told) = (None, None);
        }
    }

    /// An agent goes away from wherever it waits.
    pub(crate) fn withdraws_everywhere(&mut self, agent: usize) {
        let nodes: Vec<NodeKey> = self.gates.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.withdraws((node, agent)));
    }

    /// A node has less to give than its admission knows: agents may stay outside for longer.
    pub(crate) fn disturbed(&mut self, node: NodeKey, now: Time) {
        for outside in
            self.gates.get_mut(&node).into_iter().flat_map(|gate| gate.outside.values_mut())
        {
            outside.since = outside.since.map(|_| now);
        }
    }

    /// An agent is admitted, with this capacity left.
    pub(crate) fn is_admitted(&mut self, at: (NodeKey, usize), capacity: Capacity, now: Time) {
        let Some(gate) = self.gates.get_mut(&at.0) else { return };
        gate.outside.remove(&at.1);
        let full = capacity.free < gate.reserve || capacity.sessions_full;
        if gate.passes_rate(now) {
            self.fail("admission", || format!("agent {} enters beyond the rate", at.1));
        }
        if full {
            self.fail("admission", || format!("agent {} enters with {capacity:?}", at.1));
        }
    }

    /// An agent is refused.
    pub(crate) fn is_refused(&mut self, asked: Asked, refusal: &Refusal, now: Time) {
        let Some(gate) = self.gates.get_mut(&asked.node) else { return };
        let until = now + refusal.hold + refusal.retry_after;
        let outside = gate.outside.entry(asked.agent).or_default();
        outside.parked_at = None;
        let reserves = gate.params.retry_fixed.is_zero() && refusal.reason != Reason::Closing;
        let known = asked.known && reserves;
        let before =
            outside.told.filter(|told| known && told.reserved && told.until > now + SECOND);
        // What was told before, also to a process that is gone, may be remembered still.
        let remembered = gate.remembered.entry(asked.agent).or_default();
        let fresh = remembered.is_zero() || *remembered + SECOND < now;
        *remembered = until.max(*remembered);
        outside.told = Some(ToldMoment {
            at: now,
            until: before.map_or(until, |told| told.until.min(until)),
            reserved: before.is_some() || fresh,
        });
        let latest = before.map(|told| gate.latest(told, now));
        let whole = refusal.retry_after.subsec_nanos() == 0 && refusal.retry_after >= SECOND;
        if !whole || refusal.hold > gate.params.hold_max {
            self.fail("admission", || format!("agent {} gets {refusal:?}", asked.agent));
        }
        if latest.is_some_and(|latest| until > latest) {
            self.fail("admission", || {
                format!(
                    "agent {} had a reservation for {before:?}, and gets {refusal:?}",
                    asked.agent
                )
            });
        }
    }

    /// Agents that come when they are told are admitted before long.
    pub(crate) fn obedient_get_in(&mut self, node: NodeKey, now: Time) {
        if self.drains.contains_key(&node) {
            return;
        }
        let Some(gate) = self.gates.get(&node) else { return };
        let late = |outside: &Outside| {
            outside.obeys && outside.since.is_some_and(|since| now > since + gate.outside_max)
        };
        let found = gate.outside.iter().find(|(_, outside)| late(outside));
        if let Some((agent, since)) = found.map(|(agent, outside)| (*agent, outside.since)) {
            self.fail("admission", || format!("agent {agent} is outside since {since:?}"));
        }
    }

    /// Admission has agents wait, or come later: no session ends by its agent's absence until then.
    pub(crate) fn absences_excused(&mut self, node: NodeKey, until: Time) {
        if let Some(gate) = self.gates.get_mut(&node) {
            gate.excused_until = gate.excused_until.max(until);
        }
    }

    /// Whether a node itself keeps an agent away whose session would end otherwise.
    pub(super) fn keeps_away(&self, at: (NodeKey, usize), presence: Presence, now: Time) -> bool {
        let over_at = match presence {
            Presence::Absent(since) => since + self.params.grace_period,
            Presence::Polling(heard) => heard + self.params.poll_timeout,
            Presence::Unknown | Presence::Connected(_) | Presence::Left => return false,
        };
        let outside = self.gates.get(&at.0).and_then(|gate| gate.outside.get(&at.1));
        let Some(outside) = outside.filter(|outside| outside.obeys) else { return false };
        let told = outside.told.filter(|told| now < told.until).map(|told| told.at);
        let since = outside.parked_at.or(told);
        since.is_some_and(|since| since + EXCUSED_IN < over_at)
    }
}
