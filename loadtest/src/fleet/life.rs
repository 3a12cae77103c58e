//! What an agent is between its connections: how it dials, which cuts it has noticed, and what is
//! measured of its return. [`super::session`] serves the connections, [`super::task`] alternates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use seawall::clock;

use super::backoff::DialBackoff;
use super::choice::Offered;
use super::dial::{Failure, Open, dial};
use super::manners::{Manners, Wave};
use super::measured::{Move, Return};
use super::mix::Mix;
use super::moves::Itinerary;
use super::{AgentFleet, Cut, FleetThread};

/// The share of changed agents whose configuration changed as well as their health: one in three.
const CONFIG_CHANGES_ONE_IN: usize = 3;

/// An agent between two connections, and what is measured of its return.
pub(crate) struct AgentLife {
    pub(crate) fleet: Arc<AgentFleet>,
    /// The thread's place in [`AgentFleet::threads`].
    pub(crate) thread: usize,
    /// The agent's place in [`AgentFleet::agents`].
    pub(crate) local: usize,
    pub(crate) mix: Mix,
    manners: Manners,
    /// The first cut.
    cut_at: Option<Instant>,
    /// Its place in the thread's [`super::measured::Measured::returns`], if it is to come back.
    record: Option<usize>,
    /// It still awaits its first reply since it was cut off.
    is_returning: bool,
    /// How many cuts it knows of.
    cuts_seen: usize,
    itinerary: Itinerary,
    /// The target that it is on, or was on last.
    is_on: Option<usize>,
    /// The one before.
    was_on: Option<usize>,
    /// Where it dials next, if a forced move says so.
    goal: Option<usize>,
    /// A forced move awaits its first reply.
    is_relocating: bool,
    dials: u64,
    /// How it is coming back after the other side closed its connection.
    pub(super) moving: Option<Move>,
    /// When the dial that is under way, or has succeeded, was meant to start.
    pub(super) intended: Instant,
}

impl AgentLife {
    pub(super) fn new(
        fleet: Arc<AgentFleet>,
        thread: usize,
        local: usize,
        first_dial: Instant,
    ) -> Self {
        let index = index_of(&fleet, local);
        let purpose = u64::from_be_bytes(*b"lifetime");
        Self {
            thread,
            local,
            mix: Mix::new(fleet.options.seed, index.into(), purpose),
            manners: fleet.manners(index),
            cut_at: None,
            record: None,
            is_returning: false,
            cuts_seen: 0,
            itinerary: Itinerary::default(),
            is_on: None,
            was_on: None,
            goal: None,
            is_relocating: false,
            dials: 0,
            moving: None,
            intended: first_dial,
            fleet,
        }
    }

    /// The thread's share, where measurements go.
    pub(crate) fn thread(&self) -> &FleetThread {
        &self.fleet.threads[self.thread]
    }

    /// Dials as opamp-go does: at once, then with growing pauses, for ever. An agent that stays
    /// away after the cut returns `None`.
    pub(super) async fn connect(&mut self) -> Option<Open> {
        let mut backoff = DialBackoff::new();
        loop {
            self.notice_cuts();
            if self.cut_at.is_some() && !self.manners.returns {
                return None;
            }
            let target = self.choose();
            self.count_dial(target);
            let index = self.index();
            let cut = self.cut_meanwhile(clock::now());
            let mut asked = None;
            let dialled = dial(&self.fleet, (target, index), cut, &mut asked).await;
            self.has_asked(asked);
            let retry_after = match dialled {
                Ok(open) => {
                    self.settle_on(target);
                    return Some(open);
                }
                Err(Failure::Refused(retry_after)) => {
                    self.on_refusal(target);
                    retry_after
                }
                Err(Failure::Failed) => {
                    let mut measured = self.thread().measured.lock();
                    measured.dial_failures += 1;
                    measured.at_target(target, |counts| counts.failed += 1);
                    None
                }
                Err(Failure::Cut) => {
                    self.thread().measured.lock().dials_cut += 1;
                    self.moving = None;
                    None
                }
            };
            if let Some(moving) = &mut self.moving {
                moving.turned_away += 1;
            }
            // The wait runs from now; the next dial is timed from its end, however late the timer.
            let wait = self.manners.wait(&mut backoff, retry_after, &mut self.mix);
            self.intended = clock::now() + wait;
            tokio::time::sleep_until(self.intended.into()).await;
        }
    }

