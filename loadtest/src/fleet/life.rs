//! What an agent is between its connections: how it dials, which cuts it has noticed, and what is
//! measured of its return. [`super::session`] serves the connections, [`super::task`] alternates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use seawall::clock;

use super::backoff::DialBackoff;
use super::dial::{Failure, Open, dial};
use super::manners::{Manners, Wave};
use super::measured::{Move, Return};
use super::mix::Mix;
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
        let index = fleet.options.first.saturating_add(u32::try_from(local).unwrap_or(u32::MAX));
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
            let target = self.mix.below(self.fleet.options.targets.len());
            self.count_dial();
            let index = self.fleet.options.first + u32::try_from(self.local).unwrap_or(u32::MAX);
            let cut = self.cut_meanwhile(clock::now());
            let retry_after = match dial(&self.fleet, (target, index), cut).await {
                Ok(open) => {
                    if let Some(moved) = self.moving.take() {
                        self.thread().measured.lock().moved(moved);
                    }
                    return Some(open);
                }
                Err(Failure::Refused(retry_after)) => {
                    self.on_refusal();
                    retry_after
                }
                Err(Failure::Failed) => {
                    self.thread().measured.lock().dial_failures += 1;
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

    fn count_dial(&self) {
        let mut measured = self.thread().measured.lock();
        measured.dials += 1;
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

    fn on_refusal(&mut self) {
        self.fleet.refusals.fetch_add(1, Ordering::Relaxed);
        let mut measured = self.thread().measured.lock();
        measured.refusals += 1;
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
            let returns = &mut self.thread().measured.lock().returns;
            returns.push(Return { obedient: !self.manners.misbehaves, ..Return::default() });
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
        let Some(cut_at) = self.cut_at.filter(|_| self.is_returning) else { return };
        let Some(record) = self.record else { return };
        self.is_returning = false;
        let back = now.saturating_duration_since(cut_at);
        let mut measured = self.thread().measured.lock();
        let agent = &mut measured.returns[record];
        agent.back_us = Some(u64::try_from(back.as_micros()).unwrap_or(u64::MAX));
        // A connection opened just before the cut may have outlived it.
        agent.dials = agent.dials.max(1);
        measured.first_reply.record(now.saturating_duration_since(self.intended));
        measured.acknowledged.record(now.saturating_duration_since(reported));
        drop(measured);
        self.fleet.back.fetch_add(1, Ordering::Relaxed);
        // Last, so that a reader who sees 0 outstanding finds all agents measured.
        self.fleet.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
