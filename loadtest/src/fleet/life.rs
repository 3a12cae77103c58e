//! What an agent is between its connections: how it dials, which cuts it has noticed, and what is
//! measured of its return. [`super::session`] serves WebSockets and [`super::task`] alternates;
//! [`super::poller`] is the life of an agent over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall::clock;

use super::choice::Offered;
use super::clients::habits::Habits;
use super::clients::pauses::{Ended, Next, Pauses, Setback};
use super::dial::{Dialling, Failure, Open, dial};
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
    /// The place of its client in [`super::Options::clients`].
    pub(crate) client: usize,
    pub(crate) mix: Mix,
    pub(super) pauses: Pauses,
    /// How often it speaks without a reason.
    pub(super) heartbeat: Duration,
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
        let client = fleet.options.clients.place_of(fleet.options.seed, index);
        let law = fleet.options.clients.parts()[client].habits().law;
        let mut life = Self {
            thread,
            local,
            client,
            mix: Mix::new(fleet.options.seed, index.into(), purpose),
            pauses: Pauses::new(law),
            heartbeat: fleet.options.heartbeat.0,
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
        };
        life.begin(first_dial);
        life
    }

    /// In a storm that is the fleet's first dial, each is on its way from that on.
    fn begin(&mut self, first_dial: Instant) {
        let options = &self.fleet.options;
        if !options.storms_at_start {
            return;
        }
        let outage = options.after_outage.0;
        if !outage.is_zero() {
            self.pauses.after_outage(outage, &mut self.mix);
            self.fleet.agents[self.local].lock().has_run_for_long();
        }
        self.on_first_cut(first_dial);
    }

    /// What its client does.
    pub(crate) fn habits(&self) -> &'static Habits {
        self.fleet.options.clients.parts()[self.client].habits()
    }

    /// The thread's share, where measurements go.
    pub(crate) fn thread(&self) -> &FleetThread {
        &self.fleet.threads[self.thread]
    }

    /// Dials as its client does, with pauses after each failure. An agent that stays away after the cut, or whose client
    /// gives up, returns `None`.
    pub(super) async fn connect(&mut self) -> Option<Open> {
        loop {
            if self.is_gone() {
                return None;
            }
            let target = self.choose();
            self.count_dial(target);
            let dialling = Dialling { client: self.client, target, index: self.index() };
            let cut = self.cut_meanwhile(clock::now());
            let mut asked = None;
            let dialled = dial(&self.fleet, dialling, cut, &mut asked).await;
            self.has_asked(asked);
            let setback = match dialled {
                Ok(open) => {
                    self.pauses.succeeded();
                    self.settle_on(target);
                    return Some(open);
                }
                Err(failure) => self.on_failure(failure, target),
            };
            let next = self.pauses.next(setback, &mut self.mix);
            if !self.pause(next).await {
                return None;
            }
        }
    }

    /// A dial, or a POST, came to nothing.
    pub(super) fn on_failure(&mut self, failure: Failure, target: usize) -> Setback {
        if let Some(moving) = &mut self.moving {
            moving.turned_away += 1;
        }
        match failure {
            Failure::Refused(retry_after) => {
                self.on_refusal(target);
                return Setback::Refused(retry_after);
            }
            Failure::Failed | Failure::GivenUp => {
                let mut measured = self.thread().measured.lock();
                measured.dial_failures += 1;
                measured.given_up += u64::from(matches!(failure, Failure::GivenUp));
                measured.at_target(target, |counts| counts.failed += 1);
            }
            Failure::Cut => {
                self.thread().measured.lock().dials_cut += 1;
                self.moving = None;
            }
        }
        Setback::Failed
    }

    /// Its WebSocket has ended at this instant: waits for as long as its client does then. False: it never dials again.
    pub(super) async fn pause_after(&mut self, ended: Ended, talked: bool, at: Instant) -> bool {
        let next = self.pauses.after_end(ended, talked, &mut self.mix);
        if next == Next::After(Duration::ZERO) {
            self.intended = at;
            return true;
        }
        self.pause(next).await
    }

    /// The wait runs from now; the next dial is timed from its end, however late the timer.
    async fn pause(&mut self, next: Next) -> bool {
        let Next::After(pause) = next else {
            self.thread().measured.lock().lost_for_ever += 1;
            return false;
        };
        self.intended = clock::now() + self.manners.wait(pause);
        tokio::time::sleep_until(self.intended.into()).await;
        true
    }

    /// How long it waits where its client waits for so long.
    pub(super) fn wait(&self, clients: Duration) -> Duration {
        self.manners.wait(clients)
    }

    /// Whether it stays away after a cut that it notices now.
    pub(super) fn is_gone(&mut self) -> bool {
        self.notice_cuts();
        self.cut_at.is_some() && !self.manners.returns
    }

    /// Whether it has yet to get its first reply since it was cut off.
    pub(super) const fn is_returning(&self) -> bool {
        self.is_returning
    }

    /// A message told it to come again later.
    pub(super) fn on_told(&mut self) {
        if let Some(target) = self.is_on {
            self.on_refusal(target);
        }
        if let Some(moving) = &mut self.moving {
            moving.turned_away += 1;
        }
    }

    /// Its number in the whole fleet.
    pub(super) fn index(&self) -> u32 {
        index_of(&self.fleet, self.local)
    }

    /// Where to dial: where a forced move leads, else by choice.
    pub(super) fn choose(&mut self) -> usize {
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
    pub(super) fn settle_on(&mut self, target: usize) {
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
    pub(super) fn has_asked(&self, at: Option<Instant>) {
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

    pub(super) fn count_dial(&self, target: usize) {
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
    pub(super) async fn cut_meanwhile(&self, since: Instant) {
        // Signals count from its making on, so each one is noticed.
        let mut signal = self.thread().signal.notified();
        while self.cut_since(since).is_none() {
            signal.await;
            signal = self.thread().signal.notified();
        }
    }

    pub(super) fn on_refusal(&mut self, target: usize) {
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