    fn index(&self) -> u32 {
        index_of(&self.fleet, self.local)
    }

    /// Where to dial: where a forced move leads, else by choice.
    fn choose(&mut self) -> usize {
        self.dials += 1;
        let options = &self.fleet.options;
        let all = options.targets.len();
        if let Some(goal) = self.goal.take() {
            return goal;
        }
        let index = index_of(&self.fleet, self.local);
        let orders = self.fleet.orders.read();
        let offered = Offered { serving: &orders.serving, all };
        options.choice.pick((index, self.dials), offered, &mut self.mix)
    }

    /// The connection is open.
    fn settle_on(&mut self, target: usize) {
        let came = self.is_on.is_some_and(|before| before != target);
        self.was_on = self.is_on.replace(target);
        let moved = self.moving.take();
        let mut measured = self.thread().measured.lock();
        measured.at_target(target, |counts| {
            counts.sessions += 1;
            counts.came_from_elsewhere += u64::from(came);
        });
        if let Some(moved) = moved {
            measured.moved(moved);
        }
        if let (Some(record), true) = (self.record, self.is_returning) {
            measured.returns[record].admitted_us = self.us_since_cut(clock::now());
        }
    }

    /// It has asked for a WebSocket: the first time since the cut counts.
    fn has_asked(&self, at: Option<Instant>) {
        if let (Some(record), Some(at), true) = (self.record, at, self.is_returning) {
            let asked = &mut self.thread().measured.lock().returns[record].asked_us;
            *asked = asked.or(self.us_since_cut(at));
        }
    }

    fn us_since_cut(&self, at: Instant) -> Option<u64> {
        let since = at.saturating_duration_since(self.cut_at?);
        u64::try_from(since.as_micros()).ok()
    }

    /// The connection has ended.
    pub(super) fn on_end(&self, by_peer: bool) {
        let Some(target) = self.is_on else { return };
        let mut measured = self.thread().measured.lock();
        measured.closed_by_peer += u64::from(by_peer);
        measured.at_target(target, |counts| {
            counts.ended += 1;
            counts.closed_by_peer += u64::from(by_peer);
        });
    }

    /// When a forced move takes it away.
    pub(super) fn next_move(&mut self) -> Option<Instant> {
        let index = self.index();
        let orders = self.fleet.orders.read();
        self.itinerary.next(&orders.moves, index)
    }

    /// It leaves for another target, as ordered.
    pub(super) fn leave(&mut self) {
        let changed = {
            let orders = self.fleet.orders.read();
            self.itinerary.leave(&orders.moves).map_or(0.0, |order| order.changed)
        };
        if self.mix.unit() < changed {
            self.fleet.agents[self.local].lock().change_health();
        }
        let goal = self.another_target();
        self.set_out(goal);
    }

    /// It goes straight back to where it came from, if it is to hop once more.
    pub(super) fn hops(&mut self) -> bool {
        let hops = self.itinerary.hop();
        if hops {
            let goal = self.was_on;
            self.set_out(goal);
        }
        hops
    }

    fn set_out(&mut self, goal: Option<usize>) {
        self.goal = goal;
        self.is_relocating = true;
        self.thread().measured.lock().moves_begun += 1;
    }

    /// One of those that serve, other than its own; its own if there is no other.
    fn another_target(&mut self) -> Option<usize> {
        let orders = self.fleet.orders.read();
        let all = self.fleet.options.targets.len();
        let serves = |target: &usize| orders.serving.is_empty() || orders.serving.contains(target);
        let others = (0..all).filter(serves).filter(|target| Some(*target) != self.is_on);
        let others: Vec<usize> = others.collect();
        (!others.is_empty()).then(|| others[self.mix.below(others.len())]).or(self.is_on)
    }

    fn count_dial(&self, target: usize) {
        self.fleet.agents[self.local].lock().dials += 1;
        let mut measured = self.thread().measured.lock();
        measured.dials += 1;
        measured.at_target(target, |counts| counts.dials += 1);
        if let Some(record) = self.record.filter(|_| self.is_returning) {
            measured.returns[record].dials += 1;
        }
    }

    /// A cut that has come since, and is for this agent.
    pub(crate) fn cut_since(&self, since: Instant) -> Option<Cut> {
        let now = clock::now();
        let is_meant = |cut: &&Cut| {
            let is_due = cut.at > since && cut.at <= now;
            // An agent that stays away is cut off once, as all are, and then is gone.
            is_due && (cut.wave == Wave::First || self.manners.returns_from(cut.wave))
        };
        self.fleet.orders.read().cuts.iter().find(is_meant).copied()
    }

    /// Completes when there is one.
    async fn cut_meanwhile(&self, since: Instant) {
        // Signals count from its making on, so each one is noticed.
        let mut signal = self.thread().signal.notified();
        while self.cut_since(since).is_none() {
            signal.await;
            signal = self.thread().signal.notified();
        }
    }

    fn on_refusal(&mut self, target: usize) {
        self.fleet.refusals.fetch_add(1, Ordering::Relaxed);
        let mut measured = self.thread().measured.lock();
        measured.refusals += 1;
        measured.at_target(target, |counts| counts.refused += 1);
        if let Some(cut_at) = self.cut_at.filter(|_| self.is_returning) {
            measured.refused(clock::now() - cut_at);
        }
    }

    /// An agent that is disconnected at a cut must come back as all others.
    fn notice_cuts(&mut self) {
        let now = clock::now();
        while let Some(cut) = self.next_cut(now) {
            self.cuts_seen += 1;
            match cut.wave {
                Wave::First => self.on_first_cut(cut.at),
                Wave::Second => self.on_second_wave(),
            }
        }
    }

    fn next_cut(&self, now: Instant) -> Option<Cut> {
        self.fleet.orders.read().cuts.get(self.cuts_seen).copied().filter(|cut| cut.at <= now)
    }

    fn on_first_cut(&mut self, at: Instant) {
        self.cut_at = Some(at);
        if !self.manners.returns {
            return;
        }
        self.is_returning = true;
        self.record = {
            let (agent, obedient) = (self.index(), !self.manners.misbehaves);
            let returns = &mut self.thread().measured.lock().returns;
            returns.push(Return { agent, obedient, ..Return::default() });
            Some(returns.len() - 1)
        };
        if self.mix.unit() < self.fleet.options.changed {
            let mut agent = self.fleet.agents[self.local].lock();
            agent.change_health();
            if self.mix.below(CONFIG_CHANGES_ONE_IN) == 0 {
                agent.change_config();
            }
        }
    }

    /// An agent still on its way back from the first cut goes on. One that is back must come again,
    /// and is counted as back only then.
    fn on_second_wave(&mut self) {
        if !self.manners.returns_from(Wave::Second) {
            return;
        }
        if self.is_returning {
            self.fleet.outstanding.fetch_sub(1, Ordering::Relaxed);
        } else if let Some(record) = self.record {
            self.is_returning = true;
            self.fleet.back.fetch_sub(1, Ordering::Relaxed);
            self.thread().measured.lock().returns[record].back_us = None;
        }
    }

    /// The first reply on a connection, to what was reported then.
    pub(crate) fn on_first_reply(&mut self, reported: Instant, now: Instant) {
        self.notice_cuts();
        if std::mem::take(&mut self.is_relocating) {
            let mut measured = self.thread().measured.lock();
            measured.moves_answered += 1;
            measured.moved_reply.record(now.saturating_duration_since(self.intended));
        }
        let Some(cut_at) = self.cut_at.filter(|_| self.is_returning) else { return };
        let Some(record) = self.record else { return };
        self.is_returning = false;
        let back = now.saturating_duration_since(cut_at);
        let acknowledged = now.saturating_duration_since(reported);
        let target = self.is_on.and_then(|target| u16::try_from(target).ok()).unwrap_or(u16::MAX);
        let mut measured = self.thread().measured.lock();
        let agent = &mut measured.returns[record];
        agent.back_us = Some(u64::try_from(back.as_micros()).unwrap_or(u64::MAX));
        // A connection opened just before the cut may have outlived it.
        agent.dials = agent.dials.max(1);
        agent.target = target;
        agent.acknowledged_us = u64::try_from(acknowledged.as_micros()).unwrap_or(u64::MAX);
        measured.first_reply.record(now.saturating_duration_since(self.intended));
        measured.acknowledged.record(acknowledged);
        drop(measured);
        self.fleet.back.fetch_add(1, Ordering::Relaxed);
        // Last, so that a reader who sees 0 outstanding finds all agents measured.
        self.fleet.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number in the whole fleet of the agent with this place.
fn index_of(fleet: &AgentFleet, local: usize) -> u32 {
    fleet.options.first.saturating_add(u32::try_from(local).unwrap_or(u32::MAX))
}
